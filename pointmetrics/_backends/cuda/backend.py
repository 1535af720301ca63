"""The CUDA backend: what :class:`pointmetrics._backends.protocol.Backend` asks for, by kernels on one device."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import lru_cache
from itertools import groupby
from typing import Any, TypeVar

import numpy as np

from imondrian._kit.device import Device, import_cupy, open_device
from imondrian._kit.device_memory import in_parts
from pointmetrics._backends.conventions import Convention
from pointmetrics._backends.protocol import Array

from . import emd as _cuda_emd
from . import nearest as _cuda_nearest
from . import sampling as _cuda_sampling
from . import search as _cuda_search
from . import sets as _cuda_sets
from . import sinkhorn as _cuda_sinkhorn
from .kernel_source import kernel_of

_Arrays = TypeVar("_Arrays", bound=tuple[Array, ...])

MAX_DIM = 64
_CHUNK = 4096  # values a block sums
_MOST_KEPT = 64  # arrays of sizes that were uploaded


class CudaBackend:
    """See :class:`pointmetrics._backends.protocol.Backend`; arrays are CuPy's, on one device."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.xp = device.xp
        # Offsets of equal batches come again with every call: what was uploaded is kept.
        self._kept: OrderedDict[tuple[bytes, str], Array] = OrderedDict()
        self._recorded: dict[tuple[bytes, str], Array] = {}  # what graphs go on reading, whenever they are replayed

    def __reduce__(self) -> tuple[Callable[[], CudaBackend], tuple[()]]:
        return backend, ()  # of the device that is current where it is unpickled, as CuPy's arrays are

    def upload(self, array: Any) -> Array:
        return array if isinstance(array, self.xp.ndarray) else self.xp.asarray(array)

    def download(self, array: Any) -> np.ndarray:
        return self.xp.asnumpy(array)

    def constant(self, array: Any) -> Array:
        if isinstance(array, self.xp.ndarray):
            return array
        key = array.tobytes(), array.dtype.str
        found = self._recorded.get(key, self._kept.get(key))
        if self.device.is_capturing:
            if found is None:
                raise RuntimeError(
                    "nothing can be uploaded while a graph is recorded: call the function once with "
                    "clouds of the same sizes before"
                )
            self._recorded[key] = found
            return found
        if found is None:
            found = self.xp.asarray(array)
            # Whoever uses it next may do so on another stream.
            self.device.synchronize()
        self._keep(key, found)
        return found

    def _keep(self, key: tuple[bytes, str], array: Array) -> None:
        """Make an array the one used last, and forget the one that was not for longest."""
        self._kept.pop(key, None)
        self._kept[key] = array
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)

    def max_magnitudes(self, arrays: list[Array]) -> list[float]:
        if self.device.is_capturing:
            return [1.0] * len(arrays)  # nothing can be read while a graph is recorded: the caller vouches
        most = self.xp.zeros(len(arrays), dtype=np.uint64)
        first = 0
        while first < len(arrays):  # two of a dtype in one launch
            a = arrays[first]
            b = next((other for other in arrays[first + 1 : first + 2] if other.dtype == a.dtype), a)
            n_b = 0 if b is a else b.size
            blocks = max(1, min(4 * self.device.n_multiprocessors, -(-max(a.size, n_b) // 1024)))
            self.device.launch(
                kernel_of("segments", "max_magnitudes", a.dtype),
                (blocks, 1 if b is a else 2),
                (256,),
                (a, np.int64(a.size), b, np.int64(n_b), most, np.int32(first)),
            )
            first += 1 if b is a else 2
        found = self.download(most)  # the one time that a call waits
        return [
            float(bits.astype(np.uint32 if values.dtype == np.float32 else np.uint64).view(values.dtype))
            for bits, values in zip(found, arrays, strict=True)
        ]

    def sums(self, values: Array, offsets: np.ndarray) -> Array:
        n_clouds = len(offsets) - 1
        n_chunks = -(-_largest(offsets.tobytes()) // _CHUNK)
        out = self.xp.empty(n_clouds * n_chunks, dtype=np.float64)
        self.device.launch(
            kernel_of("segments", "segment_sums", values.dtype),
            (len(out),),
            (256,),
            (values, self.constant(offsets), np.int64(_CHUNK), np.int32(n_chunks), out),
        )
        return out if n_chunks == 1 else out.reshape(n_clouds, n_chunks).sum(axis=1)

    def sum_both_ways(
        self,
        sq_x: Array,
        x_offsets: np.ndarray,
        sq_y: Array,
        y_offsets: np.ndarray,
        root: bool,
        mean: bool,
        factor: float,
    ) -> Array:
        if _largest(x_offsets.tobytes()) > _CHUNK or _largest(y_offsets.tobytes()) > _CHUNK:
            sides = [
                (self.xp.sqrt(sq) if root else sq, offsets) for sq, offsets in ((sq_x, x_offsets), (sq_y, y_offsets))
            ]
            forth, back = (
                self.sums(sq, offsets) / (self.constant(np.diff(offsets)) if mean else 1) for sq, offsets in sides
            )
            return factor * (forth + back)
        out = self.xp.empty(len(x_offsets) - 1, dtype=np.float64)
        self.device.launch(
            kernel_of("segments", "sum_both_ways", sq_x.dtype),
            (len(out),),
            (256,),
            (
                sq_x,
                self.constant(x_offsets),
                sq_y,
                self.constant(y_offsets),
                np.int32(root),
                np.int32(mean),
                np.float64(factor),
                out,
            ),
        )
        return out

    def counts(self, rows: Array, size: int) -> Array:
        # Not xp.bincount, which waits for the largest row.
        counts = self.xp.zeros(size, dtype=np.uint64)
        kernel = kernel_of("segments", "count_rows", np.float64)
        self.device.launch(kernel, (-(-len(rows) // 256),), (256,), (rows, np.int64(len(rows)), counts))
        return counts.view(np.int64)

    def nearest(
        self, x: Array, x_offsets: np.ndarray, y: Array, y_offsets: np.ndarray, n_threads: int, index: Any = None
    ) -> tuple[Array, Array, Array, Array]:
        check_dimension(x)
        large = _which_are_large(x_offsets.tobytes(), y_offsets.tobytes(), x.shape[1], _cuda_search.LEAST_PAIRS)
        if not any(large):
            return _cuda_nearest.nearest(self, x, x_offsets, y, y_offsets)
        # Large pairs one by one, and what lies between them together.
        found, first = [], 0
        for is_large, run in groupby(large):
            last = first + len(list(run))
            step = 1 if is_large else last - first
            for i in range(first, last, step):
                at = [slice(int(o[i]), int(o[i + step])) for o in (x_offsets, y_offsets)]
                parts = x[at[0]], y[at[1]]
                offsets = [_part(o, i, i + step) for o in (x_offsets, y_offsets)]
                found.append(
                    _cuda_search.nearest(self, *parts, index)
                    if is_large
                    else _cuda_nearest.nearest(self, parts[0], offsets[0], parts[1], offsets[1])
                )
            first = last
        return self._joined(found)

    def prepare(self, points: Array) -> Any:
        check_dimension(points)
        return _cuda_search.Index(self, points)

    def nearest_grad(
        self,
        x: Array,
        x_offsets: np.ndarray,
        y: Array,
        y_offsets: np.ndarray,
        id_x: Array,
        coef_x: Array | None,
        id_y: Array,
        coef_y: Array | None,
    ) -> tuple[Array, Array]:
        sides = (x, x_offsets, id_x, coef_x), (y, y_offsets, id_y, coef_y)
        return (_cuda_nearest.pull(self, *sides), _cuda_nearest.pull(self, *sides[::-1]))

    def farthest(self, points: Array, offsets: np.ndarray, k: int, start: int, n_threads: int) -> Array:
        return _cuda_sampling.farthest(self.xp, points, offsets, k, start)

    def balls(self, points: Array, centres: Array, sq_radii: Array, n_threads: int) -> tuple[Array, np.ndarray]:
        return _cuda_sampling.balls(self.xp, points, centres, sq_radii)

    def pairwise(
        self,
        x: Array,
        x_offsets: np.ndarray,
        y: Array,
        y_offsets: np.ndarray,
        pairs: np.ndarray,
        power: int,
        n_threads: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        check_dimension(x)
        found = in_parts(
            self.device,
            len(pairs),
            lambda first, last: _cuda_sets.sums_of_pairs(self, x, x_offsets, y, y_offsets, pairs[first:last], power),
        )
        forth, back = (np.concatenate(part) for part in zip(*found, strict=True))
        return forth, back

    def nearest_clouds(
        self,
        x: Array,
        x_offsets: np.ndarray,
        y: Array,
        y_offsets: np.ndarray,
        within: bool,
        definition: Convention,
        n_threads: int,
        report: Callable[[int, int], None] | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        check_dimension(x)
        return _cuda_sets.nearest_clouds(self, x, x_offsets, y, y_offsets, within, definition, report)

    def assign(
        self, x: Array, y: Array, offsets: np.ndarray, squared: bool, tol: float, n_threads: int
    ) -> tuple[Array, Array, Array, Array, Array]:
        check_dimension(x)

        def some(first: int, last: int) -> tuple[Array, Array, Array, Array, Array]:
            at = slice(int(offsets[first]), int(offsets[last]))
            found = _cuda_emd.assign(self, x[at], y[at], _part(offsets, first, last), squared, tol, n_threads)
            return found.upper, found.lower, found.converged, found.assignment, found.prices

        return self._joined(in_parts(self.device, len(offsets) - 1, some))

    def assign_grad(
        self, x: Array, y: Array, offsets: np.ndarray, squared: bool, assignment: Array
    ) -> tuple[Array, Array]:
        return _cuda_emd.assign_grad(self, x, y, offsets, squared, assignment)

    def sinkhorn(
        self,
        x: Array,
        x_offsets: np.ndarray,
        y: Array,
        y_offsets: np.ndarray,
        epsilon: float,
        squared: bool,
        tol: float,
        max_iter: int,
    ) -> Array:
        check_dimension(x)

        def some(first: int, last: int) -> tuple[Array]:
            at = (slice(int(o[first]), int(o[last])) for o in (x_offsets, y_offsets))
            return (
                _cuda_sinkhorn.divergences(
                    self,
                    x[next(at)],
                    _part(x_offsets, first, last),
                    y[next(at)],
                    _part(y_offsets, first, last),
                    epsilon,
                    squared,
                    tol,
                    max_iter,
                ),
            )

        return self._joined(in_parts(self.device, len(x_offsets) - 1, some))[0]

    def _joined(self, parts: list[_Arrays]) -> _Arrays:
        """Put results of consecutive pairs together."""
        if len(parts) == 1:
            return parts[0]
        return tuple(self.xp.concatenate(part) for part in zip(*parts, strict=True))  # type: ignore[return-value]


# Batches of equal sizes come one after another: what follows from the sizes alone is found once.


@lru_cache(maxsize=256)
def _largest(offsets: bytes) -> int:
    return int(np.diff(np.frombuffer(offsets, np.int64)).max())


@lru_cache(maxsize=256)
def _which_are_large(x_offsets: bytes, y_offsets: bytes, d: int, least: int) -> tuple[bool, ...]:
    """Tell which pairs are better searched; ``least`` is what that depends on besides."""
    counts = (np.diff(np.frombuffer(offsets, np.int64)).tolist() for offsets in (x_offsets, y_offsets))
    return tuple(_cuda_search.pays(n, m, d) for n, m in zip(*counts, strict=True))


def _part(offsets: np.ndarray, first: int, last: int) -> np.ndarray:
    """Return the offsets of some of the clouds; of all, the same array."""
    if first == 0 and last == len(offsets) - 1:
        return offsets
    return offsets[first : last + 1] - offsets[first]


def check_dimension(points: Array) -> None:
    """Refuse more coordinates than kernels keep in shared memory."""
    if points.shape[1] > MAX_DIM:
        raise ValueError(
            f"clouds on a CUDA device may have at most {MAX_DIM} coordinates a point, got {points.shape[1]}"
        )


_backends: dict[Hashable, CudaBackend] = {}


def backend() -> CudaBackend:
    """Return the backend of CuPy's current device."""
    device = open_device()
    if device.key not in _backends:
        _backends[device.key] = CudaBackend(device)
    return _backends[device.key]


def from_dlpack(tensor: Any) -> Array:
    """View a tensor on a CUDA device as a CuPy array."""
    return import_cupy().from_dlpack(tensor)
