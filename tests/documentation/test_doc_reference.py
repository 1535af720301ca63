"""The reference names all that is public, and the tables of guide and migration pages say what the code does."""

import importlib
import inspect
import re
import sys
import tomllib

import pytest
from doc_pages import ROOT

sys.path.insert(0, str(ROOT / "docs" / "_ext"))


def names_on(page):
    text = (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8")
    return set(re.findall(r"^\.\. auto(?:class|function|data):: (\w+)", text, flags=re.MULTILINE))


@pytest.mark.parametrize("package", ["imondrian", "pointmetrics"])
def test_the_reference_has_every_public_name(package):
    module = importlib.import_module(package)
    assert names_on(f"{package}.rst") == set(module.__all__)


def test_every_public_module_has_a_page_with_every_public_name():
    import module_pages as pages

    assert {"imondrian.river", "imondrian.plot", "pointmetrics.io", "pointmetrics.sets"} <= set(pages.public_modules())
    for name in pages.public_modules():
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue  # an extra that is not installed here; the build of the site says so
        text = pages.page(name)
        assert inspect.getdoc(module), f"{name} has no docstring to begin its page with"
        for entry in module.__all__:
            assert re.search(rf"^\.\. auto\w+:: {entry}$", text, flags=re.MULTILINE), f"{name}.{entry} is missing"


def test_the_first_page_names_every_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    ours = {"test", "docs", "peers", "spark-test"}  # for working on the project
    named = set(re.findall(r"`\[([\w-]+)\]`", (ROOT / "docs" / "index.md").read_text()))
    assert named == extras.keys() - ours


def first_column(page):
    """Return the names in backticks of the first column of a page's table of parameters."""
    text = (ROOT / "docs" / "migration" / page).read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]*) \|", text.split("## Parameters")[1].split("\n## ")[0], flags=re.MULTILINE)
    return dict(re.findall(r"`(\w+)(?:=([^`]+))?`", "\n".join(rows)))


def test_the_migration_page_has_every_parameter_of_isolation_forest_and_its_default():
    from sklearn.ensemble import IsolationForest

    theirs = inspect.signature(IsolationForest).parameters
    table = first_column("isolation-forest.md")
    assert table.keys() == theirs.keys()
    assert all(str(theirs[name].default) == default.strip('"') for name, default in table.items() if default)


def test_the_migration_page_has_every_parameter_of_half_space_trees_and_its_default():
    anomaly = pytest.importorskip("river.anomaly")
    theirs = inspect.signature(anomaly.HalfSpaceTrees).parameters
    table = {name: default for name, default in first_column("half-space-trees.md").items() if name != "MinMaxScaler"}
    assert table.keys() == theirs.keys()
    assert all(str(theirs[name].default) == default for name, default in table.items() if default)


def test_the_table_of_conventions_is_what_the_code_computes():
    table = pytest.importorskip("conventions_table", reason="the table is drawn by Sphinx")
    import pointmetrics as pm

    rows = table.rows()
    named = [name for names, *_ in rows for name in re.findall(r"`([^`]+)`", names)]
    assert sorted(named) == sorted(pm.conventions("chamfer_distance"))
    for names, formula, units, used_by in rows:
        for name in re.findall(r"`([^`]+)`", names):
            convention = pm.conventions()[name]
            assert formula.replace("²", "^2") == convention.formula and units.replace("²", "^2") == convention.units
            assert used_by == convention.used_by


def test_the_table_of_papers_is_what_the_code_computes():
    table = pytest.importorskip("conventions_table", reason="the table is drawn by Sphinx")
    import pointmetrics as pm

    for (name, paper, titles, calls), preset in zip(table.preset_rows(), pm.presets().values(), strict=True):
        assert (name.strip("`"), paper) == (preset.name, preset.paper)
        assert titles.split("<br>") == [column.title for column in preset.columns]
        assert [call.strip("`") for call in calls.split("<br>")] == [column.call for column in preset.columns]


def test_the_table_of_definitions_is_what_the_code_has():
    table = pytest.importorskip("conventions_table", reason="the table is drawn by Sphinx")
    import pointmetrics as pm

    others = [found for found in pm.conventions().values() if isinstance(found, pm.Definition)]
    for (name, formula, _, call, used_by), found in zip(table.definition_rows(), others, strict=True):
        assert (name, call, used_by) == (f"`{found.name}`", f"`{found.call}`", found.used_by)
        assert formula.replace("²", "^2").replace("\\|", "|") == found.formula
