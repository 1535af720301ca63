"""The code on a page of Markdown, and how it is run."""

import doctest
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
# In other fences stands no code that could run: output, data, tables of Sphinx.
PYTHON, SESSION, SHELL = {"python", "py", "{code-block} python"}, {"pycon", "{doctest}"}, {"sh", "bash", "console"}
# What a page may need beyond what the tests install; a page that needs more is at fault.
OPTIONAL = {
    "cupy",
    "torch",
    "dask",
    "distributed",
    "pyspark",
    "onnx",
    "onnxruntime",
    "skl2onnx",
    "treelite",
    "pyarrow",
    "orjson",
    "open3d",
}
SKIP = re.compile(r"<!--\s*not run:(?P<reason>.*?)-->", re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """A fence of a page."""

    kind: str  # "python", "session" or "shell"
    code: str
    line: int  # of the fence, from 1
    skipped: str | None  # why it is not run


def pages() -> list[Path]:
    """Return the README and all pages of the documentation that are written by hand."""
    built = {ROOT / "docs" / name for name in ("_build", "gallery")} | {ROOT / "docs" / "reference" / "modules"}
    found = sorted((ROOT / "docs").rglob("*.md"))
    return [ROOT / "README.md", *(path for path in found if built.isdisjoint(path.parents))]


def snippets(text: str) -> list[Snippet]:
    """Return the code fences of a text in their order."""
    found, skipped = [], None
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "html_block" and (match := SKIP.search(token.content)):
            skipped = match["reason"].strip()
            continue
        if token.type == "fence":
            info = token.info.strip()
            kind = "python" if info in PYTHON else "session" if info in SESSION else "shell" if info in SHELL else None
            if kind is not None:
                found.append(Snippet(kind, token.content, token.map[0] + 1, skipped))
        skipped = None
    return found


def run_page(path: Path, text: str) -> None:
    """Run the Python of a page from top to bottom, in one namespace.

    Raises what the page raises, and AssertionError where a session prints something else than it shows.
    """
    namespace = {"__name__": "__main__"}
    for snippet in snippets(text):
        if snippet.skipped is not None:
            continue
        if snippet.kind == "python":
            exec(compile("\n" * snippet.line + snippet.code, str(path), "exec"), namespace)
        elif snippet.kind == "session":
            _run_session(path, snippet, namespace)


def _run_session(path: Path, snippet: Snippet, namespace: dict) -> None:
    test = doctest.DocTestParser().get_doctest(snippet.code, namespace, path.name, str(path), snippet.line)
    test.globs = namespace  # the parser copies it, and what a session defines is for the page
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    failed = runner.run(test, out=report.append, clear_globs=False).failed
    assert not failed, "".join(report)


def missing_package(error: BaseException | None) -> str | None:
    """Return the optional package whose absence an error comes from."""
    while error is not None:
        name = (getattr(error, "name", None) or "").partition(".")[0]
        if isinstance(error, ImportError) and name in OPTIONAL:
            return name
        error = error.__cause__ or error.__context__
    return None


def commands(code: str) -> list[list[str]]:
    """Return the words of each command of a shell fence; prompts, pipes and redirections are taken away.

    Where a fence begins with a prompt, lines without one are output.
    """
    found = []
    lines = re.sub(r"\\\n", " ", code).splitlines()
    with_output = code.startswith("$ ")
    for line in lines:
        if with_output and not line.startswith("$ "):
            continue
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        redirected = False
        for word in [*lexer, ";"]:
            if set(word) <= set("<>"):
                redirected = True
            elif set(word) <= set("|&;"):
                found += [words] if words else []
                words = []
            elif redirected:
                redirected = False
            else:
                words.append(word)
    return found
