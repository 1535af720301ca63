"""The command ``stream``. Imports what lies beside it."""
