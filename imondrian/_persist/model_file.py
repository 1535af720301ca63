"""What a model's file holds: its parameters and fitted attributes, as JSON that refers to arrays.

JSON's own null, true, numbers, text, lists, and objects with text keys stand for themselves (an int stays
an int, 1.0 a float). An object with one member whose name begins with "$" stands for something else:

- ``{"$array": name}`` an array of the file
- ``{"$tuple": [...]}``, ``{"$map": [[key, value], ...]}`` a tuple, and a dict whose keys are not all text
- ``{"$names": [...]}`` an array of text
- ``{"$random_state": {...}}`` a ``numpy.random.RandomState``: the loaded one is its own, and goes on from there
- ``{"$forest": {...}}`` a forest: its scalars and columns, without boxes, which follow from the points
- ``{"$imported_forest": {...}}`` the cuts and masses of a forest that was imported

Past scores and calibration rows are objects of arrays, which their classes rebuild and check.

A class says in ``_FITTED`` which attributes its file holds, and of what type each is.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, NoReturn, Self, TypeVar

import numpy as np

from imondrian._forest.forest import Forest
from imondrian._forest.imported_forest import ImportedForest
from imondrian._forest.rwlock import reading
from imondrian._forest.schema import in_files

from . import container

Model = TypeVar("Model", bound="SavedModel")
_MT19937_WORDS = 624


class SavedModel:
    """``save`` and ``load`` for a class that names in ``_FITTED`` what its file holds beside its parameters."""

    _FILE_CLASS: ClassVar[str]
    _FITTED: ClassVar[dict[str, Any]]

    def _file_parameters(self) -> dict[str, Any]:
        """Return the parameters of ``__init__``; raise TypeError or ValueError for one that is not valid."""
        raise NotImplementedError

    @classmethod
    def _check_state(cls, parameters: dict[str, Any], fitted: dict[str, Any]) -> None:
        """Raise ValueError where parameters ask for more room than the attributes of a file take."""

    def _file_state(self) -> dict[str, Any]:
        """Return what was learnt, by the names in ``_FITTED``; nothing if nothing was."""
        raise NotImplementedError

    def _take_state(self, fitted: dict[str, Any]) -> None:
        """Become what another had learnt, whose types are right; ValueError where parts of it contradict each other."""
        raise NotImplementedError

    @reading
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file that :meth:`load` reads: versioned, checked, and not a pickle.

        Whatever was learnt, and every generator's state, is kept: a loaded model goes on to the last bit as
        this one would. A ``RandomState`` among the parameters is saved as it stands; the loaded model has its own,
        which this one's further draws do not move.

        Parameters
        ----------
        path : str or os.PathLike
            Replaced all at once, after the new file was read back: whatever happens, there is the old file or the
            new one. A process that is killed may leave a file ``.<name>.<random>.tmp`` beside it, which the next
            one that saves there removes.

        Raises
        ------
        BlockingIOError
            ``imondrian stream`` is learning into this file.
        OSError
            The file cannot be written, or is a folder, a FIFO or a device. What was there before is unharmed.
        TypeError, ValueError
            A parameter is not valid, or is an object that a file cannot hold; or a feature's key is neither None,
            bool, int, float, str, nor a tuple of these; or the model is damaged.
        """
        state = {"parameters": self._file_parameters(), "fitted": self._file_state()}
        arrays: dict[str, np.ndarray] = {}
        encoded = encode(state, "", arrays)
        cls: Any = next(each for each in type(self).__mro__ if "_FILE_CLASS" in vars(each))

        def read_back(new: str) -> None:
            try:
                cls.load(new, mmap=os.name != "nt")  # Windows cannot replace what is mapped
            except ValueError as error:
                what = str(error).removeprefix(f"{new!r} is damaged: ")
                raise ValueError(
                    f"the model cannot be saved, it would not be read back: {what}; "
                    f"{os.fspath(path)!r} is left as it was"
                ) from None

        container.write(path, self._FILE_CLASS, encoded, arrays, read_back)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, mmap: bool = False) -> Self:
        """Return the model of a file; nothing in a file is executed.

        Parameters
        ----------
        path : str or os.PathLike
        mmap : bool, default=False
            Map the forest's columns instead of copying them, so that processes that only score share
            their memory. The first update copies them; the file is never changed. While it is
            mapped, replace the file (as :meth:`save` does), but do not write into it.

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It was not saved by this class, has a newer format, or is damaged; the message says which.
        """
        kind, encoded, arrays = container.read(path, mmap=mmap)
        if kind != cls._FILE_CLASS:
            raise ValueError(f"{os.fspath(path)!r} was saved by {kind!r:.80}; it cannot be loaded by {cls._FILE_CLASS}")
        try:
            left = dict(arrays)
            state = decode(encoded, left)
            if left:
                raise ValueError(f"the array {next(iter(left))!r} belongs to nothing")
            model = _model(cls, state)
            model._take_state(_checked(cls, state["fitted"]))
        except (ValueError, TypeError, RecursionError, OverflowError, MemoryError) as error:
            raise ValueError(f"{os.fspath(path)!r} is damaged: {error}") from None
        return model


