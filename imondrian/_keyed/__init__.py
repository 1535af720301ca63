"""One model a key: in memory, on the disk, and points that wait for one. Imports ``_models`` and below."""
