"""What both packages need: devices, their memory, kernel sources and their compiler, terminals, old names.

Imports nothing of either but the version.
"""
