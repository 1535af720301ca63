"""Every snippet of the README and of the documentation's pages runs as it stands."""

import re
import sys
import tomllib

import pytest
from doc_pages import ROOT, commands, missing_package, pages, run_page, snippets

PAGES = pages()
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PAGES}
WITH_PYTHON = [name for name, text in TEXTS.items() if {s.kind for s in snippets(text)} & {"python", "session"}]
SHELL_LINES = [
    pytest.param(words, id=f"{name}:{snippet.line}: {' '.join(words)}"[:90])
    for name, text in TEXTS.items()
    for snippet in snippets(text)
    if snippet.kind == "shell" and snippet.skipped is None
    for words in commands(snippet.code)
]
PROGRAMS = {"imondrian", "pointmetrics"}


def test_the_readme_and_the_tutorials_have_snippets():
    assert {
        "README.md",
        "docs/tutorials/scikit-learn.md",
        "docs/tutorials/river.md",
        "docs/tutorials/point-clouds.md",
    } <= set(WITH_PYTHON)
    assert any("pointmetrics" in param.values[0] for param in SHELL_LINES)


@pytest.mark.parametrize("name", WITH_PYTHON)
def test_the_page_runs(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    try:
        run_page(ROOT / name, TEXTS[name])
    except ImportError as error:
        if package := missing_package(error):
            pytest.skip(f"{name} needs {package}")
        raise
    finally:
        if "matplotlib" in sys.modules:
            import matplotlib.pyplot as plt

            plt.close("all")


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_not_run_says_why(name):
    for snippet in snippets(TEXTS[name]):
        assert snippet.skipped is None or len(snippet.skipped) > 10, f"{name}:{snippet.line} does not say why"


# -- command lines -------------------------------------------------------------------------------------------


def check_command(words, capsys):
    """Fail unless a command line of ours names a command, options, extras, targets and files that exist."""
    if words[:2] == ["python", "-m"]:
        words = words[2:]
    program, arguments = words[0], words[1:]
    if program in PROGRAMS:
        main = __import__(f"{program}.cli", fromlist=["main"]).main
        try:  # with --help at the end all is parsed and nothing done
            main([*arguments, *([] if "--help" in arguments else ["--help"])])
        except SystemExit as end:
            assert not end.code, capsys.readouterr().err
        assert "Usage" in (shown := capsys.readouterr().out) or "usage" in shown
    elif program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        assert {word for word in arguments if "=" not in word} <= set(targets)
    elif program == "pip":
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        for extras in re.findall(r"(?:^\.|imondrian)\[([^]]*)\]", "\n".join(arguments), flags=re.MULTILINE):
            assert {extra.strip() for extra in extras.split(",")} <= known.keys()
    elif program == "python" and arguments:
        assert not arguments[0].endswith(".py") or (ROOT / arguments[0]).exists(), f"there is no {arguments[0]}"


@pytest.mark.parametrize("words", SHELL_LINES)
def test_the_command_line_is_valid(words, capsys):
    pytest.importorskip("click", reason="the command lines need click and rich")
    check_command(words, capsys)


@pytest.mark.parametrize(
    "line",
    [
        "pointmetrics compare a.ply b.ply --no-such-option",
        "pointmetrics cmopare a b",
        "make nothing",
        "pip install '.[nothing]'",
        "pip install 'imondrian[plot,nothing]'",
        "python examples/nothing.py",
    ],
)
def test_a_command_line_that_is_not_valid_is_found(line, capsys):
    with pytest.raises((AssertionError, SystemExit)):
        check_command(commands(line)[0], capsys)


# -- the reading of pages ------------------------------------------------------------------------------------


def test_a_page_is_read_as_markdown():
    text = (
        "```python\nx = 1\n```\n\n<!-- not run: takes an hour -->\n```python\nraise SystemExit\n```\n"
        "text\n\n- in a list\n\n  ```pycon\n  >>> x + 1\n  2\n  ```\n\n```text\nnot code\n```\n"
        "````\n```python\n```\n````\n"
    )
    found = snippets(text)
    assert [(s.kind, s.skipped) for s in found] == [("python", None), ("python", "takes an hour"), ("session", None)]
    assert [s.line for s in found] == [1, 6, 13]
    run_page(ROOT / "page.md", text)


def test_a_page_that_fails_fails():
    with pytest.raises(ZeroDivisionError) as caught:
        run_page(ROOT / "page.md", "text\n\n```python\nx = 1\n1 / 0\n```\n")
    assert caught.traceback[-1].lineno + 1 == 5
    with pytest.raises(AssertionError, match="Expected:\n    3\nGot:\n    2"):
        run_page(ROOT / "page.md", "```python\nx = 1\n```\n```pycon\n>>> x + 1\n3\n```\n")


def test_only_what_is_optional_may_be_missing():
    with pytest.raises(ImportError) as caught:
        run_page(ROOT / "page.md", "```python\nimport nothing_like_it\n```\n")
    assert missing_package(caught.value) is None
    wrapped = ImportError("install it")
    wrapped.__cause__ = ModuleNotFoundError("no", name="dask.array")
    assert missing_package(wrapped) == "dask"


def test_command_lines_are_split_as_a_shell_would():
    lines = "cat a | imondrian stream --model m > out  # follow\nmake demo && make test\n$ pip install 'x[a,b]'\n"
    assert commands(lines) == [
        ["cat", "a"],
        ["imondrian", "stream", "--model", "m"],
        ["make", "demo"],
        ["make", "test"],
        ["pip", "install", "x[a,b]"],
    ]
    assert commands("pointmetrics compare a.ply \\\n    b.ply") == [["pointmetrics", "compare", "a.ply", "b.ply"]]
