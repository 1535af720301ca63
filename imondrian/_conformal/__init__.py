"""How sure a score is: p-values, and what they rank among. Imports ``_forest`` and ``_cuda``."""
