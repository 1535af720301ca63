"""Lines of JSON: ``score`` and ``stream`` read the same numbers, or refuse the same lines."""

import gzip

import numpy as np
import pytest

pytest.importorskip("river", reason="needs river")
pytest.importorskip("click", reason="needs click")
pytest.importorskip("orjson", reason="needs orjson")
pytest.importorskip("pyarrow", reason="needs pyarrow")

from cases.csv_dialect import LINES, NAN

from imondrian._cli import Failure
from imondrian._cli.stream.csv_records import Layout
from imondrian._cli.stream.format_sniffing import Opening
from imondrian._cli.stream.records import Numbering
from imondrian._cli.stream.records import Selection as StreamSelection
from imondrian._cli.tables.columns import Selection, choose, read_rows
from imondrian._cli.tables.reading import Reading, open_table

EXPECTED = [[1, 2.5, NAN], [3, NAN, NAN], [1, NAN, 1000]]


def json_by_stream(data):
    """What ``stream`` reads: the values by field of each record, and the bad lines."""
    bad, numbering, found = {}, Numbering(), []
    lines = data.split(b"\n")
    opening = Opening("auto", Layout(), StreamSelection(ignore=("id",)), bad.__setitem__, None)
    decoder, passed = opening.read(lines, True)
    for one in decoder.tables(numbering.take(lines[passed:])):
        found += [dict(zip(one.fields, row, strict=True)) for row in one.values.tolist()]
    return found, bad


@pytest.mark.parametrize("name", ["in.jsonl", "in.ndjson", "in", "in.csv", "in.jsonl.gz"])
def test_lines_of_json(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(LINES) if name.endswith("gz") else LINES)
    found = open_table(path, Reading())
    chosen = choose([found], Selection(numeric_only=True))
    X = np.concatenate([rows.X for rows in read_rows([found], chosen, [])])
    assert chosen.features == ["a", "b", "c"] and found.kinds["id"] == "text"
    np.testing.assert_array_equal(X, EXPECTED)
    stream, bad = json_by_stream(LINES)
    assert not bad
    np.testing.assert_array_equal([[row.get(name, NAN) for name in "abc"] for row in stream], EXPECTED)
    assert [batch.column(0).to_pylist() for batch in found.batches((), ["id"])] == [["x", "y", None]]


@pytest.mark.parametrize(
    "line",
    [
        '{"a": "3.5"}',
        '{"a": [1]}',
        '{"a": NaN}',
        "{",
        "[1]",
        "7",
        '{"a": {"x": 1}}',
        '{"a": 1,}',
        "null",
        '{"a": 1e999}',
        "\xff",
    ],
)
def test_lines_that_both_refuse(tmp_path, line):
    data = b'{"a": 1}\n{"a": 2}\n{"a": 3}\n' + line.encode("latin-1") + b'\n{"a": 4}\n'
    assert json_by_stream(data)[1].keys() == {4}
    (tmp_path / "in.jsonl").write_bytes(data)
    with pytest.raises(Failure, match=r"in\.jsonl: (row|line) 4"):
        found = open_table(tmp_path / "in.jsonl", Reading())
        list(read_rows([found], choose([found], Selection()), []))
