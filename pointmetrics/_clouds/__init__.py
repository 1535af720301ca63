"""Clouds as they come in and results as they go out, of every array library. Imports ``_backends``."""
