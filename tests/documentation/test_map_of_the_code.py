"""CONTRIBUTING.md: what it names is there, and every folder of code has its line."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
QUOTED = sorted(set(re.findall(r"`([^`\n]+)`", TEXT)))
PATHS = [
    name for name in QUOTED if re.fullmatch(r"[\w./]+(/|\.(pyx?|hpp|cpp|cuh?|md|rst))", name) and "NAME" not in name
]
WORDS = sorted(
    {word for name in QUOTED if name not in PATHS and "NAME" not in name for word in re.findall(r"[A-Za-z_]{4,}", name)}
)
# Of commands, of languages, and places that are the reader's to fill.
FOREIGN = {"NAME", "fmad", "false", "python", "make", "ruff", "format", "lint", "test", "docs", "bench", "quality"}


def _files():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode or not listed.stdout:
        pytest.skip("needs a checkout of git")
    return listed.stdout.splitlines()


def test_paths_are_there():
    files = [f"/{name}" for name in _files()]
    folders = {name[: at.start() + 1] for name in files for at in re.finditer("/", name)}
    missing = [
        path for path in PATHS if not any(name.endswith(f"/{path}") for name in (folders if path[-1] == "/" else files))
    ]
    assert len(PATHS) > 80 and not missing


def test_names_are_there():
    kinds = (".py", ".pyx", ".pxi", ".hpp", ".cpp", ".cu", ".cuh", ".toml")
    code = [
        ROOT / name for name in [*_files(), "Makefile"] if name.endswith((*kinds, "Makefile", ".ci/run", ".ci/gpu"))
    ]
    here = Path(__file__)
    known = set(re.findall(r"\w+", "\n".join(path.read_text(encoding="utf-8") for path in code if path != here)))
    missing = [word for word in WORDS if word not in known and word not in FOREIGN]
    assert len(WORDS) > 60 and not missing


@pytest.mark.parametrize("package", ["imondrian", "pointmetrics"])
def test_every_folder_has_a_line(package):
    begin = TEXT.index(f"### `{package}/`")
    told = re.findall(r"`([\w/]+/)`", TEXT[begin : TEXT.index("\n#", begin + 4)])
    folders = {f"{Path(name).parent.relative_to(package)}/" for name in _files() if name.startswith(f"{package}/")}
    missing = {
        folder for folder in folders - {"./", "native/"} if not any(f"/{folder}".endswith(f"/{name}") for name in told)
    }
    assert len(folders) > 10 and not missing
