"""scikit-learn's contract. Imports ``_models``, ``_persist`` and below."""
