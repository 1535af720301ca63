"""What a stream's model has learnt, as files, keyed stores and pickles hold it, by the names that they have for it."""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import Any

from imondrian._conformal.conformal import ScoreWindow
from imondrian._forest.forest import Forest
from imondrian._forest.schema import in_files
from imondrian._persist.codec import pack, unpack
from imondrian._persist.model_file import is_key

from .feedback import Verdicts
from .stream import StreamModel

TYPES: dict[str, Any] = {
    "_keys": dict,
    "_forest": (Forest, NoneType),
    "_recent": (dict, NoneType),
    "_n_ignored": int,
    "_n_dropped": int,
}


def state_of(model: StreamModel) -> dict[str, Any]:
    """Return what was learnt."""
    return dict(zip(TYPES, (model.keys, model.forest, model.recent, model.n_ignored, model.n_dropped), strict=True))


def give_state(model: StreamModel, state: dict[str, Any]) -> None:
    """Make a model that of a state which is sound."""
    model.verdicts = state.get("_verdicts")
    model.keys, model.forest, model.recent, model.n_ignored, model.n_dropped = (state[name] for name in TYPES)


def give_checked_state(model: StreamModel, state: dict[str, Any]) -> None:
    """Make a model that of a file whose types are right; ValueError where parts of it contradict each other."""
    settings, forest, recent = model.settings, state["_forest"], state["_recent"]
    if forest is not None:
        forest.require_learning("going on with a stream")
        if forest.n_trees != settings.n_trees:
            raise ValueError(f"n_trees={settings.n_trees} does not go with a forest of {forest.n_trees}")
        if forest.age != settings.retention.age:
            raise ValueError(f"a horizon of {settings.retention.age} s does not go with one of {forest.age} s")
        if settings.spaced and not forest.spaced:
            raise ValueError(f"score={settings.score!r} needs trees that were grown for it")
    if min(state["_n_ignored"], state["_n_dropped"]) < 0:
        raise ValueError(f"{state['_n_ignored']} keys ignored and {state['_n_dropped']} dropped")
    _check_keys(state["_keys"], 0 if forest is None else forest.n_features)
    if (recent is None) != (settings.calibration is None):
        raise ValueError(f"calibration={settings.calibration!r} does not go with the past scores that are there")
    if recent is not None:
        recent = ScoreWindow.from_arrays(recent)
        if recent.size != settings.calibration or recent.half_life != settings.half_life:
            raise ValueError(f"{recent.size} past scores do not go with calibration={settings.calibration!r}")
    give_state(model, {**state, "_recent": recent})
    if "_verdicts" in state:
        if forest is None:
            raise ValueError("verdicts without a forest")
        model.verdicts = Verdicts.from_arrays(state["_verdicts"], forest.n_features, forest.n_trees, forest.dtype)
    if forest is not None and settings.max_bytes is not None:
        reserved = model.reserved(forest.n_features)
        if settings.max_bytes < reserved:
            raise ValueError(
                f"max_bytes={settings.max_bytes} does not go with {forest.n_features} features, which take "
                f"{reserved} beside the trees"
            )


def _check_keys(keys: dict[Any, Any], width: int) -> None:
    """Raise ValueError unless keys from a file name the places of ``width`` features."""
    if strange := [key for key in keys if not is_key(key)]:
        raise ValueError(f"{strange[0]!r:.80} cannot be a feature")
    places = sorted(place for place in keys.values() if type(place) is int)
    if places != list(range(width)) or len(keys) != width:
        raise ValueError(f"keys name the places {places!r:.80} of {width} features")


# -- the short form, which keyed stores hold -----------------------------------------------------------


def to_bytes(model: StreamModel) -> bytes:
    """Return all that a model has learnt; boxes are left out, they follow from the points."""
    found = state_of(model)
    if model.forest is not None:
        state = model.forest.__getstate__()
        # Boxes are not there either if the model came from bytes, and has learnt nothing.
        found["_forest"] = {**state, "columns": in_files(state["columns"])}
    return pack(found)


def from_bytes(data: bytes, make: Callable[[], StreamModel]) -> StreamModel:
    """Return a new model of ``make`` that has learnt what another had; ValueError if that is damaged."""
    model = make()
    n_features = min(model.settings.max_features, len(data) // 4)  # each of which is named
    return from_state(unpack(data, model.most_bytes(n_features, n_features)), model)


def from_state(state: dict[str, Any], model: StreamModel) -> StreamModel:
    """Return ``model``, which is new, with an unpacked state."""
    if state.keys() != TYPES.keys():
        raise ValueError("damaged: other attributes than a model has")
    if state["_forest"] is not None:
        forest = Forest.__new__(Forest)
        forest.__setstate__(state["_forest"])
        state["_forest"] = forest
    for name, value in state.items():
        if not isinstance(value, TYPES[name]):
            raise ValueError(f"damaged: {name} cannot be {value!r:.80}")
    give_checked_state(model, state)
    return model
