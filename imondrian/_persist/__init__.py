"""Models as bytes and files. Imports ``_conformal`` and below."""
