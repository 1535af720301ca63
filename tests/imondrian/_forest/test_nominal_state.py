"""Mixed forests as bytes: what is kept, what older programs see, damage by name, features that come and go."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from cases.forest_cases import built, case, states
from numpy.testing import assert_array_equal
from reference.nominal_reference import words

from imondrian import IsolationMondrianForest, _core
from imondrian._cuda.rows import DeviceRows
from imondrian._forest.footprint import Layout
from imondrian._forest.forest import RESERVOIR, SLIDING, STATE_VERSION, UNBOUNDED, Forest
from imondrian._models.feedback import Verdicts, verdicts_given
from imondrian._persist.codec import pack, unpack
from imondrian.export import to_onnx, to_treelite

NOMINAL = np.array([False, True, False, True])
MEMORIES = [(UNBOUNDED, None, 0.0), (SLIDING, 20, 0.05), (RESERVOIR, 20, 0.01)]


def mixed(n, seed=0, dtype=np.float64, missing=0.05):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)).astype(dtype)
    X[:, 1], X[:, 3] = words(rng.integers(0, 4, n), 1, dtype), words(rng.integers(0, 60, n), 2, dtype)
    X[rng.random(X.shape) < missing] = np.nan
    return X


def forest_of(n=60, dtype=np.float64, **options):
    X = mixed(n, dtype=dtype)
    options = {"scaled": True, **options}
    return Forest.build(X, None, states(0, 3), n, nominal=NOMINAL, nominal_weight=0.5, **options)


def stream_of(memory, spaced=False):
    forest = Forest.for_stream(4, np.float64, states(0, 9), *memory, scaled=True, spaced=spaced, nominal=NOMINAL)
    forest.learn(mixed(70))
    return forest


# -- kept ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spaced", [False, True])
def test_a_state_brings_everything_back(dtype, spaced):
    forest = forest_of(dtype=dtype, spaced=spaced)
    other = pickle.loads(pickle.dumps(forest))
    assert_array_equal(other.nominal, NOMINAL)
    for name, column in forest.__getstate__()["columns"].items():
        assert column.tobytes() == other.__getstate__()["columns"][name].tobytes(), name
    other.learn(mixed(20, 5, dtype))
    other.check()


def test_forests_of_numbers_have_nothing_of_it():
    X = case("normal", 40, 4)
    plain, none = built(X), built(X, nominal=np.zeros(4, bool))
    assert not plain.mixed and not plain.nominal.any()
    assert plain.columns.keys() == none.columns.keys()
    assert plain.__getstate__()["version"] < STATE_VERSION == forest_of().__getstate__()["version"]
    for name, column in plain.columns.items():
        assert column.tobytes() == none.columns[name].tobytes(), name


def test_a_short_form_keeps_words_to_the_bit():
    forest = forest_of()
    other = unpack(pack({"forest": forest}))["forest"]
    assert other.columns["points"].tobytes() == pickle.loads(pickle.dumps(forest)).columns["points"].tobytes()
    assert_array_equal(forest.scores(mixed(30), "depth"), other.scores(mixed(30), "depth"))


# -- damage ----------------------------------------------------------------------------------------------


def damaged_boxes(c):
    c["lower"][1, c["header"][1, 0], 1] = words(["other"], 77)[0]


def damaged_word(c):
    c["points"][c["leaf_point"][1, 0], 1] = 0.0


def damaged_bit(c):
    v = nominal_node(c)
    c["threshold"][1, v] = 62.0


def fraction_of_a_bit(c):
    c["threshold"][1, nominal_node(c)] += 0.5


def bit_beyond_a_word(c):
    c["threshold"][1, nominal_node(c)] = 1e300


def other_bit(c):
    v = nominal_node(c)
    c["threshold"][1, v] = c["threshold"][1, v] % 61 + 1


def nominal_node(c):
    return int(np.flatnonzero(c["feature"][1, : c["header"][1, 4]] == 3)[0])


def negative_weight(c):
    c["nominal"][1] = -1.0


def lost_weight(c):
    c["nominal"][1] = np.nan


def rate_of_a_word(c):
    c["rate"][1, 1] = 1.0


def bit_rate_of_a_number(c):
    c["bit_rate"][1, 0] = 1.0


def no_bit_rate(c):
    c["bit_rate"][1, 3] = 0.0


def endless_bit_rate(c):
    c["bit_rate"][1, 3] = np.inf


def share_above_one(c):
    c["level_root"][1, 3] = 2.0


def entropy_that_is_no_number(c):
    c["entropy"][1, 3] = np.nan


@pytest.mark.parametrize(
    ("damage", "invariant"),
    [
        (damaged_boxes, 4),
        (damaged_word, 9),
        (damaged_bit, 6),
        (fraction_of_a_bit, 6),
        (bit_beyond_a_word, 6),
        (other_bit, 6),
        (negative_weight, 14),
        (lost_weight, 14),
        (rate_of_a_word, 14),
        (bit_rate_of_a_number, 14),
        (no_bit_rate, 10),
        (endless_bit_rate, 14),
        (share_above_one, 14),
        (entropy_that_is_no_number, 14),
    ],
)
def test_damage_is_found_by_name(damage, invariant):
    forest = forest_of()
    forest.check()
    damage(forest.columns)
    with pytest.raises(ValueError, match=rf"damaged forest: tree \d, .*I{invariant}\)"):
        forest.check()
    forest._renew_view()
    with pytest.raises(ValueError, match="damaged forest"):
        forest.check()


def test_a_forged_state_is_refused():
    state = forest_of().__getstate__()
    for name, change in (
        ("nominal", lambda column: column[:-1]),
        ("nominal", lambda column: column.astype(np.float32)),
        ("bit_rate", lambda column: column[:, :-1]),
        ("entropy", lambda column: column[:1]),
        ("nominal", lambda column: -column),
    ):
        forged = {**state, "columns": {**state["columns"], name: change(state["columns"][name])}}
        with pytest.raises(ValueError, match="damaged forest"):
            Forest.__new__(Forest).__setstate__(copy.deepcopy(forged))
    with pytest.raises(ValueError, match="edition 0"):
        Forest.__new__(Forest).__setstate__({**state, "edition": 0})


# -- features that come and go ---------------------------------------------------------------------------


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("n_old", [1, 4])
def test_nominal_features_join_a_stream(memory, spaced, n_old):
    X = mixed(200, missing=0.0)
    forest = Forest.for_stream(n_old, np.float64, states(0, 9), *memory, scaled=True, spaced=spaced)
    forest.learn(case("normal", 30, n_old))
    _, new = forest.add_features(3, nominal=np.array([True, False, True]), nominal_weight=2.0)
    assert_array_equal(np.flatnonzero(forest.nominal), [new[0], new[2]])
    assert (forest.columns["nominal"][[new[0], new[2]]] == 2.0).all()
    forest.check()
    rows = np.full((150, n_old + 3), np.nan)
    rows[:, 0] = X[:150, 0]
    rows[:, new] = X[:150][:, [1, 2, 3]]
    scores = forest.learn(rows, score="spacing" if spaced else "depth")
    forest.check()
    assert np.isfinite(scores[-50:]).all()
    used = forest.columns["feature"]
    assert np.isin([new[0], new[2]], used[used >= 0]).all()


def test_a_place_that_was_nominal_can_become_a_number():
    forest = stream_of((SLIDING, 20, 0.0))
    rows = mixed(60, 3)
    rows[:, 3] = np.nan
    forest.learn(np.ascontiguousarray(np.tile(rows, (4, 1))))
    assert 3 in forest.silent_features()
    places, new = forest.add_features(1, [3])
    assert new == [3]
    assert places[3] == -1
    assert_array_equal(forest.nominal, [False, True, False, False])
    forest.check()
    rows[:, 3] = np.random.default_rng(0).normal(size=60)
    forest.learn(rows)
    forest.check()


# -- tables of levels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", MEMORIES)
def test_tables_that_were_kept_up_are_those_made_anew(memory):
    """Thousands of levels pass through small windows; what is left of the tables scores as new ones."""
    rng = np.random.default_rng(0)
    kinds = np.array([False, True])
    forest = Forest.for_stream(2, np.float64, states(0, 9), *memory, scaled=True, spaced=True, nominal=kinds)
    X = rng.normal(size=(1500, 2))
    X[:, 1] = words(rng.integers(0, 3000, 1500), 5)
    X[::7, 1] = words(["common"], 6)[0]
    X[::11, 1] = np.nan
    for i in range(0, 1500, 100):
        forest.learn(X[i : i + 100], score="spacing")
        forest.forget(X[i + 90 : i + 95])
    assert forest._view.levels_held > 0
    found = forest.scores(X[-300:], "spacing")
    forest._renew_view()
    assert forest._view.levels_held == 0
    assert_array_equal(found, forest.scores(X[-300:], "spacing"))


@pytest.mark.parametrize("memory", MEMORIES)
def test_bytes_are_as_laid_out(memory):
    forest = stream_of(memory, spaced=True)
    forest.scores(mixed(3, missing=0.0), "spacing")
    layout = forest.layout
    assert layout.nominal == 2
    slots, rows = forest.columns["feature"].shape[1], len(forest.columns["points"])
    assert forest.nbytes - forest._view.means_held == layout.size(slots, rows)
    plain = layout._replace(nominal=0)
    assert isinstance(plain, Layout) and plain.size(slots, rows) < layout.size(slots, rows)
    most = 10 * layout.size(slots, rows)
    fits = layout.slots_that_fit(most, slots, rows)
    assert layout.size(fits, rows + fits - slots) <= most


# -- verdicts, cells -------------------------------------------------------------------------------------


def test_verdicts_find_words_in_their_cells():
    forest = forest_of(200, spaced=True)
    X = mixed(200, missing=0.0)
    rows = X[:6]
    verdicts = verdicts_given(forest, "spacing", None, rows, np.array([1, -1, 1, -1, 1, -1], np.int32))
    cells, mine = forest.cells(X, 8.0), forest.cells(rows, 8.0)
    shared = (cells[:, None, :] == mine[None, :, :]).mean(axis=2)
    shifts = verdicts.shifts(X)
    assert ((shared > 0).any(axis=1) | (shifts == 0)).all()
    restored = Verdicts.from_arrays(verdicts.to_arrays(), 4, 3, np.float64)
    assert_array_equal(shifts, restored.shifts(X))
    damaged = {**verdicts.to_arrays(), "nominal": np.full_like(verdicts.cuts["nominal"], 2)}
    with pytest.raises(ValueError, match="damaged verdicts"):
        Verdicts.from_arrays(damaged, 4, 3, np.float64)


def test_cells_are_where_walks_pass():
    forest = forest_of(100)
    X = mixed(40, 9, missing=0.0)
    columns = forest.columns
    for row, cells in zip(X, forest.cells(X, 5.0), strict=True):
        for t, cell in enumerate(cells.tolist()):
            v = int(columns["header"][t, 0])
            while v >= 0 and columns["mass"][t, v] > 5.0:
                j, cut = columns["feature"][t, v], columns["threshold"][t, v]
                value = row[j : j + 1]
                right = (int(value.view(np.uint64)[0]) >> int(cut)) & 1 if NOMINAL[j] else int(value[0] > cut)
                v = int(columns["child"][t, v, right])
            assert v == cell


def test_useless_bits_are_never_cut():
    forest = forest_of(200)
    c = forest.columns
    bits = {int(b) for t in range(3) for b in c["threshold"][t][np.isin(c["feature"][t], [1, 3])]}
    assert bits and not bits & {0, 62} and max(bits) < 64
    assert _core.USELESS_BITS == 2


# -- who takes numbers only ------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ["depth", "spacing"])
def test_devices_refuse_nominal_features_before_they_are_opened(score):
    rows = DeviceRows.__new__(DeviceRows)
    with pytest.raises(ValueError, match=r"nominal features cannot be scored: pass an array of NumPy .*\[1, 3\]"):
        rows.scores(forest_of(spaced=True), score)


@pytest.mark.parametrize("export", [to_onnx, to_treelite])
def test_exports_refuse_nominal_columns_by_name(export):
    table = pd.DataFrame({"x": np.arange(40.0), "site": list("abcd") * 10})
    model = IsolationMondrianForest(5, score="depth", random_state=0).fit(table)
    with pytest.raises(ValueError, match=r"numbers only, and the forest has nominal columns: \['site'\]"):
        export(model)
