"""Checkpoints of matrices know their metric, whatever kind of function it is."""

import enum
import fractions
import functools
import json
import os
import re
import subprocess
import sys
import types
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

import pointmetrics as pm
from pointmetrics import sets
from pointmetrics._sets.identity import identify

ROOT = Path(pm.__file__).resolve().parents[1]

# Functions by name, made anew each time this is executed. No two of them are one metric.
SOURCE = """
import functools, operator
import numpy as np
import pointmetrics as pm

SCALE = SCALE_VALUE
TABLE = {"weights": np.arange(3.0), "names": {"a", "b", "c"}}

def plain(x, y): return pm.chamfer_distance(x, y)
def other_code(x, y): return pm.chamfer_distance(y, x)
def other_constant(x, y): return 2 * pm.chamfer_distance(x, y)
def with_default(x, y, alpha=1.0): return alpha * pm.chamfer_distance(x, y)
def with_other_default(x, y, alpha=2.0): return alpha * pm.chamfer_distance(x, y)
def with_keyword(x, y, *, alpha=1.0): return alpha * pm.chamfer_distance(x, y)
def of_global(x, y): return SCALE * pm.chamfer_distance(x, y)
def of_table(x, y): return TABLE["weights"].sum() * pm.chamfer_distance(x, y)
def helper(x, y): return SCALE * pm.hausdorff_distance(x, y)
def of_helper(x, y): return helper(x, y)
def of_itself(x, y): return of_itself(x[1:], y[1:]) if len(x) > 5 else pm.chamfer_distance(x, y)
def nested(x, y): return (lambda a: SCALE * a)(pm.chamfer_distance(x, y))

def closing_over(value):
    return lambda x, y: np.size(value) * pm.chamfer_distance(x, y)

class Metric:
    factor = 1.0
    def __init__(self, alpha): self.alpha = alpha
    def __call__(self, x, y): return self.alpha * pm.chamfer_distance(x, y)
    def measure(self, x, y): return self.alpha * pm.hausdorff_distance(x, y)
    @staticmethod
    def still(x, y): return pm.chamfer_distance(x, y)

class Slotted:
    __slots__ = ("alpha",)
    def __init__(self, alpha): self.alpha = alpha
    def __call__(self, x, y): return self.alpha * pm.chamfer_distance(x, y)

class Reading(Metric):
    factor = SCALE
    def __call__(self, x, y): return self.factor * pm.chamfer_distance(x, y)

class Child(Metric):
    def __call__(self, x, y): return 3 * super().__call__(x, y)

METRICS = {
    "plain": plain, "other code": other_code, "other constant": other_constant, "default": with_default,
    "other default": with_other_default, "keyword": with_keyword, "of a table": of_table, "of itself": of_itself,
    **{f"closes over {value!r}": closing_over(value) for value in
       (1, 1.0, True, None, "1", b"1", (1,), [1], {1}, {"a": 1}, {"a": 2}, np.float32(1), np.float64(1), 1 + 0j)},
    **{f"closes over an array, {name}": closing_over(array) for name, array in {
        "zeros": np.zeros(4), "square": np.zeros((2, 2)), "single": np.zeros(4, np.float32), "ones": np.ones(4),
        "objects": np.array([1, "a"], dtype=object)}.items()},
    "closes over a function": closing_over(plain), "closes over another": closing_over(other_code),
    "partial": functools.partial(pm.chamfer_distance, convention="cd-l1"),
    "other partial": functools.partial(pm.chamfer_distance, convention="cd-l2"),
    "partial of another": functools.partial(pm.hausdorff_distance, quantile=0.5),
    "partial of partial": functools.partial(functools.partial(with_keyword, alpha=3.0)),
    "partial by place": functools.partial(with_keyword, 1.0),
    "instance": Metric(1.0), "other instance": Metric(2.0), "slots": Slotted(1.0), "other slots": Slotted(2.0),
    "child": Child(1.0), "method": Metric(1.0).measure, "method of another": Metric(2.0).measure,
    "called method": Metric(1.0).__call__, "static": Metric.still, "class": Metric,
    "cached": functools.cache(other_constant), "vectorized": np.vectorize(plain), "of numpy": np.add,
    "builtin": operator.add, "the library's": pm.chamfer_distance,
    "its other": pm.density_aware_chamfer_distance,
}
OF_SCALE = {"global": of_global, "helper": of_helper, "nested": nested, "class constant": Reading(1.0)}
"""


def made(scale=2.0):
    found = {"__name__": "metrics_of_a_user"}
    exec(SOURCE.replace("SCALE_VALUE", repr(scale)), found)
    return found


def test_every_metric_is_itself_and_no_other():
    first, again = made(), made(scale=3.0)
    keys = {name: identify(metric, None) for name, metric in (first["METRICS"] | first["OF_SCALE"]).items()}
    assert {name: identify(metric, None) for name, metric in again["METRICS"].items()}.items() <= keys.items()
    twice = [name for name, key in keys.items() if list(keys.values()).count(key) > 1]
    # A staticmethod of the same text, and a method that is what calling its instance does, are the same metric.
    assert set(twice) <= {"plain", "static"}
    for name, metric in again["OF_SCALE"].items():  # their code is one, the global is another
        assert identify(metric, None) != keys[name]


def test_another_process_finds_the_same():
    code = (
        f"import json, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_metric_identity import made, identify\n"
        "print(json.dumps({name: identify(metric, None) for name, metric in made()['METRICS'].items()}))"
    )
    keys = {name: identify(metric, None) for name, metric in made()["METRICS"].items()}
    for seed in "12":
        run = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        )
        assert json.loads(run.stdout) == keys


