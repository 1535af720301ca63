"""One dialect of CSV: ``score`` and ``stream`` read the same names and the same numbers, or refuse the same cells."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("river", reason="needs river")
pytest.importorskip("click", reason="needs click")
pytest.importorskip("orjson", reason="needs orjson")
pytest.importorskip("pyarrow", reason="needs pyarrow")

from cases.csv_dialect import DELIMITERS, LINES, NAN, both, by_score, by_stream, table

from imondrian._cli import Failure, dialect
from imondrian._cli.stream.csv_records import Layout
from imondrian._cli.stream.format_sniffing import Opening
from imondrian._cli.stream.records import Selection as StreamSelection
from imondrian._cli.tables.reading import Reading, open_table

ROOT = Path(__file__).resolve().parents[3]


MISSING = [
    "",
    " ",
    "NA",
    "na",
    "N/A",
    "n/a",
    "#N/A",
    "#n/a",
    "#NA",
    "#N/A N/A",
    "<NA>",
    "NaN",
    "nan",
    "NAN",
    "nAn",
    "-nan",
    "-NaN",
    "+nan",
    "null",
    "NULL",
    "Null",
    "None",
    "none",
    "NONE",
    "-nan(ind)",
    "nan(ind)",
    "1.#QNAN",
    "-1.#IND",
    '""',
    '"NA"',
    '" NA "',
    "  null ",
    "\tNaN\t",
]


NUMBERS = {
    "1": 1,
    "+1": 1,
    "-1": -1,
    "007": 7,
    "1.": 1,
    ".5": 0.5,
    "-.5": -0.5,
    "1e3": 1000,
    "1E+3": 1000,
    "1.5e-3": 0.0015,
    " 2.5": 2.5,
    "2.5 ": 2.5,
    '"2.5"': 2.5,
    '" 2.5 "': 2.5,
    '"2.5" ': 2.5,
    "9007199254740993": 9007199254740992,
    "5e-324": 5e-324,
    "1.7976931348623157e308": 1.7976931348623157e308,
    "1e-400": 0,
    "true": 1,
    "False": 0,
    "TRUE": 1,
    "\u00a03": 3,
    "123456789012345678901234567890": 1.2345678901234568e29,
    "0.1000000000000000055511151231257827": 0.1,
}


BAD = [
    "x",
    "1_000",
    "1,5x",
    "1 000",
    "1'000",
    "0x10",
    "1e",
    "--1",
    "1-",
    "\u0661\u0662",
    "\uff11",
    "1.2.3",
    "inf",
    "-inf",
    "Infinity",
    "1e999",
    "-1e999",
    "1d3",
    "1.0D+00",
    "12:30",
    "2024-01-01",
    "$5",
    "5%",
    "1\u20ac",
    "t",
    "yes",
    "-",
    ".",
    "?",
    "nanx",
    "NA1",
    "#REF!",
    ' "2"',
    '2"',
    '"2"3x',
    "1/2",
    "\u22121",
    "1e+-3",
    "e5",
]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_cells_that_are_missing(tmp_path, delimiter, end):
    for cell in MISSING:
        if not (delimiter == "\t" and "\t" in cell):
            X = both(tmp_path, table([cell, "4"], delimiter, end))[1]
            np.testing.assert_array_equal(X[:, 0], [3, NAN, 4], err_msg=repr(cell))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_cells_that_are_numbers(tmp_path, delimiter, end):
    for cell, value in NUMBERS.items():
        X = both(tmp_path, table([cell, "4"], delimiter, end))[1]
        np.testing.assert_array_equal(X[:, 0], [3, value, 4], err_msg=repr(cell))


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_cells_that_are_neither(tmp_path, delimiter):
    for cell in BAD:
        assert both(tmp_path, table([cell, "4", "5", "6"], delimiter)) is None, cell
    X = both(tmp_path, table(["?", "4"], delimiter), missing=("?",))[1]
    np.testing.assert_array_equal(X[:, 0], [3, NAN, 4])


@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("spelling", ["{}", " {} ", '"{}"', '" {}"'])
@pytest.mark.parametrize("sentinel", ["-999", "7", "1e30", "true", "0.125", "x", "-", "NaN"])
def test_what_is_said_to_be_missing_may_be_a_number(tmp_path, sentinel, spelling, delimiter):
    for cells in ([spelling.format(sentinel), "4"], ["4", spelling.format(sentinel), "5"]):
        X = both(tmp_path, table(cells, delimiter), missing=(sentinel, "?"))[1]
        expected = [3, *(NAN if sentinel in cell else float(cell) for cell in cells)]
        np.testing.assert_array_equal(X[:, 0], expected)


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_decimal_commas(tmp_path, delimiter):
    """Where commas part cells, numbers with one are quoted."""

    def cell(text):
        return f'"{text}"' if delimiter == "," else text

    rows = [["a", "b"], [cell("1,5"), "2"], [cell("-0,25e1"), cell("3,125")], [" " + "7" + " ", cell("+,5")]]
    text = "".join(delimiter.join(row) + "\n" for row in rows)
    expected = [[1.5, 2], [-2.5, 3.125], [7, 0.5]]
    np.testing.assert_array_equal(both(tmp_path, text)[1], expected)
    np.testing.assert_array_equal(both(tmp_path, text, decimal=",")[1], expected)
    assert both(tmp_path, text, decimal=".") is None
    for bad in ("1.5", "1.234,5", "1,234.5", "1,234,567", "1 234,5"):
        assert both(tmp_path, text + delimiter.join([cell(bad), "1"]) + "\n") is None, bad


def test_commas_that_may_part_thousands(tmp_path):
    text = 'a,b\n"1,234",2\n"5,678",3\n'
    assert both(tmp_path, text) is None
    np.testing.assert_array_equal(both(tmp_path, text, decimal=",")[1], [[1.234, 2], [5.678, 3]])
    assert both(tmp_path, text, decimal=".") is None
    np.testing.assert_array_equal(both(tmp_path, "a;b\n1,234;2\n5,678;3\n")[1], [[1.234, 2], [5.678, 3]])
    np.testing.assert_array_equal(both(tmp_path, 'a,b\n"0,234",2\n"5,678",3\n')[1], [[0.234, 2], [5.678, 3]])
    for bad in ("1,234.5", "1.234,5", "1,234,567", "1.234.567"):
        assert both(tmp_path, f"a;b\n{bad};2\n{bad};3\n") is None, bad
        assert both(tmp_path, f'a,b\n"{bad}",2\n') is None, bad


def test_the_first_mark_decides(tmp_path):
    for text in ("a;b\n1;2\n1,5;2\n2.5;3\n2.5;4\n2.5;4\n", "a;b\n1;2.5\n1,5;2\n1,5;2\n"):
        assert both(tmp_path, text) is None


@pytest.mark.parametrize(
    ("head", "names"),
    [
        ("a,b", ("a", "b")),
        ("\ufeffa,b", ("a", "b")),
        (" a , b ", ("a", "b")),
        ('"a","b"', ("a", "b")),
        ('" a "," b, c"', ("a", "b, c")),
        ("a b,c\u00a0", ("a b", "c")),
        ("\n\n  \na,b", ("a", "b")),
        ("\ufeff\na,b", ("a", "b")),
        ("x,", ("x", "")),
        ("1,x", ("1", "x")),
        ("NA,x", ("NA", "x")),
        ("\u00fc,\u2028z", ("\u00fc", "z")),
        ("a\x0bb,c", ("a\x0bb", "c")),
        ("0,1", ("0", "1")),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_names(tmp_path, head, names, end):
    found, X = both(tmp_path, (head + "\n1,2.5\n3,4\n").replace("\n", end))
    assert found == names
    np.testing.assert_array_equal(X, [[1, 2.5], [3, 4]])


@pytest.mark.parametrize("text", ["a,a\n1,2\n", "a, a\n1,2\n", '"a",a\n1,2\n', ",\n1,2\n", "\ufeffa,a\n1,2\n"])
def test_names_that_occur_twice(tmp_path, text):
    assert both(tmp_path, text) is None


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("1,2\n3,4\n", "01", [[1, 2], [3, 4]]),
        ("\ufeff1,2\n3,4\n", "01", [[1, 2], [3, 4]]),
        ("1.5;2\n3;4\n", "01", [[1.5, 2], [3, 4]]),
        ("1,5;2,5\n3;4\n", "01", [[1.5, 2.5], [3, 4]]),
        ("1,5;2\n3,25;4\n", "01", [[1.5, 2], [3.25, 4]]),
        ("1,,3\n4,5,6\n", "012", [[1, NAN, 3], [4, 5, 6]]),
        ("NA,1\n2,3\n", "01", [[NAN, 1], [2, 3]]),
        ('"1,5","2"\n"3,5","4"\n', "01", [[1.5, 2], [3.5, 4]]),
        ("\n \n1\t2\n3\t4\n", "01", [[1, 2], [3, 4]]),
        ("5\n6\n", "0", [[5], [6]]),
        ("0\n1\n", "0", [[0], [1]]),
        ("true,1\nfalse,2\n", "01", [[1, 1], [0, 2]]),
        ("1,2\r\n3,4\r\n", "01", [[1, 2], [3, 4]]),
        ("0,2\n1,3\n", "01", [[0, 2], [1, 3]]),
    ],
)
def test_files_without_names(tmp_path, text, names, expected):
    found, X = both(tmp_path, text)
    assert found == tuple(names)
    np.testing.assert_array_equal(X, expected)
    np.testing.assert_array_equal(both(tmp_path, text, header=False)[1], expected)


def test_what_the_first_row_is_can_be_said(tmp_path):
    found, X = both(tmp_path, "1,2\n3,4\n", header=True)
    assert found == ("1", "2") and X.tolist() == [[3, 4]]
    found, X = both(tmp_path, "0,1\n3,4\n", header=False)
    assert found == ("0", "1") and X.tolist() == [[0, 1], [3, 4]]
    found, X = both(tmp_path, ",0,1\n0,3,4\n")  # with an index, as pandas writes it
    assert found == ("", "0", "1") and X.tolist() == [[0, 3, 4]]


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"', "sep=; ", "\ufeffsep=;"])
@pytest.mark.parametrize("rest", ["a,x;b\n1;2,5\n", "1;2,5\n3;4,5\n", "1,5;2\n", " a,x ; b\n3;4\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_excels_line_that_names_the_delimiter(tmp_path, first, rest, end):
    plain = both(tmp_path, rest.replace("\n", end), delimiter=";")
    found = both(tmp_path, (first + "\n" + rest).replace("\n", end))
    assert found[0] == plain[0] and len(found[0]) == 2
    np.testing.assert_array_equal(found[1], plain[1])
    assert both(tmp_path, f"sep=|{end}a|b{end}1|2{end}")[0] == ("a", "b")


@pytest.mark.parametrize("row", ["1", "1,2,3", "1,2,", '1,"2', '"1\n2",3', ""])
@pytest.mark.parametrize("last", [False, True])
def test_ragged_rows(tmp_path, row, last):
    text = f"a,b\n1,2.5\n{row}\n" + ("" if last else "3,4\n")
    if row == "":  # a blank line is none
        assert len(both(tmp_path, text)[1]) == (1 if last else 2)
    elif "\n" in row:  # ``score`` knows where a file ends, and a cell may have more lines; it is no number
        assert by_score(tmp_path / "in.csv", text.encode()) is None and by_stream(text.encode()) is None
    else:
        assert both(tmp_path, text) is None


@pytest.mark.parametrize("blank", ["", " ", "\t", " \r", "   "])
def test_blank_lines(tmp_path, blank):
    X = both(tmp_path, f"a,b\n{blank}\n1,2.5\n{blank}\n{blank}\n3,4\n{blank}\n")[1]
    np.testing.assert_array_equal(X, [[1, 2.5], [3, 4]])


def test_a_cell_that_pyarrow_does_not_know_far_into_a_file(tmp_path):
    """Batches before it were read the fast way, those from there on the slow one: every row comes once."""
    rows = [f"{k},{k}.5\n" for k in range(300_000)]
    rows[200_000] = " n/a ,+7\n"
    X = by_score(tmp_path / "in.csv", ("a,b\n" + "".join(rows)).encode())[1]
    expected = np.column_stack([np.arange(300_000.0), np.arange(300_000) + 0.5])
    expected[200_000] = [NAN, 7]
    np.testing.assert_array_equal(X, expected)
    rows[250_001] = "1,wrong\n"
    (tmp_path / "in.csv").write_text("a,b\n" + "".join(rows))
    found = open_table(tmp_path / "in.csv", Reading())
    with pytest.raises(Failure, match="row 250002, column 'b': 'wrong' is not a number"):
        list(found.batches(["a", "b"]))
    rows[250_001] = "1,2,3\n"
    (tmp_path / "in.csv").write_text("a,b\n" + "".join(rows))
    with pytest.raises(Failure, match="row 250002 has 3 cells, not 2"):
        list(found.batches(["a", "b"]))


texts = st.sampled_from([*MISSING, *NUMBERS, *BAD, "1,5", "-2,25", '"1,5"', '"1,234"', "1,234", "1.234,5", '"a;b"'])


@settings(max_examples=int(os.environ.get("IMONDRIAN_DIALECT_FILES", "150")), deadline=None)
@given(st.data())
def test_they_agree_on_whole_files(tmp_path_factory, data):
    delimiter = data.draw(st.sampled_from(DELIMITERS))
    width = data.draw(st.integers(1, 3))
    rows = data.draw(st.lists(st.lists(texts, min_size=width, max_size=width), min_size=1, max_size=4))
    head = data.draw(st.sampled_from([["a"], [" x "], ["0"], ["\ufeffa"], ["sep=" + delimiter + "\na"], []]))
    header = [] if not head else [[head[0], *(f"c{k}" for k in range(1, width))]]
    text = "".join(delimiter.join(row) + "\n" for row in [*header, *rows])
    if any(row == [cell] and not cell.strip() for row in rows for cell in row):
        return  # in one column, is a line of blanks a missing value? To both of them it is no record
    # A column of text is refused as a whole by ``score``, where ``stream`` refuses its lines: both say no.
    both(tmp_path_factory.mktemp("file"), text)


def test_spellings_are_all_of_them():
    found = dialect.spellings(["?"])
    assert {"", "NA", "nA", "NaN", "#N/A", "#n/A", "NULL", "None", "<NA>", "?"} <= set(found)
    assert {each.lower() for each in found} == {*dialect.MISSING, "?"} and len(set(found)) == len(found)


def test_notes(tmp_path):
    for text, header, note in [
        ("1,2\n", None, dialect.NUMBERED),
        ("1,2\n", False, None),
        ("0,1\n2,3\n", None, dialect.COUNTED),
        (",0,1\n2,3,4\n", None, dialect.COUNTED),
        ("a,b\n1,2\n", None, None),
    ]:
        Path(tmp_path / "in.csv").write_text(text)
        assert open_table(tmp_path / "in.csv", Reading(header=header)).note == note
        opening = Opening("auto", Layout(first=header), StreamSelection(), print, None)
        opening.read([line.encode() for line in text.splitlines()], True)
        assert opening.note == note


def test_a_file_of_another_format_can_be_forced(tmp_path):
    (tmp_path / "in").write_text("{a},b\n1,2\n3,4\n")
    with pytest.raises(Failure, match="line 1: no JSON"):
        open_table(tmp_path / "in", Reading())
    assert tuple(open_table(tmp_path / "in", Reading(format="csv")).kinds) == ("{a}", "b")


@pytest.mark.parametrize("data", [LINES, b"a,b\n1,2\n3,4\n5,6.5\n"])
def test_standard_input(tmp_path, data):
    def start(*arguments, stdin):
        command = [
            sys.executable,
            "-m",
            "imondrian",
            "score",
            *arguments,
            "--trees",
            "5",
            "--numeric-only",
            "-q",
            "-n",
            "3",
        ]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "in").write_bytes(data)
    assert start("-", stdin=data) == start("in", stdin=b"")
    assert sorted(os.listdir(tmp_path)) == ["in"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("blank", [" ", "\t", " \t ", "\x0b", "\x0c", ""])
@pytest.mark.parametrize("head", ["a", "1", "sep=;"])
def test_lines_of_blanks_among_those_of_a_single_column(tmp_path, head, blank, end):
    for at in range(1, 6):
        rows = [head, "1", "2.5", "NA", '""']
        rows.insert(at, blank)
        names, X = both(tmp_path, end.join(rows) + end)
        found = [1, 2.5, NAN, NAN]
        np.testing.assert_array_equal(X[:, 0], [1, *found] if head == "1" else found)
        assert names == (("a",) if head == "a" else ("0",))
    assert both(tmp_path, f"{head}{end}{blank}{end}", header=True) is None  # no rows


@pytest.mark.parametrize("blank", ["\u00a0", "\x1c", "\x85", "\u2003"])
def test_only_what_is_a_blank_in_ascii_is_passed_over(tmp_path, blank):
    for text in (f"{blank}\na\n1\n", f"\n{blank}\n1\n2\n"):
        found = both(tmp_path, text)
        assert found is None or found[0] == ("",)
