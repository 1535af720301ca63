"""Read clouds from any array library, check them once, and give results back the same way.

Every public function begins with :func:`read_pair` (or :func:`read_clouds`) and works from there on
packed arrays: all points of all clouds of a batch one after another in ``points``, cloud ``i`` being
``points[offsets[i]:offsets[i + 1]]``. A single cloud, a padded batch with ``lengths`` and a ragged list
look the same from inside, and only this module knows what the caller passed. Arrays are numpy's or, for
clouds on a CUDA device, CuPy's: what differs between them is the clouds' ``backend``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from pointmetrics._backends.cpu.backend import CPU
from pointmetrics._backends.protocol import Array, Backend
from pointmetrics._io.npy import lies_across

from .libraries import NUMPY, Library, half_message, to_native, warn_user
from .numbers import split_pair
from .objects import points_of, refuse_unknown, wrong_shape

_MAX_POINTS = 2**31 - 2


@dataclass(frozen=True, slots=True)
class Clouds:
    """One or more clouds, packed.

    ``points`` is C-contiguous ``(total, d)`` float32 or float64 in the memory of ``backend``,
    ``offsets`` int64 ``(b + 1,)`` in the host's. ``kind`` is "single", "batch" or "list": the shape that
    results take. ``max_n`` is the padded length of a batch.
    """

    points: Array
    offsets: np.ndarray
    kind: str
    max_n: int
    backend: Backend = CPU

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> Array:
        return self.points[self.offsets[i] : self.offsets[i + 1]]

    @property
    def counts(self) -> np.ndarray:
        """Number of points of each cloud, int64 ``(b,)``."""
        return self.offsets[1:] - self.offsets[:-1]

    @property
    def is_uniform(self) -> bool:
        """Whether all clouds have ``max_n`` points."""
        return len(self.points) == len(self) * self.max_n

    def spread(self, values: Any) -> Array:
        """Repeat one value a cloud ``(b,)`` for each of its points, ``(total,)``."""
        values = self.backend.constant(values)
        if self.is_uniform:
            return self.backend.xp.repeat(values, self.max_n)
        return values[self.backend.upload(np.repeat(np.arange(len(self)), self.counts))]

    def rows_in_use(self) -> Array:
        """Return the rows of a padded batch ``(b * max_n, ...)`` that are no padding, int64 ``(total,)``."""
        return self.backend.upload(np.flatnonzero(np.arange(self.max_n) < self.counts[:, None]))

    def unpack(self, values: Array, fill: float = 0) -> Any:
        """Shape packed per-point ``values`` ``(total, ...)`` like the caller's clouds.

        Padding of a batch holds ``fill``.
        """
        if self.kind == "single":
            return values
        if self.kind == "list":
            return [values[a:b] for a, b in pairwise(self.offsets.tolist())]
        full = (len(self), self.max_n, *values.shape[1:])
        if len(values) == full[0] * full[1]:
            return values.reshape(full)
        padded = self.backend.xp.full((full[0] * full[1], *full[2:]), fill, dtype=values.dtype)
        padded[self.rows_in_use()] = values
        return padded.reshape(full)

    def means(self, values: Array, weights: Array | None = None) -> Array:
        """Average packed per-point ``values`` over each cloud, in float64 ``(b,)``."""
        if weights is not None:
            return self.sums(values * weights) / self.sums(weights)
        return self.sums(values) / self.backend.constant(self.counts)

    def sums(self, values: Array) -> Array:
        """Sum packed per-point ``values`` over each cloud, in float64 ``(b,)``."""
        return self.backend.sums(values, self.offsets)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two equally long sequences of clouds of one dtype and dimension.

    ``index`` is the native index of the prepared side, which then repeats one cloud.
    """

    x: Clouds
    y: Clouds
    library: Library
    prepared: str = ""  # "x" or "y" where that side is a PreparedCloud
    index: Any = None

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64: what is computed in and given back."""
        return self.x.points.dtype

    def __len__(self) -> int:
        return len(self.x)

    @property
    def backend(self) -> Backend:
        """Where both sides live and are computed on."""
        return self.x.backend

    def result(self, values: Array) -> Any:
        """Give one number a pair, ``(b,)``, back: a scalar for a single pair, else ``(b,)``."""
        values = values.astype(self.dtype, copy=False)
        if self.x.kind == "single":
            return values[0] if self.library is NUMPY else self.library.wrap(values[0])
        return self.library.wrap(values)

    def per_point(self, side: Clouds, values: Array, fill: float = 0) -> Any:
        """Give packed per-point values of ``side`` back in the shape of its clouds."""
        unpacked = side.unpack(values, fill)
        if isinstance(unpacked, list):
            return [self.library.wrap(v) for v in unpacked]
        return self.library.wrap(unpacked)


def read_pair(x: Any, y: Any, *, lengths: Any = None, names: tuple[str, str] = ("x", "y")) -> Pair:
    """Read and check two clouds, batches or lists that are compared one with one.

    ``lengths`` is ``None``, a tuple ``(x_lengths, y_lengths)`` either of which may be ``None``, or
    one ``(b,)`` array that holds for both.
    """
    x_lengths, y_lengths = split_pair(lengths)
    x_draft, x_library = _draft(x, names[0], x_lengths)
    y_draft, y_library = _draft(y, names[1], y_lengths)
    if x_library is not y_library and x_library != y_library:
        raise TypeError(
            f"{names[0]} and {names[1]} must come from one library and device, got {x_library} and {y_library}: "
            f"bring one to the other's"
        )
    x_clouds, y_clouds = _settle([x_draft, y_draft])
    if isinstance(y, Prepared):
        if y_clouds.kind != x_clouds.kind:
            y_clouds = _repeat(y_clouds, len(x_clouds))
        x_clouds, y_clouds = match(x_clouds, y_clouds, names)
        return Pair(x_clouds, y_clouds, x_library, "y", y.index(y_clouds.points.dtype))
    if isinstance(x, Prepared):
        if x_clouds.kind != y_clouds.kind:
            x_clouds = _repeat(x_clouds, len(y_clouds))
        x_clouds, y_clouds = match(x_clouds, y_clouds, names)
        return Pair(x_clouds, y_clouds, x_library, "x", x.index(x_clouds.points.dtype))
    x_clouds, y_clouds = match(x_clouds, y_clouds, names)
    return Pair(x_clouds, y_clouds, x_library)


class Prepared:
    """What :func:`read_clouds` knows about a cloud that was indexed before (``PreparedCloud``)."""

    _clouds: Clouds
    _library: Library

    def index(self, dtype: np.dtype) -> Any:
        """Return the backend's index for points of ``dtype``."""
        raise NotImplementedError


