"""The forest as a river anomaly detector, and what goes with it on a stream.

Only this module and those that it alone imports (``_river/alarm_filter.py``, ``_river/shingle.py``) import river.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

try:
    from river.base import AnomalyDetector
except ImportError as error:
    raise ImportError("imondrian.river needs river: pip install 'imondrian[river]'") from error

from ._river.alarm_filter import AlarmFilter, DriftMonitor
from ._river.online_forest import OnlineForest
from ._river.shingle import Shingle

__all__ = ["AlarmFilter", "DriftMonitor", "OnlineIsolationMondrianForest", "Shingle"]


class OnlineIsolationMondrianForest(OnlineForest, AnomalyDetector):
    """Isolation Mondrian forest for endless streams, in bounded memory.

    ``score_one`` is in [0, 1] and **high for anomalies**; it is exactly 0 during warm-up (until 32
    points were learnt, or the window is full if it is shorter).

    Parameters
    ----------
    n_trees : int, default=100
    window : "thinned", "decayed", "reservoir", int or None, default="thinned"
        What every tree keeps. The names keep 256 points, different ones in each tree, which is what
        makes an ensemble: "thinned" draws them from about the last ``horizon`` points and lets the oldest
        leave first, "decayed" is a sample in which a point's odds fall by a factor of e every
        ``horizon`` points, "reservoir" a uniform sample of all points seen. An int keeps exactly the
        last ``window`` points in every tree; None keeps every point, in memory that grows.
    horizon : int or str, default=4096
        How far back, in points, "thinned" and "decayed" windows reach. An age such as "90s", "15m", "2h" or "1d"
        makes them windows by age, and those of an int, too; see the notes.
    score : {"default", "spacing", "depth", "insertion"}, default="default"
        As in :class:`imondrian.IsolationMondrianForest`, but that "default" is "depth" on streams: it finds twice the
        events at few false alarms that "spacing" does, at half its cost. "insertion" finds as many, and tells how far
        outside of all else a point lies; it costs twice as much.
    scale : "robust" or None, default="robust"
        As in :class:`imondrian.IsolationMondrianForest`: by default units mean nothing, and no scaler is needed
        before the forest.
    seed : int or None, default=None
    calibration : int or None, default=1024
        Scores kept for ``p_value_one``: those of the last points learnt, each from just before it was
        learnt. None: none; ``learn_one`` without ``score_one`` before it is faster then.
    calibration_half_life : float or None, default=None
        Points after which a kept score counts half as much as a new one. None: all count alike.
    max_features : int, default=1000
        Keys that the model knows at a time. Values of any others are ignored, as if they were missing.
    max_bytes : int or None, default=None
        A hard bound on the size of the model (what ``sys.getsizeof`` tells). With a window, a model or a new key
        that might pass it raises ValueError, which says what window would fit; without one, learning raises
        MemoryError before it takes in what might not fit. None: no bound.
    categorical_weight : float, default=1.0
        How much a key of categories counts beside one of numbers. Above 0.
    n_jobs : int or None, default=None
        Threads for ``learn_many`` and ``score_many``. Results do not depend on it.
    time : hashable, default=None
        Where ``horizon`` is an age, the key or column that says when a point was: seconds, a text by ISO 8601, or a
        datetime (UTC if it has no time zone). It is no feature. Learning needs it, scoring ignores it.

    Notes
    -----
    **Windows by age.** Points older than ``horizon`` leave, all but the last 32, which scores need. An int keeps the
    last ``window`` points among the others. "thinned" takes in every point while a tree has fewer than 256; a full tree
    keeps one point of every span of ``horizon / 256``, drawn uniformly from those that came in it. "decayed" samples
    points with weights that fall by a factor of e every ``horizon``; none is too old there. Time is the latest so far:
    late points count as of now, unless 32 in a row are more than a horizon late, which means that the clock was set
    back.

    **Numbers** are int, float, Fraction, Decimal and NumPy's scalars of these. **Categories** are text (also "3.5"),
    bytes, truth values and members of enums; in a dataframe, columns of text, bytes, truth values and categorical
    types. An absent key, None, NaN, ``pandas.NA`` and a null of a table all mean "missing". Dates, durations (also
    NaT), complex numbers, lists and whatever else are a TypeError that names the key or column, in every method;
    infinite values, and numbers too large for a float, are a ValueError. The model is unchanged then.

    A key's first value decides its kind. A value of the other kind is a TypeError that names the key and both kinds,
    until no stored point has a value for the key any more; but where numbers were, True and False are 1 and 0, as they
    always are for models that were saved before there were categories, and in arrays of NumPy. Categories are hashed
    (:class:`imondrian.IsolationMondrianForest` says more): levels may go on coming, the model does not grow with them.

    A missing value separates its point from nothing; in scoring the point goes to one side at a cut that asks for it,
    drawn in proportion to the points there, and what that changes on average is taken off (in expectation, it goes
    both ways); in learning it goes to the side where more of them are.

    A key that was never seen before widens the forest; nothing is forgotten. When a new key would need a wider
    forest, or one key too many, keys that no stored point has a value for any more are dropped first (never without
    a window), as many as there are new ones, or all if they are a quarter of the keys: no cut can use them, and if
    they come back they are new. The order of keys means nothing.

    Memory is bounded by ``t (w + 1) (84 + 16 d) + t (1142 + 8 d) + (t w + 512) (8 + 8 d) + 16416`` bytes, for t
    trees of w points and d features rounded up to a multiple of four (10 MB by default with nine; scores other
    than "spacing" take 5 % less; windows by age 8 bytes a point and 32 a tree more), and some kilobytes of Python
    objects and kept scores. Trees share the points they have in common, so that a model usually stays well below:
    ``info()`` and ``sys.getsizeof(model)`` tell what it takes.

    Threads may share a model: scoring runs beside scoring, in parallel where batches are long; learning
    and forgetting wait for it and have the model alone; ``save`` runs beside scoring. ``pickle`` and
    ``copy`` do not wait: keep learning off while they run, or use ``save``. Forked children, and Ctrl-C: as for
    :class:`imondrian.IsolationMondrianForest`.

    river's ``ThresholdFilter(protect_anomaly_detector=False)`` never trains the detector it wraps
    (as of river 0.26): leave that option at its default.

    References
    ----------
    See :class:`imondrian.IsolationMondrianForest`.

    Examples
    --------
    >>> from river import datasets
    >>> from imondrian.river import OnlineIsolationMondrianForest
    >>> model = OnlineIsolationMondrianForest(n_trees=25, seed=1)
    >>> for x, _ in datasets.Shuttle().take(500):
    ...     score = model.score_one(x)
    ...     model.learn_one(x)
    >>> bool(model.score_one(x) < 0.6 < model.score_one({key: 500 for key in x}))
    True
    """

    @property
    def _is_stochastic(self) -> bool:
        return True

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"n_trees": 10, "seed": 42}


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
