"""Distances between sets of clouds. Imports ``_metrics`` and below."""
