"""The package as a whole: what importing it loads, and that its README says what is true."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pointmetrics as pm

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("scipy", "sklearn", "torch", "cupy", "river", "open3d", "trimesh", "pandas", "matplotlib", "rich", "ot")


def loaded_after(code):
    program = f"import json, sys\n{code}\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(run.stdout))


def test_importing_loads_numpy_and_nothing_heavy():
    assert loaded_after("import pointmetrics").isdisjoint(HEAVY)


def test_the_usual_metrics_load_nothing_heavy_either():
    code = (
        "import numpy as np, pointmetrics as pm\nx, y = np.random.default_rng(0).random((2, 40, 3))\n"
        "pm.compare(x, y, emd=True); pm.earth_movers_distance(x, y[:30])\n"
        "pm.sets.evaluate([x, y], [y, x], n_bootstrap=2); pm.io"
    )
    assert loaded_after(code).isdisjoint(HEAVY)


EXTRAS = {
    "torch": ("torch", "torch"),
    "river": ("river", "river"),
    "plot": ("matplotlib", "plot"),
    "dask": ("dask", "dask"),
}  # module -> (what it needs, the extra that brings it)


def test_looking_at_the_package_is_no_error_where_extras_are_missing():
    """As help, tab completion and documentation tools look: at every name that dir() gives."""
    hidden = "import sys\n" + "".join(f"sys.modules[{package!r}] = None\n" for package, _ in EXTRAS.values())
    code = hidden + (
        "import inspect, json, pydoc, pointmetrics\n"
        "told = {}\n"
        f"for name in {list(EXTRAS)!r}:\n"
        "    assert not hasattr(pointmetrics, name)\n"
        "    assert getattr(pointmetrics, name, 7) == 7\n"
        "    try: getattr(pointmetrics, name)\n"
        "    except AttributeError as error: told[name] = [str(error)]\n"
        "    for statement in (f'from pointmetrics import {name}', f'import pointmetrics.{name}'):\n"
        "        try: exec(statement)\n"
        "        except ImportError as error: told[name].append(str(error))\n"
        "members = dict(inspect.getmembers(pointmetrics))\n"
        "assert 'chamfer_distance' in members and 'sets' in members and not set(members) & set(told)\n"
        "assert 'chamfer_distance' in pydoc.render_doc(pointmetrics)\n"
        "print(json.dumps(told))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    told = json.loads(run.stdout)
    for name, (_, extra) in EXTRAS.items():
        assert len(told[name]) == 3  # asked for as an attribute, and by either import statement
        assert all(f"pip install 'imondrian[{extra}]'" in message for message in told[name])
        assert told[name][0].startswith(f"pointmetrics.{name} cannot be loaded: ")


def test_the_readme_runs_and_lists_every_convention():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("## Point clouds")[1]
    exec(re.search(r"```python\n(.*?)```", section, re.DOTALL).group(1), {})
    listed = [re.findall(r"`([^`]+)`", row.split("|")[1]) for row in section.splitlines() if row.startswith("  | `")]
    assert sorted(name for names in listed for name in names) == sorted(pm.conventions("chamfer_distance"))
    for names in listed:
        assert len({pm.conventions()[name].formula for name in names}) == 1
