"""Where keyed models are kept: memory, disk, points that wait for a model. Imports ``imondrian.river`` and below."""