def _model(cls: type[Model], state: Any) -> Model:
    if (
        not isinstance(state, dict)
        or state.keys() != {"parameters", "fitted"}
        or not all(isinstance(part, dict) for part in state.values())
    ):
        raise ValueError("the state must have the members parameters and fitted, and no other")
    cls._check_state(state["parameters"], state["fitted"])
    return cls(**state["parameters"])


def _checked(cls: type[SavedModel], fitted: dict[str, Any]) -> dict[str, Any]:
    """Return what was learnt if each part of it is of the type that the class names."""
    types = cls._FITTED
    for name, value in fitted.items():
        if name not in types:
            raise ValueError(f"{cls.__name__} has no fitted attribute {name!r}")
        if not isinstance(value, types[name]) or (isinstance(value, bool) and types[name] is not bool):
            raise ValueError(f"{name} cannot be {value!r:.80}")
    return fitted


# -- to JSON and arrays ----------------------------------------------------------------------------


def encode(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return ``value`` as JSON; put its arrays into ``arrays`` under names that say where they were."""
    if isinstance(value, np.generic):
        value = value.item()  # equal, and equal as a key
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is list:
        return [encode(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]
    if type(value) is tuple:
        return {"$tuple": [encode(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]}
    if type(value) is dict:
        return _encode_dict(value, name, arrays)
    if isinstance(value, np.ndarray):
        return _encode_array(np.asarray(value), name, arrays)  # of a memory map as well
    if type(value) is np.random.RandomState:
        return {"$random_state": encode(_twister_state(value, name), name, arrays)}
    if type(value) is Forest:
        return {"$forest": encode(_forest_state(value), name, arrays)}
    if type(value) is ImportedForest:
        return {"$imported_forest": encode(value.__getstate__(), name, arrays)}
    if hasattr(type(value), "to_arrays"):
        return encode(value.to_arrays(), name, arrays)
    raise TypeError(
        f"{name.lstrip('.')} cannot be saved: {value!r:.80} of type {type(value).__name__}; "
        "a file holds None, bool, int, finite float, str, and lists, tuples and dicts of them"
    )


def _encode_dict(value: dict[Any, Any], name: str, arrays: dict[str, np.ndarray]) -> Any:
    if all(type(key) is str and not key.startswith("$") for key in value):
        return {key: encode(item, f"{name}.{key}" if name else key, arrays) for key, item in value.items()}
    return {
        "$map": [
            [encode(key, f"{name} key", arrays), encode(item, f"{name}.{i}", arrays)]
            for i, (key, item) in enumerate(value.items())
        ]
    }


def _encode_array(value: np.ndarray, name: str, arrays: dict[str, np.ndarray]) -> Any:
    if value.dtype == object and value.ndim == 1 and all(isinstance(item, str) for item in value):
        return {"$names": [str(item) for item in value]}
    arrays[name] = value
    return {"$array": name}


def _twister_state(random_state: np.random.RandomState, name: str) -> dict[str, Any]:
    state: Any = random_state.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        raise TypeError(f"{name.lstrip('.')} cannot be saved: a RandomState of {state['bit_generator']}, not MT19937")
    return {
        "key": state["state"]["key"],
        "pos": state["state"]["pos"],
        "has_gauss": state["has_gauss"],
        "gauss": state["gauss"],
    }


def _forest_state(forest: Forest) -> dict[str, Any]:
    """Return the state with columns as a loaded forest will hold them, so that they can be mapped."""
    state = forest.__getstate__()
    columns = in_files(state["columns"])
    restored = Forest.__new__(Forest)
    restored._restore({**state, "columns": columns})
    return {**state, "columns": {name: restored.columns[name] for name in columns}}


def is_key(value: Any) -> bool:
    """Whether a feature that came from a file may be one: None, bool, int, finite float, str, or a tuple of these."""
    if type(value) is tuple:
        return all(map(is_key, value))
    return value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value))


# -- and back --------------------------------------------------------------------------------------


def decode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return what JSON stands for; take its arrays out of ``arrays``."""
    if isinstance(value, list):
        return [decode(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((name, content),) = value.items()
        if name.startswith("$"):
            if name not in _DECODERS:
                raise ValueError(f"{name!r} stands for nothing that this imondrian knows")
            return _DECODERS[name](content, arrays)
    return {key: decode(item, arrays) for key, item in value.items()}


def _damaged(what: str, content: Any) -> NoReturn:
    raise ValueError(f"{content!r:.80} is no {what}")


def _decode_array(content: Any, arrays: dict[str, np.ndarray]) -> np.ndarray:
    if not isinstance(content, str) or content not in arrays:
        raise ValueError(f"the array {content!r:.80} is missing, or used twice")
    return arrays.pop(content)


def _decode_tuple(content: Any, arrays: dict[str, np.ndarray]) -> tuple[Any, ...]:
    if not isinstance(content, list):
        _damaged("tuple", content)
    return tuple(decode(content, arrays))


def _decode_map(content: Any, arrays: dict[str, np.ndarray]) -> dict[Any, Any]:
    if not isinstance(content, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in content):
        _damaged("map", content)
    pairs = [(decode(key, arrays), decode(item, arrays)) for key, item in content]
    found = dict(pairs)
    if len(found) != len(pairs):
        _damaged("map: a key occurs twice", content)
    return found


def _decode_names(content: Any, arrays: dict[str, np.ndarray]) -> np.ndarray:
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        _damaged("list of names", content)
    return np.array(content, dtype=object)


def _decode_random_state(content: Any, arrays: dict[str, np.ndarray]) -> np.random.RandomState:
    state = decode(content, arrays)
    if not isinstance(state, dict) or state.keys() != {"key", "pos", "has_gauss", "gauss"}:
        _damaged("state of a generator", content)
    key, pos = state["key"], state["pos"]
    # numpy itself would take any position, and read there.
    if (
        not isinstance(key, np.ndarray)
        or key.dtype != np.uint32
        or key.shape != (_MT19937_WORDS,)
        or type(pos) is not int
        or not 0 <= pos <= _MT19937_WORDS
        or state["has_gauss"] not in (0, 1)
        or type(state["gauss"]) is not float
    ):
        _damaged("state of a generator", content)
    random_state = np.random.RandomState(0)
    random_state.set_state(("MT19937", key, pos, int(state["has_gauss"]), state["gauss"]))
    return random_state


def _decode_forest(kind: type[Forest], content: Any, arrays: dict[str, np.ndarray]) -> Forest:
    forest = kind.__new__(kind)
    forest.__setstate__(decode(content, arrays))
    return forest


_DECODERS: dict[str, Callable[[Any, dict[str, np.ndarray]], Any]] = {
    "$array": _decode_array,
    "$tuple": _decode_tuple,
    "$map": _decode_map,
    "$names": _decode_names,
    "$random_state": _decode_random_state,
    "$forest": partial(_decode_forest, Forest),
    "$imported_forest": partial(_decode_forest, ImportedForest),
}
