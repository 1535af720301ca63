"""river's contract, and all of it that needs no river. Imports ``_sklearn`` and below."""
