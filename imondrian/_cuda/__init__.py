"""Rows on a CUDA device, and the forest there. Imports ``_forest`` and ``_kit``."""
