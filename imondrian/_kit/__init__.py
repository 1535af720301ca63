"""What both packages need, and nothing of either but the version.

Devices, their memory, kernel sources and their compiler, terminals, how commands run and end, old names.
"""