def _repeat(clouds: Clouds, times: int) -> Clouds:
    n = clouds.max_n
    points = clouds.backend.xp.tile(clouds.points, (times, 1))
    return Clouds(points, np.arange(0, times * n + 1, n), "batch", n, clouds.backend)


def match(x: Clouds, y: Clouds, names: tuple[str, str] = ("x", "y")) -> tuple[Clouds, Clouds]:
    """Check that two sequences of clouds go together and bring them to one dtype."""
    if (x.kind == "single") != (y.kind == "single"):
        raise ValueError(
            f"{names[0]} and {names[1]} must both be single clouds or both batches, got "
            f"{_describe(x)} and {_describe(y)}; a PreparedCloud stands for every cloud of its side"
        )
    if len(x) != len(y):
        raise ValueError(f"{names[0]} and {names[1]} must hold equally many clouds, got {len(x)} and {len(y)}")
    return agree(x, y, names)


def agree(x: Clouds, y: Clouds, names: tuple[str, str] = ("x", "y")) -> tuple[Clouds, Clouds]:
    """Check that clouds live together and have one dimension; bring them to one dtype."""
    if x.backend is not y.backend:
        raise TypeError(f"{names[0]} and {names[1]} must come from one library and device")
    if x.points.shape[1] != y.points.shape[1]:
        low, wider = min((side.points.shape[1], other) for side, other in ((x, names[1]), (y, names[0])))
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same dimension d, got {x.points.shape[1]} and "
            f"{y.points.shape[1]}: take the coordinates alone, as in {wider}[..., :{low}]"
        )
    if x.points.dtype != y.points.dtype:
        x, y = _as_float64(x), _as_float64(y)
    return x, y


