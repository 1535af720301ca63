"""The auditor names the tree and the invariant of every kind of damage, and damaged states never crash."""

import copy
import pickle

import numpy as np
import pytest
from cases.forest_cases import built, case, empty

from imondrian._forest.forest import RESERVOIR, SLIDING, UNBOUNDED, Forest

T = 1  # the tree that is damaged
ROOT, LEAVES, FREE_NODE, FREE_LEAF, NODE_MARK, LEAF_MARK = range(6)


@pytest.fixture
def forest():
    X = case("normal", 30, 3)
    forest = built(X, n_trees=3)
    forest.forget(X[:6])
    forest.check()
    return forest


@pytest.fixture
def window():
    forest = empty(3, n_trees=3, capacity=12, memory=SLIDING)
    forest.learn(case("lattice", 50, 3))
    forest.check()
    return forest


def assert_fails(forest, invariant):
    with pytest.raises(ValueError, match=rf"damaged forest: tree {T}, (node|leaf) \d+: .*\(invariant I{invariant}\)"):
        forest.check()
    with pytest.raises(ValueError, match=rf"tree {T}, .*I{invariant}"):
        forest.check(n_threads=3)


def inner(forest, t=T):
    """Node slots in use, the root first."""
    columns, order = forest.columns, [int(forest.columns["header"][t, ROOT])]
    for v in order:
        order += [c for c in columns["child"][t, v].tolist() if c >= 0]
    return order


def leaf_under(forest, v, t=T):
    """A leaf slot whose parent is v, or comes after it."""
    nodes = inner(forest, t)
    return next(~c for u in nodes[nodes.index(v) :] for c in forest.columns["child"][t, u] if c < 0)


def set_root(c, v, leaf):
    c["header"][T, ROOT] = c["header"][T, NODE_MARK] + 3


def miscount_leaves(c, v, leaf):
    c["header"][T, LEAVES] -= 1


def share_a_child(c, v, leaf):
    c["child"][T, v, 0] = c["child"][T, v, 1]


def point_child_at_root(c, v, leaf):
    c["child"][T, v, 1] = c["header"][T, ROOT]


def child_beyond(c, v, leaf):
    c["child"][T, v, 0] = 2**31 - 1


def leaf_beyond(c, v, leaf):
    c["child"][T, v, 1] = -(2**31)


def wrong_parent(c, v, leaf):
    c["parent"][T, v] = -1


def wrong_leaf_parent(c, v, leaf):
    c["leaf_parent"][T, leaf] += 1


def root_with_parent(c, v, leaf):
    c["parent"][T, c["header"][T, ROOT]] = v


def no_such_feature(c, v, leaf):
    c["feature"][T, v] = 3


def freed_but_linked(c, v, leaf):
    c["feature"][T, v] = -2


def wrong_mass(c, v, leaf):
    c["mass"][T, v] += 1


def weightless_leaf(c, v, leaf):
    c["leaf_mass"][T, leaf] = 0


def negative_mass(c, v, leaf):
    c["leaf_mass"][T, leaf] = -1


def infinite_mass(c, v, leaf):
    c["leaf_mass"][T, leaf] = np.inf


def missing_mass(c, v, leaf):
    c["mass"][T, v] = np.nan


def narrow_box(c, v, leaf):
    c["upper"][T, v, 1] -= 1e-9


def wide_box(c, v, leaf):
    c["lower"][T, v, 2] -= 1e-9


def missing_box(c, v, leaf):
    c["lower"][T, v, 0] = np.nan


def time_runs_back(c, v, leaf):
    c["time"][T, v] = c["time"][T, c["parent"][T, v]]


def negative_time(c, v, leaf):
    c["time"][T, c["header"][T, ROOT]] = -1.0


def infinite_time(c, v, leaf):
    c["time"][T, v] = np.inf


def missing_time(c, v, leaf):
    c["time"][T, v] = np.nan


def low_cut(c, v, leaf):
    c["threshold"][T, v] = c["lower"][T, v, c["feature"][T, v]] - 1


def high_cut(c, v, leaf):
    c["threshold"][T, v] = c["upper"][T, v, c["feature"][T, v]]


def cycle_of_free_nodes(c, v, leaf):
    free = c["header"][T, FREE_NODE]
    c["child"][T, free, 0] = free


def free_node_in_use(c, v, leaf):
    c["header"][T, FREE_NODE] = v


def free_leaf_beyond(c, v, leaf):
    c["header"][T, FREE_LEAF] = 10**6


def lost_free_leaves(c, v, leaf):
    c["header"][T, FREE_LEAF] = -1


def high_water_beyond(c, v, leaf):
    c["header"][T, NODE_MARK] = 10**6


def negative_high_water(c, v, leaf):
    c["header"][T, LEAF_MARK] = -1


def point_beyond(c, v, leaf):
    c["leaf_point"][T, leaf] = 10**6


