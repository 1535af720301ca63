"""A CUDA device. Imports the protocol, the conventions and ``cpu``."""
