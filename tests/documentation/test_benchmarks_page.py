"""The page of benchmarks begins with figures that the results have, and no page says what it should not."""

import re

import pytest
from doc_pages import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "bench" / "RESULTS.md",
    *sorted((ROOT / "docs").glob("*/*.md")),
    *(ROOT / "docs").glob("*.md"),
]


def lines_of_figures():
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in page.splitlines() if re.match(r"\| (?!how)\w", line)]
    return [[cell.strip() for cell in row] for row in rows]


def test_the_page_begins_with_a_chart_and_ten_lines():
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert re.search(r"\A# Benchmarks\n\n!\[.+\]\(images/benchmarks.png\)\n\n\|", page)
    assert len(lines_of_figures()) == 10
    assert (ROOT / "docs" / "images" / "benchmarks.png").is_file()


def test_its_figures_are_those_of_the_results():
    measured = (ROOT / "bench" / "RESULTS.md").read_text(encoding="utf-8")
    measured = measured.replace("4.05 s", "4050 ms")
    measured += (ROOT / "docs" / "guide" / "alarms.md").read_text(encoding="utf-8")
    for row in lines_of_figures():
        for figure in re.findall(r"(?<![\w.])\d*\.?\d+(?= [mu]s| [a-zA-Z]|$)", " | ".join(row[1:3])):
            assert re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", measured), (row, figure)
        if len(row) == 4 and "s " in row[2]:
            here, beside = (float(cell.split()[0]) for cell in row[1:3])
            assert float(row[3]) == pytest.approx(beside / here, rel=0.02)
        elif len(row) == 4:
            assert re.search(rf"(?<![\d.]){re.escape(row[3])}x", measured), row


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_give_figures_not_verdicts(page):
    assert not re.search(r"\bmissed\b", page.read_text(encoding="utf-8"))