def test_torch_modules_and_tensors():
    torch = pytest.importorskip("torch", reason="needs torch")

    def metric(weight):
        layer = torch.nn.Linear(3, 2)
        with torch.no_grad():
            layer.weight.fill_(weight)
            layer.bias.fill_(0)
        return functools.partial(lambda x, y, layer: pm.chamfer_distance(x, y), layer=layer)

    assert identify(metric(1.0), None) == identify(metric(1.0), None) != identify(metric(2.0), None)
    half = [functools.partial(lambda x, y, t: 0.0, t=torch.tensor([v], dtype=torch.bfloat16)) for v in (1.0, 1.0, 2.0)]
    assert identify(half[0], None) == identify(half[1], None) != identify(half[2], None)


def with_attribute(value):
    def metric(x, y):
        return np.full(len(x), metric.value)

    metric.value = value
    return metric


def with_member(value):
    class Metric:
        member = value

        def __call__(self, x, y):
            return np.full(len(x), self.member)

    return Metric()


def nested(value):
    class Inner:
        scale = value

    return Inner


class Reader:
    """A descriptor."""

    def __init__(self, value):
        self.value = value

    def __get__(self, instance, owner):
        return self.value


@pytest.mark.parametrize(
    "make",
    [
        with_attribute,
        with_member,
        *(
            lambda value, kind=kind: with_member(kind(value))
            for kind in (
                np.float64,
                lambda v: {v},
                lambda v: frozenset([v]),
                range,
                lambda v: functools.partial(max, v),
                lambda v: functools.partialmethod(max, v),
                lambda v: functools.cached_property(lambda self: v),
                nested,
                Reader,
                lambda v: types.SimpleNamespace(scale=v),
                fractions.Fraction,
                lambda v: enum.Enum("E", {"A": v}).A,
                lambda v: types.MappingProxyType({"a": v}),
                lambda v: re.compile(str(v)),
                lambda v: with_attribute(v),
                lambda v: OrderedDict(sorted({"a": 1, "b": 2}.items(), reverse=v == 2)),
            )
        ),
    ],
)
def test_whatever_a_function_or_its_class_holds_counts(make):
    assert identify(make(1), None) == identify(make(1), None) != identify(make(2), None)


def test_functions_of_this_package_go_by_their_names(monkeypatch):
    before = identify(pm.chamfer_distance, None)
    monkeypatch.setitem(pm.chamfer_distance.__wrapped__.__globals__, "read_options", print)
    assert identify(pm.chamfer_distance, None) == before


@pytest.mark.parametrize(
    "make",
    [
        lambda alpha: functools.partial(pm.density_aware_chamfer_distance, alpha=alpha),
        lambda alpha: (
            lambda x, y: [
                float(pm.density_aware_chamfer_distance(a, b, alpha=alpha)) for a, b in zip(x, y, strict=True)
            ]
        ),
        lambda alpha: made()["Metric"](alpha),
        lambda alpha: made()["Metric"](alpha).measure,
    ],
)
def test_a_checkpoint_of_other_parameters_is_refused(make, tmp_path):
    clouds = np.random.default_rng(0).random((4, 9, 3))
    path = tmp_path / "matrix.npz"
    right = {alpha: sets.pairwise_distances(clouds, metric=make(alpha)) for alpha in (1.0, 2.0)}
    assert not np.array_equal(right[1.0], right[2.0])
    for threads in (1, 2):
        saved = sets.pairwise_distances(clouds, metric=make(1.0), checkpoint=path, n_threads=threads)
        assert np.array_equal(saved, right[1.0])
    before = path.read_bytes()
    for other in (make(2.0), "cd-l2"):
        with pytest.raises(ValueError, match=r"checkpoint of other clouds or another metric.*metric_name"):
            sets.pairwise_distances(clouds, metric=other, checkpoint=path)
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="checkpoint of other clouds or another metric"):
        sets.evaluate(clouds, clouds + 1, metric=make(2.0), checkpoint=moved(path))


def moved(path):
    target = path.with_name("set.sr")
    target.write_bytes(path.read_bytes())
    return path.with_name("set")


def test_what_cannot_be_compared_needs_a_name(tmp_path):
    clouds, path = np.random.default_rng(0).random((4, 9, 3)), tmp_path / "matrix.npz"
    file = open(__file__, encoding="utf-8")  # noqa: SIM115
    with file:

        def metric(x, y, scale=1.0):
            return scale * pm.chamfer_distance(x, y) * (file is not None)

        for function in (metric, np.frompyfunc(lambda a, b: 1, 2, 1)):
            with pytest.raises(ValueError, match="pass a metric_name"):
                sets.pairwise_distances(clouds, metric=function, checkpoint=path)
        assert not path.exists()
        expected = sets.pairwise_distances(clouds, metric=metric)
        named = sets.pairwise_distances(clouds, metric=metric, checkpoint=path, metric_name="mine, scale 1")
        assert np.array_equal(named, expected)
        sets.pairwise_distances(clouds, metric=metric, checkpoint=path, metric_name="mine, scale 1")
        with pytest.raises(ValueError, match="another metric"):
            sets.pairwise_distances(clouds, metric=metric, checkpoint=path, metric_name="mine, scale 2")
        found = sets.evaluate(clouds, clouds + 1, metric, metric_name="mine", checkpoint=tmp_path / "set")
        assert found.metric == "mine"
    with pytest.raises(TypeError, match="metric_name must be a string"):
        sets.pairwise_distances(clouds, metric=metric, metric_name=1)
    with pytest.raises(ValueError, match="metric_name names a metric that is a function"):
        sets.pairwise_distances(clouds, metric="emd", metric_name="mine")
