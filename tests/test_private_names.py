"""No module reaches for another module's private names, by import or through an object."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMED_TUPLES = {"_asdict", "_fields", "_make", "_replace"}  # public, whatever they begin with

# Where a module still does: to shrink, never to grow.
ALLOWED = {
    "imondrian/_forest/forest.py": {"_view"},
    "imondrian/_forest/undo.py": {"_renew_view", "_undo"},
    "imondrian/_persist/model_file.py": {"_restore"},
}


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def is_own(value):
    """Whether an expression is the object itself, its class, or its base class."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "super"
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def defined_names(tree):
    """Return what a module defines: functions, classes, variables, and attributes of its own objects."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node.value):
            names.add(node.attr)
    return names


def foreign_names(tree, ours, rooms):
    """Return the private names of other modules of ours that a module uses."""
    here, found = defined_names(tree), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] in PACKAGES):
            found |= {alias.name for alias in node.names if is_private(alias.name) and alias.name not in rooms}
        elif isinstance(node, ast.Attribute) and not is_own(node.value) and is_private(node.attr):
            found |= {node.attr} & ours  # what we define nowhere belongs to another library
    return found - here - NAMED_TUPLES


PACKAGES = ("imondrian", "pointmetrics")
FILES = {str(path.relative_to(ROOT)): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


@pytest.fixture(scope="module")
def found():
    """What every file uses that is another's."""
    trees = {name: ast.parse(path.read_text()) for name, path in FILES.items()}
    ours = {name for tree in trees.values() for name in defined_names(tree) if is_private(name)}
    rooms = {part for name in FILES for part in Path(name).with_suffix("").parts} | {"_core"}
    foreign = {name: foreign_names(tree, ours, rooms) for name, tree in trees.items()}
    return {name: names for name, names in foreign.items() if names}


def test_private_names_stay_in_their_modules(found):
    assert {
        name: names - ALLOWED.get(name, set()) for name, names in found.items() if names - ALLOWED.get(name, set())
    } == {}


def test_what_is_allowed_is_still_needed(found):
    unused = {name: names - found.get(name, set()) for name, names in ALLOWED.items()}
    assert {name: names for name, names in unused.items() if names} == {}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from imondrian.keyed import _text", {"_text"}),
        ("from .keyed import _text, KeyedForest", {"_text"}),
        ("from imondrian import _core, _forest", set()),
        ("from sklearn.utils.validation import _check_sample_weight", set()),
        ("def f(model): return model._text", {"_text"}),
        ("def f(model): return model._nobodys", set()),
        ("class A:\n    def f(self, other):\n        self._text = 1\n        return other._text", set()),
        ("class A:\n    def f(self): return self._text, super()._text", set()),
        ("class A:\n    def f(self): return self.model._text", {"_text"}),
        ("def f(rows): return rows._replace(a=1), rows.__dict__", set()),
        ("def _text(): ...\ndef f(model): return model._text", set()),
    ],
)
def test_the_check_tells_foreign_from_own(source, expected):
    assert foreign_names(ast.parse(source), {"_text", "_replace"}, {"_core", "_forest"}) == expected
