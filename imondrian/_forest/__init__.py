"""What a forest is: columns, bytes, scores, locks, checks of what comes in. Imports the core alone."""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "Forest":  # where pickles of version 0.1.0 look for it, as for those in ``_kit/old_names.py``
        from .forest import Forest

        return Forest
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
