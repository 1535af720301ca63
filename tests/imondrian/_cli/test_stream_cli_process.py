"""``imondrian stream`` as a process: signals, pipes whose other end is slow or goes away, disks that are full."""

import fcntl
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("river", reason="needs river")
pytest.importorskip("click", reason="needs click")
pytest.importorskip("orjson", reason="needs orjson")
if os.name == "nt":
    pytest.skip("needs a system with POSIX signals", allow_module_level=True)

from stream_commands import ROOT, ended, json_lines, run, start, values

from imondrian.river import OnlineIsolationMondrianForest

WAIT_S = 60


@pytest.fixture(autouse=True)
def usual_signals():
    """What is ignored here, children ignore too: tests that run under nohup, or in the background."""
    before = {
        number: signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def X():
    return values(600)


@pytest.fixture(scope="module")
def whole(X, tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"), json_lines(X))[1]


def take(process, n):
    """The next lines of output, as they come."""
    found, left = [], b""
    while len(found) < n:
        assert select.select([process.stdout], [], [], WAIT_S)[0], "no output came"
        data = os.read(process.stdout.fileno(), 1 << 16)
        assert data, process.stderr.read().decode()
        *lines, left = (left + data).split(b"\n")
        found += map(json.loads, lines)
    assert not left
    return found


def feed(process, data):
    process.stdin.write(data)
    process.stdin.flush()


def state(path):
    return OnlineIsolationMondrianForest.load(path)._model.note


def test_a_slow_stream_is_answered_record_by_record(X, whole):
    process = start()
    for row, expected in zip(X[:40], whole, strict=False):
        feed(process, json_lines(row[None]))
        assert take(process, 1) == [expected]
    assert ended(process)[0] == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130), (signal.SIGHUP, 0)])
def test_asked_to_stop_while_it_waits(X, whole, tmp_path, number, code):
    process = start("--model", tmp_path / "model", "--summary", tmp_path / "summary")
    feed(process, json_lines(X[:250]) + b'{"a":')
    found = take(process, 250)
    process.send_signal(number)
    assert process.wait(WAIT_S) == code  # standard input is still open
    _, rest, told = ended(process)
    assert "stopped within a line: 5 bytes" in told and not rest
    assert json.loads((tmp_path / "summary").read_text())["ended_by"] == number.name
    assert state(tmp_path / "model")["records"] == 250
    assert found + run(tmp_path, json_lines(X[250:]), model=tmp_path / "model")[1] == whole


def test_killed_it_loses_no_more_than_since_the_last_checkpoint(X, whole, tmp_path):
    process = start("--model", tmp_path / "model", "--every", 100)
    feed(process, json_lines(X[:370]))
    take(process, 370)
    process.kill()
    ended(process)
    assert 270 <= (covered := state(tmp_path / "model")["records"]) <= 370 and covered % 100 == 0
    found = run(tmp_path, json_lines(X), model=tmp_path / "model", replay=True)[1]
    assert whole[:covered] + found == whole


def test_killed_at_any_moment_there_is_a_model_that_is_whole(X, whole, tmp_path):
    path = tmp_path / "model"
    for delay in (0.0, 0.003, 0.01, 0.03):
        path.unlink(missing_ok=True)
        process = start("--model", path, "--every", 1)
        feed(process, json_lines(X[:1]))
        take(process, 1)
        feed(process, json_lines(X[1:]))
        time.sleep(delay)
        process.kill()
        out = [json.loads(line) for line in process.communicate()[0].split(b"\n")[:-1]]
        covered = state(path)["records"] if path.exists() else 0
        assert 0 <= covered <= 1 + len(out) <= covered + 2  # every record in it has had its line
        assert run(tmp_path, json_lines(X), model=path, replay=True)[1] == whole[covered:]


def small_pipe():
    """A pipe that holds little."""
    source, sink = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, 4096)
    return source, sink


@pytest.mark.parametrize("wait_s", [0.0, 0.3])
def test_asked_to_stop_while_nobody_reads(X, whole, tmp_path, wait_s):
    source, sink = small_pipe()
    with open(tmp_path / "input", "wb") as file:
        file.write(json_lines(X))
    with open(tmp_path / "input", "rb") as file:
        process = start("--model", tmp_path / "model", stdin=file, stdout=sink)
    os.close(sink)
    first = os.read(source, 10)  # it is at work, and soon cannot write on
    time.sleep(wait_s)
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_S) == 0 and ended(process)[2] == ""
    with open(source, "rb") as file:
        out = first + file.read()
    found = [json.loads(line) for line in out.split(b"\n")[:-1]]
    assert 0 < len(found) < state(tmp_path / "model")["records"] == 600
    assert found + run(tmp_path, b"", model=tmp_path / "model")[1] == whole
    assert len(state(tmp_path / "model")["pending"]) == 0


def test_without_a_model_lines_that_nobody_reads_are_an_error(X, tmp_path):
    source, sink = small_pipe()
    process = start(stdout=sink)
    os.close(sink)
    feed(process, json_lines(X))
    os.read(source, 10)
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_S) == 1 and b"lines are lost" in process.stderr.read()
    os.close(source)
    ended(process)


def test_a_reader_that_goes_away(X, whole, tmp_path):
    process = start("--model", tmp_path / "model")
    feed(process, json_lines(X[:300]))
    found = take(process, 300)
    process.stdout.close()
    feed(process, json_lines(X[300:]))
    assert process.wait(WAIT_S) == 141 and process.stderr.read() == b""
    process.stdin.close()
    process.stderr.close()
    # The lines it could not write come first when it goes on.
    assert found + run(tmp_path, json_lines(X), model=tmp_path / "model", replay=True)[1] == whole


