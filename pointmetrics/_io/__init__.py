"""File formats of clouds, a file each. Imports nothing."""
