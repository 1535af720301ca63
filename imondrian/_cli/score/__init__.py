"""The commands ``score`` and ``explain``. Imports ``tables`` and what lies beside it."""