def test_a_full_disk_under_the_model(X, whole, tmp_path):
    path = tmp_path / "model"
    run(tmp_path, json_lines(X[:100]), model=path)
    room = path.stat().st_size
    path.unlink()

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    process = start("--model", path, "--every", 10, preexec_fn=limit)
    code, out, told = ended(process, json_lines(X))
    assert code == 1 and f"cannot save the model in {path}: File too large" in told and "defect" not in told
    covered = state(path)["records"]
    assert covered < 600 and out == whole[: len(out)] and len(out) == covered + 10
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in", "model", "out"]
    assert run(tmp_path, json_lines(X), model=path, replay=True)[1] == whole[covered:]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a device that is always full")
def test_a_full_disk_under_the_output(X, whole, tmp_path):
    with open("/dev/full", "wb") as full:
        process = start("--model", tmp_path / "model", stdout=full)
    code, _, told = ended(process, json_lines(X))
    assert code == 1 and told == "imondrian: cannot write standard output: No space left on device\n"
    assert run(tmp_path, json_lines(X), model=tmp_path / "model", replay=True)[1] == whole


def test_places_that_cannot_be_written_are_refused_at_once(tmp_path):
    for path, message in ((tmp_path, "it is a folder"), (tmp_path / "no" / "model", "there is no folder")):
        code, out, told = ended(start("--model", path), b'{"a": 1}\n')
        assert code == 1 and message in told and not out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--no-learn",), "--no-learn needs --model"),
        (("--keep", "score"), "the output has a field of that name"),
        (("--alarm-rate", "0.1", "--threshold", "0.5"), "exclude each other"),
        (("--alarm-rate", "1"), "between 0 and 1"),
        (("--delimiter", "::"), "one character"),
        (("--delimiter", ",", "--decimal", ","), "cannot both be"),
        (("--columns", "a,,b"), "distinct names"),
        (("--window", "0"), "at least 1"),
        (("--window", "x"), "thinned"),
        (("--replay",), "--replay needs --model"),
        (("--columns", "a", "--ignore", "a"), "is also among"),
        (("--numeric-only",), "--numeric-only is of tables"),
    ],
)
def test_command_lines_that_are_refused(options, message):
    from imondrian._cli import USAGE

    code, out, told = ended(start(*options), b"")
    assert code == USAGE and not out and message in told


def test_options_reach_the_model_and_the_output(X, tmp_path):
    options = (
        "--window 40 --score depth --raw-units --calibration 99 --max-features 7 --max-bytes 9000000 --horizon 50 "
        "--keep id --threshold 0.3 --reasons 1 --read-as json --quiet"
    )
    process = start("--model", tmp_path / "model", *options.split())
    code, out, told = ended(process, json_lines(X[:100], id=list(range(100))) + b"x\n")
    assert code == 3 and told == "" and [each["id"] for each in out] == list(range(100))
    assert all(("reasons" in each) == each["alarm"] == (each["score"] >= 0.3) for each in out)
    params = OnlineIsolationMondrianForest.load(tmp_path / "model")._get_params()
    expected = {
        "n_trees": 10,
        "seed": 1,
        "window": 40,
        "score": "depth",
        "scale": None,
        "calibration": 99,
        "max_features": 7,
        "max_bytes": 9_000_000,
        "horizon": 50,
    }
    assert {name: params[name] for name in expected} == expected


def test_it_is_a_filter_in_a_shell(X, whole, tmp_path):
    (tmp_path / "input").write_bytes(json_lines(X))
    script = f"set -o pipefail; {sys.executable} -m imondrian stream --trees 10 --seed 1 < input | head -n 3"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == whole[:3]
    assert done.returncode in (0, 141) and done.stderr == ""  # 0 where all was in the pipe before head went


@pytest.mark.parametrize(
    ("options", "data", "records", "features", "note"),
    [
        ((), b"1,2\n3,4\n", 2, ["0", "1"], "the first row holds numbers and is taken for data"),
        (("--header",), b"1,2\n3,4\n", 1, ["1", "2"], ""),
        (("--no-header",), b"0,1\n3,4\n", 2, ["0", "1"], ""),
        ((), b"0,1\n3,4\n", 1, ["0", "1"], "is taken for names of columns"),
        (("--names", "a,b", "--header"), b"x,y\n3,4\n", 1, ["a", "b"], ""),
        (("--names", "a,b"), b"1,2\n3,4\n", 2, ["a", "b"], ""),
        (("--missing", "?"), b"a,b\n?,1\n2,3\n", 2, ["a", "b"], ""),
        ((), b"sep=;\na;b\n1,5;2\n", 1, ["a", "b"], ""),
        ((), b"\xef\xbb\xbfsep=|\r\n a | b \r\n1|2\r\n", 1, ["a", "b"], ""),
    ],
)
def test_how_csv_is_read(tmp_path, options, data, records, features, note):
    code, out, told = ended(start("--model", tmp_path / "model", *options), data)
    assert code == 0 and [each["record"] for each in out] == list(range(1, records + 1))
    assert note in told and (told == "") == (note == "")
    assert sorted(OnlineIsolationMondrianForest.load(tmp_path / "model")._model.keys) == features
    # It goes on with a file of the same kind, and with more rows of this one.
    again = start("--model", tmp_path / "model", *options)
    assert ended(again, data)[0] == 0
    assert sorted(OnlineIsolationMondrianForest.load(tmp_path / "model")._model.keys) == features