def negative_point(c, v, leaf):
    c["leaf_point"][T, leaf] = -1


def infinite_cut(c, v, leaf):
    c["threshold"][T, v] = np.inf


def missing_cut(c, v, leaf):
    c["threshold"][T, v] = np.nan


def negative_rate(c, v, leaf):
    c["rate"][T, 0] = -1


def rate_in_the_padding(c, v, leaf):
    c["rate"][T, 3] = 1


def side_without_a_rate(c, v, leaf):
    c["rate"][T, 1] = 0


DAMAGE = {
    1: [set_root, miscount_leaves],
    2: [
        share_a_child,
        point_child_at_root,
        child_beyond,
        leaf_beyond,
        wrong_parent,
        wrong_leaf_parent,
        root_with_parent,
        no_such_feature,
        freed_but_linked,
    ],
    3: [wrong_mass, weightless_leaf, negative_mass, infinite_mass, missing_mass],
    4: [narrow_box, wide_box, missing_box],
    5: [time_runs_back, negative_time, infinite_time, missing_time],
    6: [low_cut, high_cut],
    7: [
        cycle_of_free_nodes,
        free_node_in_use,
        free_leaf_beyond,
        lost_free_leaves,
        high_water_beyond,
        negative_high_water,
    ],
    8: [point_beyond, negative_point],
    9: [infinite_cut, missing_cut],
    10: [negative_rate, rate_in_the_padding, side_without_a_rate],
}


@pytest.mark.parametrize(("invariant", "damage"), [(i, damage) for i, kinds in DAMAGE.items() for damage in kinds])
def test_the_auditor_names_tree_and_invariant(forest, invariant, damage):
    v = inner(forest)[1]
    damage(forest.columns, v, leaf_under(forest, v))
    if damage is share_a_child:
        invariant = 1  # both links are sound; what is below them is reached twice
    elif damage is point_child_at_root:
        invariant = 2
    assert_fails(forest, invariant)


def test_the_auditor_looks_at_stored_points(forest):
    """A point is shared by all trees, so the first tree is named."""
    point = forest.columns["leaf_point"][0, leaf_under(forest, inner(forest, 0)[0], 0)]
    forest.columns["points"][point, 1] = np.inf
    with pytest.raises(ValueError, match=r"damaged forest: tree 0, leaf \d+: .*\(invariant I9\)"):
        forest.check()


def test_the_auditor_looks_at_moved_points(forest):
    forest.columns["points"][forest.columns["leaf_point"][T, leaf_under(forest, inner(forest)[0])], :3] += 100
    with pytest.raises(ValueError, match=r"tree \d, node \d+: .*\(invariant I[46]\)"):
        forest.check()


@pytest.mark.parametrize("damage", ["dead leaf", "beyond", "negative", "twice", "too many", "none"])
def test_the_auditor_looks_at_members(window, damage):
    c = window.columns
    members = c["member_leaf"][T]
    if damage == "dead leaf":
        dead = np.flatnonzero(c["leaf_point"][T, : c["header"][T, LEAF_MARK]] < 0)
        members[0] = dead[0] if len(dead) else c["header"][T, LEAF_MARK]
    elif damage == "beyond":
        members[0] = 10**6
    elif damage == "negative":
        members[0] = -1
    elif damage == "twice":
        members[0] = next(leaf for leaf in members if leaf != members[0])
    elif damage == "too many":
        c["stream"][T, 1] = 13
    else:
        c["stream"][T, 1] = -1
    assert_fails(window, 8)


@pytest.mark.parametrize(
    ("place", "value"), [(0, -1), (0, np.iinfo(np.int64).min), (1, 11), (3, -1), (3, 12), (3, np.iinfo(np.int64).max)]
)
def test_the_auditor_looks_at_the_state_of_the_stream(window, place, value):
    """A ring whose position is wrong would be written outside its columns."""
    window.columns["stream"][T, place] = value
    assert_fails(window, 8)


def test_the_first_damaged_tree_is_named(forest):
    for t in (2, T):
        forest.columns["mass"][t, inner(forest, t)[0]] += 1
    assert_fails(forest, 3)


# -- states from outside -------------------------------------------------------------------------------


def make(kind):
    if kind == "batch":
        return built(case("normal", 12, 3), n_trees=2, boxes=False)
    if kind == "float32":
        return built(case("duplicates", 12, 3, dtype=np.float32), n_trees=2)
    memory = {"unbounded": UNBOUNDED, "sliding": SLIDING, "reservoir": RESERVOIR}[kind]
    forest = empty(3, n_trees=2, capacity=8, memory=memory)
    forest.learn(case("normal", 30, 3))
    if memory == UNBOUNDED:
        forest.forget(case("normal", 30, 3)[:20])
    return forest


KINDS = ["batch", "float32", "unbounded", "sliding", "reservoir"]


