"""Lines become records: JSON and CSV, however the input is cut, and what is wrong with those that are none."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("river", reason="needs river")
pytest.importorskip("click", reason="needs click")
pytest.importorskip("orjson", reason="needs orjson")

from imondrian._cli import Failure
from imondrian._cli.stream.csv_records import CsvRecords, Layout
from imondrian._cli.stream.format_sniffing import Opening
from imondrian._cli.stream.json_lines import dump_lines, is_plain
from imondrian._cli.stream.json_records import JsonRecords
from imondrian._cli.stream.records import Numbering, Selection


def read(lines, decoder_of, take=None):
    """All tables of lines given ``take`` at a time, and the bad lines."""
    bad, numbering, tables = {}, Numbering(), []
    decoder = decoder_of(bad.__setitem__)
    take = take or len(lines) or 1
    for begin in range(0, len(lines), take):
        tables += decoder.tables(numbering.take(lines[begin : begin + take]))
    return tables, bad


def flattened(tables):
    """Every record as (number, key, kept, {field: value}) whatever tables they came in."""
    found = []
    for table in tables:
        for i, number in enumerate(table.records):
            x = dict(zip(table.fields, table.values[i].tolist(), strict=True))
            x = {name: value for name, value in x.items() if not math.isnan(value)}
            found.append((number, table.keys and table.keys[i], table.kept and table.kept[i], x))
    return found


class Watched:
    """A decoder whose known features are those of the tables it gave, as with a model that learns each."""

    def __init__(self, selection, report):
        self.known = []
        self.decoder = JsonRecords(selection, lambda: self.known, report)

    def tables(self, rows):
        for table in self.decoder.tables(rows):
            self.known += [name for name in table.fields if name not in self.known]
            yield table


cells = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["text", [1], {"x": 1}]),
)
objects = st.dictionaries(st.sampled_from("abcde"), cells, max_size=5)
bad_lines = st.sampled_from([b"{", b"7", b"[1]", b"null", b'{"a": NaN}', b"\xff", b"", b"  \r", None])
lines_of_json = st.lists(st.one_of(objects.map(lambda x: json.dumps(x).encode()), bad_lines), max_size=30)


def expected_of(lines, features):
    """The obvious reading of JSON lines: what each record is, and which lines are bad."""
    good, bad, number = [], set(), 0
    for i, line in enumerate(lines, 1):
        if line is not None and not line.strip():
            continue
        number += 1
        try:
            x = json.loads(line or b"", parse_constant=lambda name: 1 / 0)
        except (ValueError, ZeroDivisionError):
            bad.add(i)
            continue
        if not isinstance(x, dict) or any(isinstance(v, (str, list, dict)) for k, v in x.items() if features(k)):
            bad.add(i)
            continue
        good.append((number, {k: float(v) for k, v in x.items() if features(k) and v is not None}))
    return good, bad


@pytest.mark.parametrize("exact", [False, True])
@given(lines=lines_of_json, take=st.integers(1, 31))
def test_json_reads_as_the_obvious_reader_does(lines, take, exact):
    def decoder(report):
        selection = Selection(ignore=("e",))
        return JsonRecords(selection, None, report) if exact else Watched(selection, report)

    good, bad = expected_of(lines, lambda name: name != "e")
    tables, found = read(lines, decoder, take)
    assert [(number, x) for number, _, _, x in flattened(tables)] == good
    assert found.keys() == bad


@given(lines=lines_of_json, take=st.integers(1, 31))
def test_json_with_chosen_columns(lines, take):
    good, bad = expected_of(lines, "ca".__contains__)
    tables, found = read(lines, lambda report: JsonRecords(Selection(columns=("c", "a")), None, report), take)
    assert [(number, x) for number, _, _, x in flattened(tables)] == good
    assert found.keys() == bad
    assert {table.fields for table in tables} <= {("c", "a")}


@given(st.lists(st.sets(st.sampled_from("abcd")), max_size=20))
def test_exact_tables_have_the_fields_of_their_records(names):
    lines = [json.dumps(dict.fromkeys(each, 1)).encode() for each in names]
    tables, _ = read(lines, lambda report: JsonRecords(Selection(), None, report))
    assert [set(table.fields) for table in tables for _ in table.records] == names


def test_one_table_where_every_record_has_the_same_fields():
    lines = [b'{"a":1,"b":2,"t":"x"}', b'{"b":3,"t":"y","a":null}', b'{"t":"z","a":5,"b":6}']
    decoder = lambda report: JsonRecords(Selection(keep=("t",)), lambda: ["b", "a"], report)  # noqa: E731
    (table,), bad = read(lines, decoder)
    assert table.fields == ("b", "a") and table.kept == [("x",), ("y",), ("z",)] and not bad
    np.testing.assert_array_equal(table.values, [[2, 1], [3, np.nan], [6, 5]])


def test_an_unknown_field_in_the_place_of_an_ignored_one_is_found():
    decoder = lambda report: Watched(Selection(ignore=("t",)), report)  # noqa: E731
    tables, _ = read([b'{"a":1,"t":0}', b'{"a":2,"z":5}', b'{"a":3,"t":0}'], decoder)
    assert [x for *_, x in flattened(tables)] == [{"a": 1}, {"a": 2, "z": 5}, {"a": 3}]


def test_keys():
    selection = Selection(key="k")
    lines = [b'{"k":"x","a":1}', b'{"k":7,"a":1}', b'{"a":1}', b'{"k":null,"a":1}', b'{"k":1.5,"a":1}', b'{"k":true}']
    tables, bad = read(lines, lambda report: JsonRecords(selection, None, report))
    assert [key for table in tables for key in table.keys] == ["x", 7]
    assert bad[3] == "lacks the key field 'k'" and "must be text or an integer, got null" in bad[4]
    assert bad.keys() == {3, 4, 5, 6}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"a": "1,5"}', "field 'a' must be a number, got the text '1,5'; --ignore leaves a field out"),
        (b'{"a": NaN}', "NaN and Infinity are no JSON"),
        (
            b'{"t": "x", "b": 1, "a": [1]}',
            "fields must be numbers: 't' is the text 'x', 'a' is a list; --ignore t,a leaves them out",
        ),
        (
            b'{"it\'s": "x", "a": {}}',
            "fields must be numbers: \"it's\" is the text 'x', 'a' is an object; "
            "--ignore 'it'\"'\"'s,a' leaves them out",
        ),
        (
            b'{"t,u": "x", "a": "y"}',
            "fields must be numbers: 't,u' is the text 'x', 'a' is the text 'y'; --ignore leaves a field out",
        ),
        (b'{"a": [1]}', "field 'a' must be a number, got a list"),
        (b"{'a': 1}", "no JSON"),
        (b"12", "must be a JSON object, got 12"),
        (b'{"a": 1e999}', "infinity"),
        (None, "too long"),
    ],
)
def test_what_is_told_of_bad_json(line, told):
    assert told in read([line], lambda report: JsonRecords(Selection(), None, report))[1][1]


# -- CSV ---------------------------------------------------------------------------------------------------


def csv_decoder(selection=Selection(), header=("a", "b", "c"), decimal=".", delimiter=","):  # noqa: B008
    return lambda report: CsvRecords(header, delimiter, decimal, selection, report)


csv_cells = st.sampled_from(["1", "-2.5", "1e3", " 4 ", "", "nan", "NA", "null", '"6"', "1_0", "x", "inf", '"7', "8\r"])
csv_rows = st.lists(st.lists(csv_cells, min_size=2, max_size=4).map(",".join), max_size=12)


@given(rows=csv_rows, take=st.integers(1, 13))
def test_csv_reads_the_same_however_lines_come_together(rows, take):
    """Lines one at a time are read one by one or together, never both: they must agree."""
    lines = [row.encode() for row in rows]
    together = read(lines, csv_decoder(), take)
    decoder = csv_decoder()(print)
    alone = {}
    for number, line in enumerate(lines, 1):
        decoder._report = lambda _, what, number=number: alone.__setitem__(number, what)
        table = list(decoder.tables(Numbering(records=number - 1, lines=number - 1).take([line])))
        slow = decoder._read_one_by_one(Numbering().take([line]))[1]
        assert len(table) == len(slow)
        np.testing.assert_array_equal(table[0].values if table else np.zeros((0, 3)), slow)
    assert together[1] == alone


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("1,2,3", [1, 2, 3]),
        ("1,,3", [1, np.nan, 3]),
        ('"1",2e-3, 3 ', [1, 2e-3, 3]),
        ("NaN,None,n/a", [np.nan] * 3),
        ("1,NA,null\r", [1, np.nan, np.nan]),
    ],
)
def test_cells(row, expected):
    (table,), bad = read([row.encode(), b"1,2,3"], csv_decoder())
    np.testing.assert_array_equal(table.values[0], expected)
    assert not bad


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("1,2", "has 2 fields, the header has 3"),
        ("1,2,x", "field 'c' must be a number, got the text 'x'"),
        ("y,2,x", "fields must be numbers: 'a' is the text 'y', 'c' is the text 'x'; --ignore a,c leaves them out"),
        ("1,2,inf", "field 'c' must be finite"),
        ("1,2,1_0", "field 'c' must be a number"),
        ('1,2,"x', "no CSV"),
        ('1,"2,5",3', "field 'b' has a decimal comma where decimals have points: '2,5' (--decimal , reads commas)"),
    ],
)
def test_what_is_told_of_bad_csv(row, told):
    assert told in read([b"1,2,3", row.encode()], csv_decoder())[1][2]


def test_no_utf8_is_told():
    assert read([b"1,2,\xff"], csv_decoder())[1][1] == "no UTF-8: byte 0xff at column 5"


def test_decimal_commas():
    decode = csv_decoder(decimal=",", delimiter=";")
    (table,), bad = read([b"1,5;2;-3,25e1", b"4.5;1;2"], decode)
    np.testing.assert_array_equal(table.values, [[1.5, 2, -32.5]])
    assert bad == {2: "field 'a' has a decimal point where decimals have commas: '4.5'"}


def test_csv_columns_that_are_kept_and_keys():
    decode = csv_decoder(Selection(keep=("c",), key="a"))
    (table,), bad = read([b"x,1,p", b",2,q", b"y,3,"], decode)
    assert (table.fields, table.keys, table.kept) == (("b",), ["x", "y"], [("p",), ("",)])
    assert bad == {2: "lacks the key field 'a'"}


def test_a_column_that_is_not_there():
    with pytest.raises(Failure, match=r"there is no column 'z'; there are 'a', 'b', 'c'"):
        csv_decoder(Selection(columns=("a", "z")))(print)


# -- the first line ------------------------------------------------------------------------------------------


def opened(line, format="auto", layout=Layout(), header=None, **selection):  # noqa: B008
    opening = Opening(format, layout, Selection(**selection), print, list)
    opening.header = header
    decoder, passed = opening.read([line], is_first=True)
    return decoder, passed, opening.header


@pytest.mark.parametrize(
    ("line", "header"),
    [
        (b"a,b,c", ("a", "b", "c")),
        (b"\xef\xbb\xbfa;b\r", ("a", "b")),
        (b'"x, y"\tz', ("x, y", "z")),
        (b"only", ("only",)),
    ],
)
def test_headers(line, header):
    decoder, passed, found = opened(line)
    assert isinstance(decoder, CsvRecords) and passed == 1 and found == header


def test_json_is_recognised_by_its_brace():
    assert isinstance(opened(b'\xef\xbb\xbf {"a": 1}')[0], JsonRecords)
    assert opened(b"  \r")[:2] == (None, 1)


def test_a_header_from_the_command_line_or_the_run_before():
    assert opened(b"1,2", layout=Layout(header=("a", "b")))[1:] == (0, ("a", "b"))
    assert opened(b"1,x", header=("a", "t"), ignore=("t",))[1:] == (0, ("a", "t"))  # data: the header is known
    assert opened(b"b,a", header=("a", "b"))[1:] == (1, ("b", "a"))
    assert opened(b"0,1", header=("0", "1"))[1:] == (1, ("0", "1"))  # the header again
    assert opened(b"1,2,3", header=("a", "b"))[1:] == (0, ("a", "b"))  # a bad line, and no new columns


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"a,a", "column 'a' twice"),
        (b"a,b\r1,2\r", "carriage return alone"),
        (b'"a,b', "header line cannot be read"),
        (b"[", "begins with '\\['"),
        (b"\x89PNG\0", "no text"),
        (None, "no text"),
    ],
)
def test_first_lines_that_are_refused(line, message):
    with pytest.raises(Failure, match=message):
        opened(line)


# -- numbers and output -----------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from([b"x", b"", b" ", None]), max_size=20), st.integers(1, 20), st.integers(0, 5))
def test_numbering_does_not_depend_on_the_cut(lines, take, skip):
    numbering, found = Numbering(records=skip), []
    numbering.replay(skip)
    for begin in range(0, len(lines), take):
        rows = numbering.take(lines[begin : begin + take])
        found += zip(*rows, strict=True)
    real = [(line, i) for i, line in enumerate(lines, 1) if line is None or line.strip()]
    assert found == [(line, i, number) for number, (line, i) in enumerate(real[skip:], skip + 1)]


short = st.text(max_size=9)
tricky = st.sampled_from(['},{"record":', '"},{"', [{"record": 1}, {"record": 2}], [[]]])


values_of_output = st.one_of(short, st.integers(-9, 9), st.none(), tricky)


@given(st.lists(st.dictionaries(short, values_of_output, max_size=4), max_size=6))
def test_output_is_a_line_an_object_whatever_is_in_it(objects):
    objects = [{"record": i, **each} for i, each in enumerate(objects)]
    flat = is_plain([value for each in objects for value in each.values()])
    assert [json.loads(line) for line in dump_lines(objects, flat).split(b"\n")[:-1]] == objects