def read_clouds(x: Any, name: str, *, lengths: Any = None) -> tuple[Clouds, Library]:
    """Read and check one cloud, batch or list."""
    draft, library = _draft(x, name, lengths)
    return _settle([draft])[0], library


@dataclass(frozen=True, slots=True)
class _Draft:
    """Clouds whose values are yet to be checked: ``parts`` of them with the caller's arrays and names.

    Values are checked for all arguments together, because a device has to be waited for.
    """

    clouds: Clouds
    parts: list[tuple[Array, Array, str]]


def _draft(x: Any, name: str, lengths: Any) -> tuple[_Draft, Library]:
    if type(x) is np.ndarray:
        return _draft_array(x, name, lengths, NUMPY), NUMPY
    if isinstance(x, Prepared):
        if lengths is not None:
            raise ValueError(f"lengths need a batch (b, n, d), but {name} is a PreparedCloud")
        return _Draft(x._clouds, []), x._library
    x = points_of(x, name)
    if isinstance(x, (list, tuple)) and len(x) > 0 and hasattr(x[0], "ndim") and x[0].ndim != 1:
        return _draft_list(x, name, lengths)
    array, library = to_native(x, name)
    if array.dtype.kind in "OSU":
        refuse_unknown(x, array, name)
    return _draft_array(array, name, lengths, library), library


def _draft_array(array: Array, name: str, lengths: Any, library: Library, warns: bool = True) -> _Draft:
    backend = library.backend
    points = as_floats(array, name, backend)
    shape = points.shape
    if len(shape) not in (2, 3):
        raise wrong_shape(shape, name)
    if 0 in shape:
        raise ValueError(
            f"{name} is empty: it must hold at least one point of at least one coordinate, got shape {shape}"
        )
    if warns and lies_across(shape):
        n, d = shape[-2:]
        warn_user(
            f"{name} has shape {tuple(shape)}, {n} point{'s' if n > 1 else ''} in {d:,} dimensions. Points are "
            f"rows: {d:,} points in {n}-D have shape {(*shape[:-2], d, n)}, as in np.swapaxes({name}, -1, -2)"
        )
    if len(shape) == 2:
        if lengths is not None:
            raise ValueError(f"lengths need a batch (b, n, d), but {name} has shape {shape}")
        clouds = Clouds(points, np.array([0, shape[0]], dtype=np.int64), "single", shape[0], backend)
        return _Draft(clouds, [(points, points, name)])
    b, n, d = shape
    clouds = Clouds(points.reshape(b * n, d), np.arange(0, b * n + 1, n, dtype=np.int64), "batch", n, backend)
    if lengths is not None:
        counts = _check_lengths(lengths, b, n, name)
        clouds = replace(clouds, offsets=np.concatenate([[0], np.cumsum(counts)]))
        clouds = replace(clouds, points=clouds.points[clouds.rows_in_use()])
    return _Draft(clouds, [(clouds.points, points, name)])


def _draft_list(clouds: Any, name: str, lengths: Any) -> tuple[_Draft, Library]:
    if lengths is not None:
        raise ValueError(f"lengths need a batch (b, n, d), but {name} is a list, whose clouds have their own")
    parts: list[tuple[Array, Array, str]] = []
    library: Library | None = None
    for i, cloud in enumerate(clouds):
        array, cloud_library = to_native(cloud, f"{name}[{i}]")
        library = library or cloud_library
        if cloud_library != library:
            raise TypeError(
                f"the clouds of {name} must come from one library and device, got {library} and {cloud_library}"
            )
        if array.ndim != 2:
            raise ValueError(f"{name}[{i}] must have shape (n, d), got {array.shape}")
        warned = any(lies_across(part[0].shape) for part in parts)  # once a list
        parts += _draft_array(array, f"{name}[{i}]", None, library, not warned).parts
        if parts[i][0].shape[1] != parts[0][0].shape[1]:
            raise ValueError(
                f"{name}[{i}] must have {parts[0][0].shape[1]} coordinates a point like "
                f"{name}[0], got shape {parts[i][0].shape}"
            )
    library = library or NUMPY
    points = [part[0] for part in parts]
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in points], dtype=np.int64)])
    packed = points[0] if len(points) == 1 else library.backend.xp.concatenate(points)
    return _Draft(Clouds(packed, offsets, "list", int(np.diff(offsets).max()), library.backend), parts), library


