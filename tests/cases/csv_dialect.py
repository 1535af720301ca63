"""What ``score`` and ``stream`` read of the same text."""

import numpy as np
import pytest

pytest.importorskip("river", reason="needs river")
pytest.importorskip("click", reason="needs click")
pytest.importorskip("orjson", reason="needs orjson")
pytest.importorskip("pyarrow", reason="needs pyarrow")

from imondrian._cli import Failure
from imondrian._cli.stream.csv_records import Layout
from imondrian._cli.stream.format_sniffing import Opening
from imondrian._cli.stream.records import Numbering
from imondrian._cli.stream.records import Selection as StreamSelection
from imondrian._cli.tables.columns import Selection, choose, read_rows
from imondrian._cli.tables.reading import Reading, open_table

NAN = float("nan")


def by_score(path, data, **reading):
    """What ``score`` reads: (names, matrix), or None where it refuses the file."""
    path.write_bytes(data)
    try:
        table = open_table(path, Reading(format="csv", **reading))
        chosen = choose([table], Selection())
        rows = [rows.X for rows in read_rows([table], chosen, [])]
    except Failure as error:
        assert str(path) in str(error)
        return None
    return tuple(table.kinds), np.concatenate(rows) if rows else np.zeros((0, len(table.kinds)))


def by_stream(data, take=None, **layout):
    """What ``stream`` reads, a few lines at a time: (names, matrix), or None where the header or a line is bad."""
    if "header" in layout:
        layout["first"] = layout.pop("header")
    bad, numbering, decoder, tables = {}, Numbering(), None, []
    opening = Opening("csv", Layout(**layout), StreamSelection(), bad.__setitem__, None)
    lines = data.split(b"\n")
    lines = lines[:-1] if lines[-1] == b"" else lines
    take = take or len(lines)
    try:
        for begin in range(0, len(lines), take):
            some = lines[begin : begin + take]
            while decoder is None and some:
                decoder, passed = opening.read(some, numbering.lines == 0)
                numbering.lines += passed
                some = some[passed:]
                numbering.blanks = numbering.blanks if decoder is None else decoder.blanks
            if some:
                tables += decoder.tables(numbering.take(some))
    except Failure:
        return None
    if bad or not any(len(table.values) for table in tables):
        return None
    return opening.header, np.concatenate([table.values for table in tables])


def both(tmp_path, text, **options):
    """What both read, having asserted that they agree however the stream is cut."""
    data = text if isinstance(text, bytes) else text.encode()
    found = by_score(tmp_path / "in.csv", data, **options)
    for take in (1, 2, None):
        other = by_stream(data, take, **options)
        assert (found is None) == (other is None), (text, found, other)
        if found is not None:
            assert found[0] == other[0], (text, found, other)
            np.testing.assert_array_equal(found[1], other[1], err_msg=repr(text))
    return found


DELIMITERS = [",", ";", "\t", "|"]


def table(cells, delimiter, end="\n", mark="."):
    """A column of these cells, and one of numbers with the decimal mark."""
    rows = [["a", "b"], ["3", f"0{mark}5"], *([cell, f"1{mark}25"] for cell in cells)]
    return "".join(delimiter.join(row) + end for row in rows)


LINES = (
    b'\xef\xbb\xbf{"a": 1, "b": 2.5, "id": "x"}\n\n'
    b'  {"b": null, "a": 3, "id": "y"}\r\n{"a": true, "id": null, "c": 1e3}'
)
