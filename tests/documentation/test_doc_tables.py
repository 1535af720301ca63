"""The page of papers' tables prints what it shows, for every preset."""

import doctest
import re

import pytest
from doc_pages import ROOT, commands, run_page, snippets

pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
pytest.importorskip("rich", reason="needs rich: pip install 'imondrian[cli]'")

import pointmetrics as pm
from pointmetrics import cli

PAGE = ROOT / "docs" / "guide" / "paper-tables.md"
SHOWN = [s for s in snippets(PAGE.read_text(encoding="utf-8")) if s.kind == "shell" and s.code.startswith("$ ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the page has drawn its clouds."""
    path = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        run_page(PAGE, PAGE.read_text(encoding="utf-8"))
    return path


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: str(shown.line))
def test_a_command_prints_what_the_page_shows(shown, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (words,) = commands(shown.code)
    cli.main(words[1:])
    printed = capsys.readouterr()
    assert printed.err == ""
    _, _, expected = shown.code.partition("\n")
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.OutputChecker().check_output(expected, printed.out, flags), printed.out


def test_every_preset_is_shown_with_all_its_columns():
    by_preset = {re.search(r"--preset (\S+)", shown.code).group(1): shown.code.splitlines() for shown in SHOWN}
    assert by_preset.keys() == pm.presets().keys()
    for name, lines in by_preset.items():
        assert lines[-2].split() == " ".join(c.title for c in pm.presets()[name].columns).split()
        assert "-" not in lines[-1].split()