def _settle(drafts: list[_Draft]) -> list[Clouds]:
    """Check the values of clouds, and bring those whose squares would leave float32 to float64."""
    parts = [points for draft in drafts for points, _, _ in draft.parts]
    magnitudes = iter(drafts[0].clouds.backend.max_magnitudes(parts) if parts else ())
    settled = []
    for draft in drafts:
        if len(draft.clouds.points) > _MAX_POINTS:
            raise ValueError(
                f"{draft.parts[0][2].partition('[')[0]} may hold at most {_MAX_POINTS} points in all, "
                f"got {len(draft.clouds.points)}"
            )
        leaves = [_leaves_float32(draft.clouds, part, next(magnitudes)) for part in draft.parts]
        settled.append(_as_float64(draft.clouds) if any(leaves) else draft.clouds)
    return settled


def _leaves_float32(clouds: Clouds, part: tuple[Array, Array, str], magnitude: float) -> bool:
    """Tell whether squares may leave float32; refuse NaN and infinity, and what would leave float64.

    Indices in messages are those of the caller's array.
    """
    points, original, name = part
    if not math.isfinite(magnitude):
        values = clouds.backend.download(original)
        bad = ~np.isfinite(values)
        if bad.ndim == 3:  # padding may hold anything
            bad &= (np.arange(clouds.max_n) < clouds.counts[:, None])[:, :, None]
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name} must be finite, got {values[index]} at index {index}")
    # Differences are at most twice the magnitude; their squares are summed over d coordinates.
    reach = 2 * magnitude * math.sqrt(points.shape[1])
    if points.dtype == np.float64 and magnitude > 0 and not 1e-140 < reach < 1e153:
        raise ValueError(
            f"{name} has coordinates up to {magnitude:g}, whose squared distances leave the "
            f"range of float64; rescale it to between 1e-140 and 1e150"
        )
    return points.dtype == np.float32 and magnitude > 0 and not 1e-15 < reach < 1e19


def as_floats(array: Array, name: str, backend: Backend = CPU) -> Array:
    """Return ``array`` C-contiguous in float32 or float64; refuse every other kind of number."""
    dtype = array.dtype
    if dtype.char in "fd" and dtype.isnative:
        return backend.xp.ascontiguousarray(array) if array.ndim else array
    if dtype.kind in "iu" or (dtype.kind == "f" and dtype.itemsize in (4, 8)):
        wanted = np.float32 if dtype.kind == "f" and dtype.itemsize == 4 else np.float64
        return backend.xp.ascontiguousarray(array, dtype=wanted) if array.ndim else array
    if dtype.name in ("float16", "bfloat16"):
        raise TypeError(half_message(name, dtype.name))
    fields = "" if dtype.names is None else f": numpy.column_stack takes fields, {name}[{dtype.names[0]!r}] and so on"
    raise TypeError(f"{name} must hold float32, float64 or integer numbers, got dtype {dtype.name}{fields}")


def _check_lengths(lengths: Any, b: int, n: int, name: str) -> np.ndarray:
    # Offsets are the host's, whatever the lengths came in: they size grids and results.
    counts, library = to_native(lengths, f"the lengths of {name}")
    counts = library.backend.download(counts)
    if counts.dtype.kind not in "iu":
        raise TypeError(f"the lengths of {name} must be integers, got dtype {counts.dtype}")
    if counts.shape != (b,):
        raise ValueError(f"the lengths of {name} must have shape ({b},), got {counts.shape}")
    counts = counts.astype(np.int64)
    if counts.min() < 1 or counts.max() > n:
        i = int(np.flatnonzero((counts < 1) | (counts > n))[0])
        raise ValueError(f"the lengths of {name} must lie between 1 and n = {n}, got {counts[i]} at index {i}")
    return counts


def _as_float64(clouds: Clouds) -> Clouds:
    return replace(clouds, points=clouds.points.astype(np.float64, copy=False))


def _describe(clouds: Clouds) -> str:
    return {"single": "a single cloud", "batch": f"a batch of {len(clouds)}", "list": f"a list of {len(clouds)}"}[
        clouds.kind
    ]
