"""Distances between two clouds, a file each. Imports ``_clouds`` and below."""
