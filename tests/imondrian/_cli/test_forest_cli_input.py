"""Bad input to ``imondrian score`` and ``explain``: one line that a person can act on, and nothing half-written."""

import bz2
import errno
import gzip
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
pytest.importorskip("rich", reason="needs rich: pip install 'imondrian[cli]'")
pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'imondrian[cli]'")

import pyarrow as pa
from pyarrow import csv, feather, parquet

from imondrian import IsolationMondrianForest, cli
from imondrian._cli import Failure, output
from imondrian._cli.tables import columns
from imondrian._cli.tables import reading as tables
from imondrian._cli.tables import reading_csv as tables_csv

ROOT = Path(__file__).resolve().parents[3]
GOOD = "".join(f"{k % 7},{k % 5}.5\n" for k in range(40))
FEW = ("--trees", "5", "--max-samples", "16")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("good.csv").write_text("a,b\n" + GOOD)
    Path("out.csv").write_text("old")
    return tmp_path


def fail(capsys, *arguments, files=None):
    """Run a command that cannot be carried out; return its exit code and message."""
    before = sorted(os.listdir())
    with pytest.raises(SystemExit) as stop:
        cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert captured.out == "" and "Traceback" not in captured.err
    assert captured.err.startswith("imondrian: ") and "defect" not in captured.err
    assert Path("out.csv").read_text() == "old" and sorted(os.listdir()) == before
    return stop.value.code, captured.err


def put(data, name="x.csv"):
    return lambda: (Path(name).write_bytes(data.encode() if isinstance(data, str) else data), name)[1]


def put_table(name, **columns):
    def write():
        table = pa.table({key.replace("_", " "): value for key, value in columns.items()})
        {"x.parquet": parquet.write_table, "x.feather": feather.write_feather}[name](table, name)
        return name

    return write


def cut(make, keep, patch=None):
    def write():
        name = make()
        data = Path(name).read_bytes()[:keep]
        Path(name).write_bytes(data if patch is None else data + patch)
        return name

    return write


def damaged(make):
    def write():
        name = make()
        data = bytearray(Path(name).read_bytes())
        middle = len(data) - 40 if name.endswith("parquet") else len(data) // 2
        data[middle - 20 : middle + 20] = b"\xa5" * 40
        Path(name).write_bytes(bytes(data))
        return name

    return write


def twice():
    parquet.write_table(pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], ["a", "a"]), "x.parquet")
    return "x.parquet"


