"""What is said where an optional package is missing: which pip command brings it."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import imondrian

ROOT = Path(imondrian.__file__).resolve().parents[1]
FOREST = "from imondrian import IsolationMondrianForest as F; f = F(2, score='depth').fit([[0.0], [1.0]]); "
REQUIRED = {"numpy", "scipy", "sklearn", "joblib"}  # scikit-learn depends on joblib
# With the output that was asked for, or the rows that came, these have been installed.
OF_THE_CALLER = {"pandas", "polars"}

# module -> (what asks for it, what is said); the pip commands name the extras of pyproject.toml
ASKED = [
    ("river", "import imondrian.river", "pip install 'imondrian[river]'"),
    ("river", "import pointmetrics.river", "pip install 'imondrian[river]'"),
    ("river", "from pointmetrics import river", "pip install 'imondrian[river]'"),
    ("matplotlib", "import imondrian.plot", "pip install 'imondrian[plot]'"),
    ("matplotlib", "import pointmetrics.plot", "pip install 'imondrian[plot]'"),
    ("torch", "import pointmetrics.torch", "pip install 'imondrian[torch]'"),
    ("cupy", "from imondrian._kit.device import import_cupy; import_cupy()", "pip install 'imondrian[cuda]'"),
    (
        "cupy",
        "from pointmetrics._backends.cuda.backend import import_cupy; import_cupy()",
        "pip install 'imondrian[cuda]'",
    ),
    ("cupy", "import imondrian; raise ImportError(imondrian.info()['CUDA'])", "pip install 'imondrian[cuda]'"),
    ("cupy", "import pointmetrics; raise ImportError(pointmetrics.info()['CUDA'])", "pip install 'imondrian[cuda]'"),
    ("dask", "import imondrian.dask", "pip install 'imondrian[dask]'"),
    ("dask", "import pointmetrics.dask", "pip install 'imondrian[dask]'"),
    ("pyspark", "import imondrian.spark", "pip install 'imondrian[spark]'"),
    ("onnx", FOREST + "from imondrian.export import to_onnx; to_onnx(f)", "pip install 'imondrian[onnx]'"),
    (
        "treelite",
        FOREST + "from imondrian.export import to_treelite; to_treelite(f)",
        "pip install 'imondrian[treelite]'",
    ),
]
# module -> (arguments of the command line, what is said)
TYPED = [
    ("click", ["imondrian", "info"], "pip install 'imondrian[cli]'"),
    ("rich", ["imondrian", "info"], "pip install 'imondrian[cli]'"),
    ("click", ["pointmetrics", "info"], "pip install 'imondrian[cli]'"),
    ("rich", ["pointmetrics", "info"], "pip install 'imondrian[cli]'"),
    ("pyarrow", ["imondrian", "score", __file__], "pip install 'imondrian[cli]'"),
    ("pyarrow", ["imondrian", "explain", __file__], "pip install 'imondrian[cli]'"),
    ("matplotlib", ["imondrian", "score", "--plot", "picture.png", __file__], "pip install 'imondrian[plot]'"),
    ("orjson", ["imondrian", "stream"], "pip install 'imondrian[cli]'"),
    ("river", ["imondrian", "demo"], "pip install 'imondrian[river,plot,cli]'"),
    ("matplotlib", ["imondrian", "demo"], "pip install 'imondrian[river,plot,cli]'"),
]
# module -> what reads such a file (a ValueError: in a folder of them the others are read)
READ = [
    ("trimesh", "from pointmetrics._io.foreign import read_stl; read_stl(b'')", "pip install 'imondrian[formats]'"),
    ("laspy", "from pointmetrics._io.foreign import read_las; read_las(b'LASF')", "pip install 'imondrian[formats]'"),
]

# What the demo goes without.
SHOWN = [
    (
        "ot",
        "import numpy; from pointmetrics._cli.demo import _prove; _prove(numpy.eye(3), numpy.eye(3))",
        "pip install POT",
    )
]


def python_without(module, *arguments, lines=None):
    """Run Python where ``module`` cannot be imported, on ``lines`` as its input."""
    hide = f"import runpy, sys; sys.modules[{module!r}] = None; "
    if arguments[0] == "-c":
        code = hide + arguments[1]
    else:
        name, *rest = arguments
        code = hide + f"sys.argv = {[name, *rest]!r}; runpy.run_module({name!r}, run_name='__main__', alter_sys=True)"
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        input=lines,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize(("module", "statement", "command"), ASKED)
def test_an_import_error_names_the_command(module, statement, command):
    ended = python_without(module, "-c", statement)
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ") and command in last
    assert module != "cupy" or "'imondrian[cuda13]' for CUDA 13" in last


@pytest.mark.parametrize(("module", "statement", "command"), READ)
def test_a_file_that_needs_more_names_the_command(module, statement, command):
    last = python_without(module, "-c", statement).stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: ") and command in last


@pytest.mark.parametrize(("module", "statement", "command"), SHOWN)
def test_what_the_demo_does_without_is_told(module, statement, command):
    ended = python_without(module, "-c", statement)
    assert ended.returncode == 0 and command in ended.stdout


@pytest.mark.parametrize(("module", "arguments", "command"), TYPED)
def test_the_command_line_names_the_command(module, arguments, command):
    ended = python_without(module, *arguments)
    assert ended.returncode == 2, ended.stderr
    assert command in ended.stderr and "Traceback" not in ended.stderr


MODULES = ["cli", "dask", "export", "keyed", "plot", "river"]
WITHOUT = [("river", ["river"]), ("dask", ["dask"]), ("matplotlib", ["plot"]), ("click", []), ("numpy.nothing", [])]


@pytest.mark.parametrize(("module", "lacking"), WITHOUT, ids=[module for module, _ in WITHOUT])
def test_the_package_can_be_looked_into_where_something_is_missing(module, lacking):
    code = f"""
