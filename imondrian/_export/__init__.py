"""Forests in the formats of other runtimes. Imports ``_forest`` and ``imondrian.export``."""
