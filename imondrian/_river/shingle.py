"""Windows of a series as features: the river transformer.

Imported by ``imondrian.river`` alone, which reports a missing river.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from river.base import Transformer

from imondrian._forest.numbers import record
from imondrian._forest.validation import padding_name, positive_int


class Shingle(Transformer):
    """Turn a stream of observations into its windows: the last ``width`` observations as one set of features.

    The observation before the last but one gives the features "name_lag2", and so on; ``imondrian.Shingle`` does the
    same for arrays, under the same names.

    Parameters
    ----------
    width : int, default=8
        Observations in a window.
    padding : {None, "missing"}, default=None
        What comes out until ``width`` observations were seen. None: an empty dict, from which no detector of
        this package learns anything. "missing": a window without the features that are not known yet.

    Notes
    -----
    ``transform_one(x)`` changes nothing and returns the window that **ends with x**, whether x is about to be learnt
    or has just been: river's pipelines ask both before (``score_one``) and after (``learn_one``) the transformer has
    learnt x. The dict itself tells the two apart: it is the last one learnt if it is the same object with the same
    values. So do not keep one dict and change its values in place from observation to observation.

    A key that an observation lacks is lacking in the windows over it. Memory is that of ``width`` dicts.

    Examples
    --------
    >>> from imondrian.river import Shingle
    >>> shingle = Shingle(3)
    >>> for value in (1.0, 2.0, 4.0):
    ...     x = {"flow": value}
    ...     window = shingle.transform_one(x)
    ...     shingle.learn_one(x)
    >>> window
    {'flow_lag2': 1.0, 'flow_lag1': 2.0, 'flow_lag0': 4.0}
    """

    def __init__(self, width: int = 8, padding: str | None = None) -> None:
        self.width = width
        self.padding = padding
        padding_name(padding)
        self._past: deque[dict[Any, Any]] = deque(maxlen=positive_int("width", width))
        self._last: dict[Any, Any] | None = None  # the very dict learnt last; held, so that no other can take its place

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Add an observation to the window, in the place of the oldest."""
        self._past.append(dict(record(x)))
        self._last = x

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """Return the window that ends with x, oldest observation first."""
        same = x is self._last
        x = record(x)
        learnt = same and bool(self._past) and x == self._past[-1]
        past = list(self._past)
        window = past if learnt else [*past[-(self.width - 1) :], x] if self.width > 1 else [x]
        if len(window) < self.width and self.padding is None:
            return {}
        last = len(window) - 1
        return {
            f"{key}_lag{last - place}": value
            for place, observation in enumerate(window)
            for key, value in observation.items()
        }

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"width": 3}
        yield {"width": 3, "padding": "missing"}
