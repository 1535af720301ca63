"""Distances between point clouds: exact, fast, and each under the name its numbers were published with.
"""

__all__: list[str] = []