def load(state):
    forest = Forest.__new__(Forest)
    forest.__setstate__(state)
    return forest


def damaged(kind):
    return copy.deepcopy(make(kind).__getstate__())


def test_states_load_as_they_are():
    for kind in KINDS:
        forest = load(damaged(kind))
        forest.check()
        assert pickle.dumps(forest) == pickle.dumps(make(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_column_is_named(kind):
    for name in make(kind).__getstate__()["columns"]:
        state = damaged(kind)
        del state["columns"][name]
        if name == "lower":
            load(state).check()  # boxes are optional; upper alone is left out
            continue
        with pytest.raises(ValueError, match=name):
            load(state)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", ["dtype", "text", "long", "wide", "flat", "none", "list", "scalar", "trees"])
def test_a_column_of_another_kind_raises(kind, change):
    for name in make(kind).__getstate__()["columns"]:
        state = damaged(kind)
        column = state["columns"][name]
        state["columns"][name] = {
            "dtype": lambda c=column: c.astype(np.float16 if c.dtype.kind == "f" else np.uint8),
            "text": lambda c=column: np.full(c.shape, "a rather long text in place of numbers"),
            "long": lambda c=column: np.concatenate([c, c]),
            "wide": lambda c=column: np.concatenate([c] * 40, axis=1),
            "flat": lambda c=column: c.ravel(),
            "none": lambda: None,
            "list": lambda c=column: c.tolist(),
            "scalar": lambda c=column: c.ravel()[0],
            "trees": lambda c=column: c[:1],
        }[change]()
        try:
            forest = load(state)
        except ValueError as error:
            assert "damaged forest" in str(error) or repr(name) in str(error) or "cannot have rows" in str(error)
        else:
            # Rows that no leaf names, and spare room, do no harm.
            assert (name, change) in {("points", "long"), ("leaf_point", "wide"), ("member_leaf", "wide")}
            use(forest)


@pytest.mark.parametrize("key", ["version", "n_features", "memory", "decay", "scaled", "edition", "columns"])
@pytest.mark.parametrize("value", [None, "x", -1, 7, 64, 64.5, 10**12, float("nan"), float("inf"), [], {}])
def test_a_wrong_scalar_raises(key, value):
    state = damaged("reservoir")
    state[key] = value
    if key == "decay" and value in (7, 64):  # the range of `decay`, ends included
        load(state).check()
        return
    with pytest.raises(ValueError, match=r"damaged forest|state version"):
        load(state)


@pytest.mark.parametrize("state", [None, 3, "x", [], {}, {"version": 1}, {"version": 2}, {"version": 2, "columns": {}}])
def test_what_is_no_state_raises(state):
    with pytest.raises(ValueError, match=r"version|damaged"):
        load(state)


def use(forest):
    """Everything a loaded forest may be asked for; a forest that passed the audit survives it."""
    X = np.nan_to_num(forest.columns["points"][:5, : forest.n_features]).copy()
    with np.errstate(all="ignore"):
        forest.scores(X, "depth")
        forest.scores(np.repeat(X, 30, axis=0), "depth")
        forest.scores(X, "insertion")
        forest.learn(np.repeat(X, 9, axis=0) + np.arange(len(X) * 9)[:, None].astype(X.dtype), score="insertion")
        forest.forget(X)
    forest.check()


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits_raise_or_do_no_harm(kind):
    rng = np.random.default_rng(KINDS.index(kind))
    clean, loaded, refused = make(kind).__getstate__(), 0, 0
    for name, column in clean["columns"].items():
        for _ in range(60):
            state = {**clean, "columns": dict(clean["columns"])}
            raw = bytearray(column.tobytes())
            for _ in range(int(rng.integers(1, 4))):
                raw[rng.integers(len(raw))] ^= 1 << int(rng.integers(8))
            state["columns"][name] = np.frombuffer(bytes(raw), column.dtype).reshape(column.shape)
            try:
                forest = load(state)
            except ValueError as error:
                assert "damaged forest" in str(error)
                refused += 1
            else:
                use(forest)
                loaded += 1
    assert refused > 100 and loaded > 50


@pytest.mark.parametrize("kind", KINDS)
def test_random_integers_raise_or_do_no_harm(kind):
    rng = np.random.default_rng(100 + KINDS.index(kind))
    clean = make(kind).__getstate__()
    for name in ("feature", "child", "parent", "leaf_parent", "leaf_point", "header", "member_leaf", "stream"):
        for value in (-(2**31), -3, -2, -1, 0, 1, 5, 100, 2**31 - 1):
            if name not in clean["columns"]:
                continue
            state = {**clean, "columns": dict(clean["columns"])}
            column = state["columns"][name] = clean["columns"][name].copy()
            column.ravel()[rng.integers(column.size)] = value
            try:
                forest = load(state)
            except ValueError as error:
                assert "damaged forest" in str(error)
            else:
                use(forest)
