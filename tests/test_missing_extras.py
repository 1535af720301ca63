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
OF_THE_CALLER = {"pandas"}

# module -> (what asks for it, what is said); the pip commands name the extras of pyproject.toml
ASKED = [
    ("river", "import imondrian.river", "pip install 'imondrian[river]'"),
    ("river", "import imondrian.keyed", "pip install 'imondrian[river]'"),
    ("river", "import pointmetrics.river", "pip install 'imondrian[river]'"),
    ("river", "import pointmetrics; pointmetrics.river", "pip install 'imondrian[river]'"),
    ("matplotlib", "import imondrian.plot", "pip install 'imondrian[plot]'"),
    ("matplotlib", "import pointmetrics.plot", "pip install 'imondrian[plot]'"),
    ("torch", "import pointmetrics.torch", "pip install 'imondrian[torch]'"),
    ("cupy", "from imondrian._kit.device import import_cupy; import_cupy()", "pip install 'imondrian[cuda]'"),
    ("cupy", "from pointmetrics._backends.cuda.backend import import_cupy; import_cupy()",
     "pip install 'imondrian[cuda]'"),
    ("cupy", "import imondrian; raise ImportError(imondrian.info()['CUDA'])", "pip install 'imondrian[cuda]'"),
    ("cupy", "import pointmetrics; raise ImportError(pointmetrics.info()['CUDA'])", "pip install 'imondrian[cuda]'"),
    ("dask", "import imondrian.dask", "pip install 'imondrian[dask]'"),
    ("dask", "import pointmetrics.dask", "pip install 'imondrian[dask]'"),
    ("onnx", FOREST + "from imondrian.export import to_onnx; to_onnx(f)", "pip install 'imondrian[onnx]'"),
    ("treelite", FOREST + "from imondrian.export import to_treelite; to_treelite(f)",
     "pip install 'imondrian[treelite]'"),
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
    ("river", ["imondrian", "stream"], "pip install 'imondrian[river]'"),
    ("river", ["imondrian", "demo"], "pip install 'imondrian[river,plot,cli]'"),
    ("matplotlib", ["imondrian", "demo"], "pip install 'imondrian[river,plot,cli]'"),
]


def python_without(module, *arguments):
    """Run Python where ``module`` cannot be imported."""
    hide = f"import runpy, sys; sys.modules[{module!r}] = None; "
    if arguments[0] == "-c":
        code = hide + arguments[1]
    else:
        name, *rest = arguments
        code = hide + f"sys.argv = {[name, *rest]!r}; runpy.run_module({name!r}, run_name='__main__', alter_sys=True)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize(("module", "statement", "command"), ASKED)
def test_an_import_error_names_the_command(module, statement, command):
    ended = python_without(module, "-c", statement)
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ") and command in last
    assert module != "cupy" or "'imondrian[cuda13]' for CUDA 13" in last


@pytest.mark.parametrize(("module", "arguments", "command"), TYPED)
def test_the_command_line_names_the_command(module, arguments, command):
    ended = python_without(module, *arguments)
    assert ended.returncode == 2, ended.stderr
    assert command in ended.stderr and "Traceback" not in ended.stderr


def imported(tree):
    """Names of the top-level packages that a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]


def test_every_optional_package_is_tried_here():
    own = {"imondrian", "pointmetrics"}
    found = {name for package in own for path in (ROOT / package).rglob("*.py")
             for name in imported(ast.parse(path.read_text(encoding="utf-8")))}
    optional = found - own - REQUIRED - OF_THE_CALLER - set(sys.stdlib_module_names)
    assert optional == {module for module, *_ in (*ASKED, *TYPED)}


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
