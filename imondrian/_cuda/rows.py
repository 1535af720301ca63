"""Rows on a CUDA device: recognised, checked as scikit-learn would, scored there, given back in their library."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from imondrian._forest.forest import Forest

    from .forest import DeviceForest


def is_on_device(X: Any) -> bool:
    """Whether X is an array of CuPy or a torch tensor on a CUDA device.

    Where a library was never imported, nothing can be of it, and nothing is imported to find out.
    """
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    return _is_cupy(X) or (tensor is not None and isinstance(X, tensor) and X.device.type == "cuda")


def refuse_device(X: Any) -> None:
    """Raise TypeError for rows on a device where they cannot be used."""
    if is_on_device(X):
        hint = "cupy.asnumpy(X)" if _is_cupy(X) else "X.cpu()"
        raise TypeError(f"X is on a CUDA device, where rows can be scored; for everything else, pass {hint}")


class DeviceRows:
    """Rows on a device, ready to be scored by forests of one width and precision.

    Parameters
    ----------
    X : cupy.ndarray or torch.Tensor
    dtype : numpy.float32 or numpy.float64
        The forests'; other numbers are cast to it.
    estimator : str
        Named in messages, which are scikit-learn's.
    """

    def __init__(self, X: Any, dtype: Any, estimator: str) -> None:
        self._give_back: Callable[[Any], Any] = lambda array: array
        self.array = X if _is_cupy(X) else self._from_torch(X)
        self._check(estimator)
        self._dtype = dtype

    def __len__(self) -> int:
        return len(self.array)

    def _from_torch(self, X: Any) -> Any:
        from imondrian._kit.device import import_cupy

        torch = sys.modules["torch"]
        if X.requires_grad:
            raise ValueError("X requires grad, and scores have no gradient: pass X.detach()")
        if X.dtype == torch.bfloat16:
            raise TypeError("X has dtype bfloat16, which CuPy does not know: convert it to float32")
        self._give_back = torch.from_dlpack
        return import_cupy().from_dlpack(X)

    def _check(self, estimator: str) -> None:
        X = self.array
        if X.dtype.kind == "c":
            raise ValueError("Complex data not supported")
        if X.ndim < 2:
            raise ValueError(
                f"Expected 2D array, got {X.ndim}D array instead, of shape {X.shape}.\nReshape your data "
                "either using array.reshape(-1, 1) if your data has a single feature or "
                "array.reshape(1, -1) if it contains a single sample."
            )
        if X.ndim > 2:
            raise ValueError(f"Found array with dim {X.ndim}, while dim <= 2 is required by {estimator}.")
        for axis, of in enumerate(("sample", "feature")):
            if X.shape[axis] == 0:
                raise ValueError(
                    f"Found array with 0 {of}(s) (shape={X.shape}) while a minimum of 1 is required by {estimator}."
                )

    def scores(self, forest: Forest, score: str, sign: float = 1.0) -> Any:
        """Return ``sign`` times the anomaly scores of the rows, (n,), float64, on their device, as CuPy's array.

        MemoryError, with sizes, where not even one row's fit beside the forest.
        """
        parts = self._in_parts(forest, score, lambda copy, rows: copy.scores(rows, score, sign))
        return parts[0] if len(parts) == 1 else sys.modules["cupy"].concatenate(parts)

    def host_scores(self, forest: Forest, score: str) -> np.ndarray:
        """Return scores to be compared with the CPU's, in numpy: ties count, so they are never above the CPU's."""
        return np.concatenate(self._in_parts(forest, score, lambda copy, rows: copy.host_scores(rows, score)))

    def _in_parts(self, forest: Forest, score: str, compute: Callable[[DeviceForest, Any], Any]) -> list[Any]:
        """Compute on all rows in the forest's dtype at once, or on as many as there is memory for."""
        from imondrian._kit.device import open_device
        from imondrian._kit.device_memory import in_parts

        from .forest import device_forest

        if score == "spacing":
            forest.require_spaced()
        if forest.nominal.any():
            raise ValueError(
                "X is on a CUDA device, where forests with nominal features cannot be scored: pass an array of NumPy "
                f"(nominal: columns {np.flatnonzero(forest.nominal).tolist()[:10]})"
            )
        device = open_device()
        xp = sys.modules["cupy"]

        def some(first: int, last: int) -> Any:
            rows = xp.ascontiguousarray(self.array[first:last], dtype=self._dtype)
            return compute(device_forest(device, forest), rows)

        try:
            return in_parts(device, len(self), some)
        except device.out_of_memory as error:
            device.release_memory()
            free, total = (f"{n / 2**20:,.0f} MiB" for n in device.free_memory())
            raise MemoryError(
                f"the device has too little memory to score even one row: {error} {free} of {total} are free; X has "
                f"shape {self.array.shape} ({self.array.nbytes / 2**20:,.0f} MiB), the forest {forest.n_trees} trees. "
                f"Free arrays; what torch keeps, torch.cuda.empty_cache() gives back"
            ) from error

    def give_back(self, result: Any) -> Any:
        """Return a result (CuPy's or numpy's) in the rows' library, on their device."""
        return self._give_back(sys.modules["cupy"].asarray(result))


@contextmanager
def device_rows(estimator: Any, X: Any, dtype: Any) -> Iterator[DeviceRows]:
    """Check X for a fitted estimator, with its device and (for tensors) torch's current stream made CuPy's."""
    from sklearn.utils.validation import validate_data

    with _device_of(X):
        rows = DeviceRows(X, dtype, type(estimator).__name__)
        validate_data(estimator, rows.array, skip_check_array=True, reset=False)  # looks at width and names only
        yield rows


def _device_of(X: Any) -> AbstractContextManager[Any]:
    if _is_cupy(X):
        return sys.modules["cupy"].cuda.Device(X.device.id)
    from imondrian._kit.torch_stream import torch_stream

    return torch_stream(sys.modules["torch"], X.device)


def _is_cupy(X: Any) -> bool:
    array = getattr(sys.modules.get("cupy"), "ndarray", None)  # absent half-way through cupy's own import
    return array is not None and isinstance(X, array)
