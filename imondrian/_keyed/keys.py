"""Keys as text, for the disk."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from imondrian._persist.model_file import encode


def text_of(key: Any) -> str:
    """Return a key as text, different for different keys."""
    if type(key) is str or type(key) is int:
        return json.dumps(key)
    return json.dumps(_listed(key, key))


def _listed(part: Any, key: Any) -> Any:
    if isinstance(part, np.generic):
        part = part.item()
    if type(part) in (str, int):
        return part
    if type(part) is tuple:
        return [_listed(each, key) for each in part]
    raise TypeError(f"key must be a str, an int or a tuple of these, got {key!r:.80}")


def key_of(text: str) -> Any:
    """Return the key that has this text."""

    def tupled(part: Any) -> Any:
        return tuple(map(tupled, part)) if isinstance(part, list) else part

    return tupled(json.loads(text))


def check_features(fields: Iterable[Any]) -> None:
    """Raise TypeError for a feature that cannot be put on the disk."""
    for name in fields:
        if type(name) is not str:
            encode(name, f"the feature {name!r:.80}", {})
