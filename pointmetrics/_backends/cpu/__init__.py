"""The CPU. Imports the core, the protocol and the conventions."""
