"""What both packages need: devices, kernel sources, terminals, old names. Imports nothing of either but the version."""
