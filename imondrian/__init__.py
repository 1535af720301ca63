"""Isolation Mondrian forests: anomaly detection for batches and for streams.

:class:`IsolationMondrianForest` is a scikit-learn outlier detector with ``partial_fit``;
``imondrian.river.OnlineIsolationMondrianForest`` is the same forest as a river detector. :class:`Shingle`
(and ``imondrian.river.Shingle``) turns a series into windows for them.

A Mondrian tree is a random binary tree over points. Its root is the bounding box of all points; a
cut falls on a box after an exponential time whose rate is the sum of the box's sides, on a side drawn
in proportion to its length, at a uniform place; both halves shrink to the boxes of their points and
go on. Because time is kept, a new point can be added exactly: walking down, it is cut off above a
node with the probability that a fresh build would have cut there. Removing a point is as exact. So
a tree that has followed a stream has the law of a tree built from what it holds.

Where to start reading: ``native/base/view.hpp`` (the columns a forest consists of, and their
invariants), ``native/tree/build.hpp``, ``extend.hpp`` and ``remove.hpp`` (the laws), ``native/score/depth_score.hpp``
(the scores), ``native/stream/stream.hpp`` (what a stream keeps), then ``_forest/forest.py`` and the two facades; for
scoring on a CUDA device ``kernels/leaf_depth.cu`` and ``_cuda/forest.py``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._kit import old_names as _old_names
from ._kit.info import Info, info
from ._version import __version__ as __version__

_old_names.look_up()
__all__ = ["Info", "IsolationMondrianForest", "Shingle", "info"]

if TYPE_CHECKING:
    from ._sklearn.estimator import IsolationMondrianForest
    from ._sklearn.shingle import Shingle


# Loaded when first asked for: each may need a package that is not installed, or time.
_MODULES = ("cli", "dask", "export", "keyed", "plot", "river", "spark")


def __getattr__(name: str) -> Any:
    # scikit-learn takes most of a second to import; those who only stream need not pay for it.
    if name == "IsolationMondrianForest":
        from ._sklearn.estimator import IsolationMondrianForest

        return IsolationMondrianForest
    if name == "Shingle":
        from ._sklearn.shingle import Shingle

        return Shingle
    if name in _MODULES:
        try:
            return import_module(f".{name}", __name__)
        except ImportError as error:  # hasattr, help and inspect expect no other error
            raise AttributeError(f"module {__name__!r} has no attribute {name!r} here: {error}") from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, *(name for name in globals() if name.startswith("__"))})