NUMBERS = list(map(float, range(50)))
TABLE = put_table("x.parquet", a=NUMBERS)
FEATHER = put_table("x.feather", a=NUMBERS)
CASES = {
    "no file": (lambda: "none.csv", (), 1, "none.csv: No such file"),
    "a folder": (lambda: (Path("d").mkdir(), "d")[1], (), 1, "d: is a folder, not a file"),
    "empty": (put(""), (), 1, "x.csv: is empty"),
    "blank": (put("\n\n \n"), (), 1, "x.csv: holds blank lines only"),
    "header alone": (put("a,b\n"), (), 1, "x.csv: has a header, but no rows"),
    "header alone, cut": (put("a,b"), (), 1, "x.csv: has a header, but no rows"),
    "no rows": (put_table("x.parquet", a=pa.array([], pa.float64())), (), 1, "x.parquet: no rows are left"),
    "no columns": (lambda: (parquet.write_table(pa.table({}), "x.parquet"), "x.parquet")[1], (), 1, "has no columns"),
    "binary": (put(b"\x89PNG\r\n\x1a\n" + bytes(200)), (), 1, "x.csv: is neither CSV nor Parquet nor Arrow"),
    "no UTF-8": (put(b"gr\xfc\xdfe,b\n1,2\n"), (), 1, "x.csv: is not text in utf-8 (invalid start byte at byte 2)"),
    "UTF-16": (put("a,b\n1,2\n".encode("utf-16")), (), 1, "--encoding utf-16 reads it"),
    "no encoding": (put("a\n1\n"), ("--encoding", "klingon"), 1, "--encoding: unknown encoding: klingon"),
    "Parquet, cut": (cut(TABLE, 300), (), 1, "begins as Parquet but does not end as such: it is cut off"),
    "Parquet, damaged": (damaged(TABLE), (), 1, "x.parquet: cannot be read, it is damaged or cut off"),
    "Parquet, four bytes": (put(b"PAR1", "x.parquet"), (), 1, "x.parquet: cannot be read, it is damaged or cut off"),
    "Arrow, cut": (cut(FEATHER, 200), (), 1, "begins as Arrow but does not end as such: it is cut off"),
    "Arrow, hollow": (cut(FEATHER, 60, b"ARROW1"), (), 1, "x.feather: cannot be read, it is damaged or cut off"),
    "Feather 1": (put(b"FEA1" + bytes(60)), (), 1, "Feather of version 1: save it again with version 2"),
    "gzip, cut": (put(gzip.compress(("a,b\n" + GOOD).encode())[:-9], "x.csv.gz"), (), 1, "cut off: Truncated"),
    "bzip2, broken": (put(bz2.compress(b"a,b\n1,2\n")[:20] + b"nonsense", "x.bz2"), (), 1, "x.bz2: cannot be read"),
    "not the format said": (TABLE, ("--read-as", "arrow"), 1, "x.parquet: is not of the format arrow, but parquet"),
    "not CSV": (TABLE, ("--read-as", "csv"), 1, "x.parquet: is not of the format csv, but parquet"),
    "CSV, not Parquet": (put("a\n1\n"), ("--read-as", "parquet"), 1, "x.csv: is not of the format parquet"),
    "two of a name": (put("a,b,a\n1,2,3\n"), (), 1, "x.csv: two columns have the name 'a'"),
    "two of a name, Parquet": (twice, (), 1, "x.parquet: two columns have the name 'a'"),
    "a short row": (put("a,b\n" + GOOD + "7\n" + GOOD), (), 1, "x.csv: row 41 has 1 cells, not 2: '7'"),
    "a long row": (put("a,b\n" + GOOD + "1,5,2,5\n"), (), 1, "row 41 has 4 cells, not 2: '1,5,2,5'; if commas are"),
    "text in a number": (put("a,b\n" + GOOD + "1,x\n"), (), 1, "row 41, column 'b': 'x' is not a number; --missing"),
    "text far on": (put("a,b\n" + GOOD * 20000 + "oh,1\n" + GOOD), (), 1, "row 800001, column 'a': 'oh' is not"),
    "two decimal marks": (
        put("a;b\n1,5;2\n2.5;3\n4,5;6\n"),
        (),
        1,
        "row 2, column 'a': '2.5' is not a number with the decimal mark ','",
    ),
    "the other mark": (
        put("a;b\n1.5;2\n2.5;3\n4,5;6\n"),
        (),
        1,
        "row 3, column 'a': '4,5' is not a number with the decimal mark '.'",
    ),
    "the wrong mark": (put("a;b\n1,5;2\n2,5;3\n"), ("--decimal", "."), 1, "'a' holds text"),
    "marks alike": (put("a,b\n1,5\n"), ("--decimal", ",", "--delimiter", ","), 1, "cannot both be ','"),
    "no truth value": (
        put("a,b\ntrue,1\nfalse,2\nmaybe,3\n"),
        ("--numeric", "a"),
        1,
        "not all columns hold numbers: 'a' holds text",
    ),
    "no truth value far on": (
        put("a,b\n" + "true,1\n" * 900000 + "maybe,3\n"),
        (),
        1,
        "row 900001, column 'a': 'maybe' is neither true nor false",
    ),
    "text": (
        put("id,a,b\nx,1,2\ny,3,4\n"),
        ("--numeric", "id"),
        1,
        "'id' holds text: --exclude 'id' or --numeric-only",
    ),
    "dates": (
        put('id,"d,ay",b\nx,2024-01-01,2\ny,2024-01-02,4\n'),
        ("--numeric", 'id,"d,ay"'),
        1,
        "'id' holds text; 'd,ay' holds dates: --exclude 'id,\"d,ay\"' or --numeric-only",
    ),
    "lists": (put_table("x.parquet", a=[[1.0]], b=[1.0]), (), 1, "'a' holds other things"),
    "nothing but text": (put("a\nx\ny\n"), ("--numeric-only",), 1, "no column with numbers is left; its columns"),
    "nothing left": (put("a,b\n1,2\n"), ("-x", "a,b"), 1, "no column with numbers is left"),
    "no values": (put("a,b\n,NA\nnan,\n"), (), 1, "the columns with numbers hold no values at all"),
    "infinite": (put("a,b\n1,2\n3,4\n5,-inf\n"), (), 1, "row 3, column 'b': the value is infinite (-inf); --infinite"),
    "infinite, Parquet": (put_table("x.parquet", a=[1.0, np.inf]), (), 1, "x.parquet: row 2, column 'a': the value is"),
    "all infinite": (put_table("x.parquet", a=[np.inf]), ("--infinite", "drop"), 1, "x.parquet: no rows are left"),
    "no column": (put("a,b\n1,2\n"), ("-c", "a,z"), 2, "has no column 'z', which --columns names; its columns are"),
    "no column to leave out": (put("a,b\n1,2\n"), ("-x", "z"), 2, "has no column 'z', which --exclude names"),
    "no column to keep": (put("a,b\n1,2\n"), ("-k", "z"), 2, "has no column 'z', which --keep names"),
    "no label": (put("a,b\n1,2\n"), ("-l", "z"), 2, "has no column 'z', which --label names"),
    "label as a feature": (put("a,b\n1,2\n"), ("-l", "b", "-c", "a,b"), 2, "'b' is the label and cannot be a feature"),
    "label of one kind": (put("a,b\n1,x\n2,x\n"), ("-l", "b"), 1, "label 'b' must have two values, or --anomaly say"),
    "label of three kinds": (put("a,b\n1,x\n2,y\n3,z\n"), ("-l", "b"), 1, "it has 3: x, y, z"),
    "no such anomaly": (put("a,b\n1,x\n2,y\n"), ("-l", "b", "--anomaly", "q"), 1, "has no value 'q'; it has x, y"),
    "no label at all": (
        put("a,b\n" + "".join(f"1,{k}x\n" for k in range(300))),
        ("-l", "b"),
        1,
        "'b' is no label: it has more than 254 different values",
    ),
    "an anomaly without label": (put("a,b\n1,2\n"), ("--anomaly", "q"), 2, "--anomaly says what values of"),
    "a name that is taken": (put("score,b\n1,2\n"), ("-k", "score"), 2, "--keep score: the output has a column"),
    "a name that is taken of all": (put("a,row\n1,2\n"), ("--keep-all",), 2, "--keep row: the output has a column"),
    "no model": (put("a\n1\n"), ("-m", "none"), 1, "none: No such file"),
    "a model of its own": (put("a\n1\n"), ("-m", "good.csv"), 1, "good.csv"),
    "trees with a model": (put("a\n1\n"), ("-m", "x", "--max-samples", "3"), 2, "--max-samples says how to"),
    "delimiter": (put("a\n1\n"), ("--delimiter", ";;"), 2, "must be one character, or 'tab'"),
    "jobs": (put("a\n1\n"), ("-j", "0"), 2, "0 is not in the range"),
    "no quotation's end": (put('a,b\n1,"2\n' + GOOD), (), 1, "x.csv"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_told_in_one_line(capsys, case):
    make, options, code, message = CASES[case]
    few = () if {"-m", "--max-samples"} & set(options) else FEW
    found, text = fail(capsys, "score", make(), "-o", "out.csv", "-q", *few, *options)
    assert message in text and found == code
    assert len(text.splitlines()) <= 2 and len(text) < 900  # a second line names --help


@pytest.mark.parametrize("layout", ["csv", "csv.gz", "parquet", "feather", "arrows"])
def test_damaged_files_are_refused_or_read(layout):
    """Whatever bytes are changed: a Failure that names the file, or rows; never another error."""
    table = pa.table({"a": [None if k % 5 == 0 else k / 7 for k in range(100)], "s": [f"s{k % 7}" for k in range(100)]})
    path = Path(f"in.{layout}")
    if layout == "parquet":
        parquet.write_table(table, path, row_group_size=40)
    elif layout == "feather":
        feather.write_feather(table, path, compression="uncompressed")
    elif layout == "arrows":
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    else:
        csv.write_csv(table, "plain")
        data = Path("plain").read_bytes()
        path.write_bytes(gzip.compress(data) if layout == "csv.gz" else data)
    good, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        data = bytearray(good)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            data[place] = rng.integers(256)
        cut = rng.integers(len(data)) if rng.random() < 0.2 else len(data)
        path.write_bytes(bytes(data[:cut]))
        try:
            found = tables.open_table(path, tables.Reading())
            chosen = columns.choose([found], columns.Selection(numeric_only=True))
            for rows in columns.read_rows([found], chosen, []):
                assert rows.X.shape[1] == len(chosen.features)
            for batch in found.batches((), [name for name in found.kinds if name not in chosen.features]):
                batch.to_pylist()
        except Failure as failure:
            assert str(path) in str(failure)
            refused += 1
        except MemoryError:  # what a damaged length asks for
            refused += 1
    assert refused > 0


def test_a_model_says_which_columns_it_needs(capsys):
    X = np.random.default_rng(0).normal(size=(60, 2))
    cli.main(["score", "good.csv", "-q", "--save", "m.forest", "-o", "new.csv", *FEW])
    Path("other.csv").write_text("b,c\n1,2\n")
    code, text = fail(capsys, "score", "other.csv", "-m", "m.forest", "-o", "out.csv")
    assert code == 1 and "other.csv: has no column 'a', which the model needs; its columns are 'b', 'c'" in text
    forest = IsolationMondrianForest(5, max_samples=16).fit(X)
    forest.save("bare.forest")
    Path("wide.csv").write_text("a,b,c\n1,2,3\n")
    code, text = fail(capsys, "score", "wide.csv", "-m", "bare.forest", "-o", "out.csv")
    assert code == 1 and "fitted to 2 features without names; there are 3 columns with numbers: --columns" in text
    assert "--columns is of no use" in fail(capsys, "score", "good.csv", "-m", "m.forest", "-c", "a")[1]
    IsolationMondrianForest().save("unfitted.forest")
    assert "holds a forest that is not fitted" in fail(capsys, "score", "good.csv", "-m", "unfitted.forest")[1]
    data = bytearray(Path("m.forest").read_bytes())
    data[len(data) // 2] ^= 255
    Path("m.forest").write_bytes(bytes(data))
    assert "m.forest" in fail(capsys, "score", "good.csv", "-m", "m.forest")[1]


def test_files_that_do_not_fit_together(capsys):
    Path("other.csv").write_text("a,c\n1,2\n")
    code, text = fail(capsys, "score", "good.csv", "other.csv", "-o", "out.csv", *FEW)
    assert code == 1 and "other.csv: has no column 'b', which the first file has" in text
    Path("text.csv").write_text("a,b\n1,x\n")
    assert "text.csv: not all columns hold numbers" in fail(capsys, "score", "good.csv", "text.csv", "-o", "out.csv")[1]


@pytest.mark.parametrize(
    "options, code, message",
    [
        (("-o", "good.csv"), 1, "cannot write good.csv: another option or argument names it, too"),
        (("-o", "./sub/../good.csv"), 1, "another option or argument"),
        (("-o", "out.csv", "--summary", "out.csv"), 1, "another option or argument"),
        (("-o", "out.txt"), 2, "out.txt: the suffix must say what to write: .csv, .parquet"),
        (("-o", "none/x.csv"), 1, "cannot write none/x.csv: there is no folder none"),
        (("-o", "sub.csv"), 1, "cannot write sub.csv: it is a folder"),
        (("--plot", "p.bmp"), 2, "p.bmp: the suffix must say what to draw"),
        (("--save", "none/m"), 1, "there is no folder none"),
    ],
)
def test_places_that_cannot_be_written(capsys, options, code, message):
    if "--plot" in options:
        pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'imondrian[plot]'")
    Path("sub").mkdir()
    Path("sub.csv").mkdir()
    found, text = fail(capsys, "score", "good.csv", *FEW, *options)
    assert found == code and message in text
    assert Path("good.csv").read_text() == "a,b\n" + GOOD


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user that permissions bind, not root")
def test_no_permission(capsys):
    os.chmod("good.csv", 0)
    assert "good.csv: Permission denied" in fail(capsys, "score", "good.csv")[1]
    Path("locked").mkdir(mode=0o500)
    Path("fine.csv").write_text("a,b\n" + GOOD)
    assert "cannot write locked/x.csv: no permission" in fail(capsys, "score", "fine.csv", "-o", "locked/x.csv")[1]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow"])
@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_a_disk_that_fills_up_at_the_end(capsys, monkeypatch, at, suffix):
    Path(f"o{suffix}").write_text("old")

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(output.os, at, refuse)
    code, text = fail(capsys, "score", "good.csv", "-q", "-o", f"o{suffix}", *FEW)
    assert code == 1 and f"o{suffix}: No space left on device" in text and Path(f"o{suffix}").read_text() == "old"


def start(*arguments, limit=None, unbuffered="", **options):
    def restrict():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-m", "imondrian", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, preexec_fn=restrict, **options)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "arrow"])
def test_a_disk_that_fills_up_leaves_the_old_file(suffix):
    Path("many.csv").write_text("a,b\n" + GOOD * 100)
    Path(f"o.{suffix}").write_text("old")
    before = sorted(os.listdir())
    process = start("score", "many.csv", "-o", f"o.{suffix}", *FEW, limit=4096)
    text = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1 and f"o.{suffix}: File too large" in text and "Traceback" not in text
    assert Path(f"o.{suffix}").read_text() == "old" and sorted(os.listdir()) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_standard_output_is_an_error(unbuffered):
    with open("/dev/full", "w") as full:
        process = start("score", "good.csv", "-q", *FEW, unbuffered=unbuffered, stdout=full)
        text = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1 and text == "imondrian: cannot write standard output: No space left on device\n"


def test_a_reader_that_goes_away_ends_it_quietly():
    Path("many.csv").write_text("a,b\n" + GOOD * 2500)
    process = start("score", "many.csv", "-q", *FEW, stdout=subprocess.PIPE)
    assert process.stdout.readline().startswith(b'"row"')
    process.stdout.close()
    with process.stderr:
        text = process.stderr.read()
    assert process.wait(timeout=60) == 141 and text == b""


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    with open("many.csv", "w") as file:
        file.write("a,b\n" + GOOD * 40000)
    before = sorted(os.listdir())
    process = start("score", "many.csv", "-o", "out.csv")
    while sorted(os.listdir()) == before and process.poll() is None:  # it has 1,600,000 rows to score
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    text = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130 and text.endswith("imondrian: interrupted\n") and "Traceback" not in text
    assert Path("out.csv").read_text() == "old" and sorted(os.listdir()) == before


def test_a_pipe_cannot_be_read_twice(capsys):
    os.mkfifo("pipe")
    code, text = fail(capsys, "score", "pipe")
    assert code == 1 and "pipe: is no regular file, and it is read more than once" in text


def test_a_file_that_changes_while_it_is_read(capsys, monkeypatch):
    fit = columns.read_rows
    calls = []

    def grow(*arguments, **options):
        if calls:
            Path("good.csv").write_text("a,b\n" + GOOD + "1,2\n")
        calls.append(1)
        return fit(*arguments, **options)

    for module in ("detector", "scored_rows"):
        monkeypatch.setattr(f"imondrian._cli.score.{module}.read_rows", grow)
    code, text = fail(capsys, "score", "good.csv", "-q", "-o", "out.csv", *FEW)
    assert code == 1 and "good.csv: has changed while it was read" in text


def test_too_little_memory_is_told(capsys, monkeypatch):
    def nothing(*_, **__):
        raise MemoryError

    monkeypatch.setattr(tables_csv.arrow_csv, "open_csv", nothing)
    code, text = fail(capsys, "score", "good.csv")
    assert code == 1 and text == "imondrian: there is not enough memory\n"