import inspect, pydoc
import imondrian
assert set({MODULES!r}) <= set(dir(imondrian)), dir(imondrian)
assert not [name for name in dir(imondrian) if name.startswith("_") and not name.startswith("__")], dir(imondrian)
print([name for name in {MODULES!r} if not hasattr(imondrian, name)])
found = dict(inspect.getmembers(imondrian))
assert set(imondrian.__all__) <= found.keys() and not set({lacking!r}) & found.keys()
assert "IsolationMondrianForest" in pydoc.render_doc(imondrian)
for name in {lacking!r}:
    try:
        getattr(imondrian, name)
    except AttributeError as error:
        assert "pip install 'imondrian[" in str(error), error
    for statement in (f"import imondrian.{{name}}", f"from imondrian import {{name}}"):
        try:
            exec(statement)
        except ImportError as error:
            assert "pip install 'imondrian[" in str(error), error
        else:
            raise SystemExit("imported")
"""
    ended = python_without(module, "-c", code)
    assert ended.returncode == 0 and ended.stdout.strip() == str(lacking), ended.stderr


@pytest.mark.parametrize(
    "name", ["imondrian.river", "imondrian.keyed", "imondrian.plot", "imondrian.export", "imondrian.dask"]
)
def test_modules_show_what_is_public(name):
    from importlib import import_module

    module = import_module(name)
    assert sorted(each for each in dir(module) if not each.startswith("__")) == sorted(module.__all__)
    assert all(hasattr(module, each) for each in dir(module))


LINES = "".join(f'{{"key": "k{i % 2}", "a": {i % 7}.5, "b": {i % 5}}}\n' for i in range(400))


@pytest.mark.parametrize("options", [[], ["--key", "key"]], ids=["one model", "keys"])
def test_the_stream_command_needs_no_river(tmp_path, options):
    from imondrian.keyed import KeyedForest
    from imondrian.river import OnlineIsolationMondrianForest

    output = {}
    for module in ("river", "numpy.nothing"):  # the second is there: nothing is hidden
        model = tmp_path / module.partition(".")[0]
        arguments = [
            "imondrian",
            "stream",
            "--model",
            str(model),
            "--trees",
            "10",
            "--seed",
            "1",
            "--quiet",
            *options,
            *([] if options else ["--ignore", "key"]),
        ]
        ended = python_without(module, *arguments, lines=LINES)
        assert ended.returncode == 0, ended.stderr
        output[module] = ended.stdout
        ended = python_without(module, *arguments, lines=LINES)  # goes on with what it has saved
        assert ended.returncode == 0, ended.stderr
        output[module] += ended.stdout
    assert output["river"] == output["numpy.nothing"] and output["river"].count("\n") >= 800
    if options:
        with KeyedForest.open(tmp_path / "river") as forest:
            assert type(forest.model("k0")) is OnlineIsolationMondrianForest
    else:
        model = OnlineIsolationMondrianForest.load(tmp_path / "river")
        assert model.info()["points_streamed"] == 800
        assert (tmp_path / "river").read_bytes() == (tmp_path / "numpy").read_bytes()


def test_a_file_of_rivers_detector_is_read_without_river(tmp_path):
    from river.base import AnomalyDetector

    from imondrian._river.online_forest import OnlineForest
    from imondrian.river import OnlineIsolationMondrianForest

    model = OnlineIsolationMondrianForest(8, seed=0)
    for i in range(100):
        model.learn_one({"a": i % 7, "b": i % 5})
    model.save(tmp_path / "model")
    plain = OnlineForest.load(tmp_path / "model")
    plain.save(tmp_path / "again")
    assert (tmp_path / "model").read_bytes() == (tmp_path / "again").read_bytes()
    assert isinstance(model, AnomalyDetector) and not isinstance(plain, AnomalyDetector)
    x = {"a": 3, "b": 9}
    again = OnlineIsolationMondrianForest.load(tmp_path / "again")
    assert plain.score_one(x) == model.score_one(x) == again.score_one(x)


def imported(tree):
    """Names of the top-level packages that a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]


def test_every_optional_package_is_tried_here():
    own = {"imondrian", "pointmetrics"}
    found = {
        name
        for package in own
        for path in (ROOT / package).rglob("*.py")
        for name in imported(ast.parse(path.read_text(encoding="utf-8")))
    }
    optional = found - own - REQUIRED - OF_THE_CALLER - set(sys.stdlib_module_names)
    assert optional == {module for module, *_ in (*ASKED, *TYPED, *READ, *SHOWN)}


def test_the_commands_name_extras_that_exist():
    import re
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    commands = [command for *_, command in (*ASKED, *TYPED)]
    for path in [path for package in ("imondrian", "pointmetrics") for path in (ROOT / package).rglob("*.py")]:
        commands += re.findall(r"pip install 'imondrian\[[a-z0-9,]+\]'", path.read_text(encoding="utf-8"))
    named = {extra for command in commands for extra in command.partition("[")[2].partition("]")[0].split(",")}
    assert named <= extras.keys()
    assert {"river", "plot", "cli", "torch", "cuda", "onnx", "treelite"} <= named
