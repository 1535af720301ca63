"""river's wrappers beside its model. Imports ``_conformal`` and below."""
