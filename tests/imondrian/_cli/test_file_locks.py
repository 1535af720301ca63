"""One writer at a time, no places but regular files, nothing left behind, and nothing unreadable saved."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("river", reason="needs river")
pytest.importorskip("click", reason="needs click")
pytest.importorskip("orjson", reason="needs orjson")
if os.name == "nt":
    pytest.skip("needs POSIX locks and signals", allow_module_level=True)

from stream_commands import ROOT, ended, json_lines, run, start, values

from imondrian import IsolationMondrianForest
from imondrian._cli import Failure
from imondrian._persist import whole_file
from imondrian._persist.whole_file import FileLock
from imondrian.keyed import KeyedForest
from imondrian.river import OnlineIsolationMondrianForest

X = values(60)


def model(n=60, dtype=np.float64):
    found = OnlineIsolationMondrianForest.from_estimator(
        IsolationMondrianForest(5, window=20, random_state=0).partial_fit(X[:n].astype(dtype)), ["a", "b", "c"]
    )
    return found


def learning(path, *options):
    """A process that learns into a file, and has answered one record."""
    process = start("--model", path, *options)
    process.stdin.write(json_lines(X[:1]))
    process.stdin.flush()
    process.stdout.readline()
    return process


def names(folder):
    return sorted(entry.name for entry in Path(folder).iterdir())


# -- two writers -------------------------------------------------------------------------------------------


def test_a_second_stream_on_one_file_is_refused(tmp_path):
    path, link = tmp_path / "model", tmp_path / "link"
    link.symlink_to(path)
    first = learning(path)
    for other in (path, link):
        code, out, told = ended(start("--model", other), json_lines(X))
        assert code == 1 and not out and "another process is learning into this file" in told and str(other) in told
    assert ended(first, json_lines(X[1:]))[0] == 0
    assert OnlineIsolationMondrianForest.load(path)._model.note["records"] == len(X)
    assert names(tmp_path) == ["link", "model"]
    assert ended(start("--model", path), json_lines(X))[0] == 0


def test_what_only_reads_needs_no_lock(tmp_path):
    path = tmp_path / "model"
    run(tmp_path, json_lines(X), model=path)
    first = learning(path)
    code, out, _ = ended(start("--model", path, "--no-learn"), json_lines(X[:3]))
    assert code == 0 and len(out) == 3
    assert OnlineIsolationMondrianForest.load(path).n_trees == 10
    ended(first)


def test_python_does_not_save_over_a_stream(tmp_path):
    path = tmp_path / "model"
    first = learning(path, "--every", 1)
    time.sleep(0.1)
    with pytest.raises(BlockingIOError, match="another process is learning into this file"):
        model().save(path)
    ended(first, json_lines(X[1:]))
    model().save(path)


def test_a_lock_ends_with_its_process(tmp_path):
    path = tmp_path / "model"
    first = learning(path)
    first.kill()
    ended(first)
    assert ".model.lock" in names(tmp_path)  # the file alone keeps nobody out
    assert ended(start("--model", path), json_lines(X))[0] == 0
    assert names(tmp_path) == ["model"]


def test_locks_of_one_file_exclude_each_other_whatever_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with FileLock("m"):
        with pytest.raises(BlockingIOError):
            FileLock(tmp_path / "x" / ".." / "m")
        FileLock("m2").release()
    with FileLock(tmp_path / "m"):
        assert names(tmp_path) == [".m.lock"]
    assert names(tmp_path) == []


def test_a_lock_that_is_removed_while_another_waits_for_it(tmp_path, monkeypatch):
    """The file that was opened is no longer at its name when it is locked: the lock must be that of the new one."""
    first, real, once = FileLock(tmp_path / "m"), whole_file._lock, []

    def lock(descriptor, shared=False):
        if not once:
            once.append(1)
            first.release()
        return real(descriptor, shared)

    monkeypatch.setattr(whole_file, "_lock", lock)
    with FileLock(tmp_path / "m"):
        monkeypatch.undo()
        with pytest.raises(BlockingIOError):
            FileLock(tmp_path / "m")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_it_says_so_and_goes_on(tmp_path, monkeypatch, capsys, number):
    def none(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", none)
    (tmp_path / ".model.0123456789abcdef.tmp").write_text("who knows")
    code, out = run(tmp_path, json_lines(X), model=tmp_path / "model")
    assert code == 0 and len(out) == len(X)
    assert "has no locks: make sure that no other run has the same --model" in capsys.readouterr().err
    assert ".model.0123456789abcdef.tmp" in names(tmp_path)


# -- places that are no files ------------------------------------------------------------------------------


@pytest.fixture(params=["FIFO", "device", "folder"])
def place(request, tmp_path):
    path = tmp_path / "place"
    if request.param == "FIFO":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/null")
    return path


def test_places_that_are_no_files_are_refused_at_once(place):
    before = os.lstat(place).st_mode
    for options in (["--model", place], ["--model", place, "--no-learn"]):
        code, out, told = ended(start(*options), json_lines(X[:3]))
        assert code == 1 and not out and str(place) in told and "defect" not in told and "device" not in out
    with pytest.raises(OSError, match="is a"):
        model().save(place)
    with pytest.raises(OSError, match=r"(?i)is a"):
        OnlineIsolationMondrianForest.load(place)
    assert os.lstat(place).st_mode == before and names(place.parent) == ["place"]


def test_folders_of_models_that_are_none(place):
    if not place.is_dir():
        code, out, told = ended(start("--key", "a", "--model", place), json_lines(X[:3]))
        assert code == 1 and not out and str(place) in told and "defect" not in told
        return
    os.mkfifo(place / "models.sqlite")
    code, out, told = ended(start("--key", "a", "--model", place), json_lines(X[:3]))
    assert code == 1 and not out and "is a FIFO, not a regular file" in told


def test_score_saves_no_forest_there(place):
    pytest.importorskip("pyarrow", reason="needs pyarrow")
    (place.parent / "in.csv").write_text("a,b\n" + "1,2\n3,4\n" * 20)
    done = subprocess.run(
        [sys.executable, "-m", "imondrian", "score", "in.csv", "--save", "place", "-q"],
        cwd=place.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1 and not done.stdout and "cannot write place: it is a" in done.stderr


# -- what killed runs leave --------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
import numpy as np
from imondrian import IsolationMondrianForest
os.replace = lambda old, new: os.kill(os.getpid(), signal.{})
IsolationMondrianForest(3, random_state=0).fit(np.eye(9)).save(sys.argv[1])
"""


def leave_behind(path, number="SIGKILL"):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED.format(number), path], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    if number == "SIGKILL":
        assert process.wait(60) == -signal.SIGKILL
    else:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    return process


def test_what_killed_runs_left_is_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_file, "_swept", set())
    others = [
        ".other.0123456789abcdef.tmp",
        ".model.x.0123456789abcdef.tmp",
        ".model.0123456789abcde.tmp",
        "model.tmp",
        ".model.0123456789abcdef.tmp2",
    ]
    for name in others:
        (tmp_path / name).write_text("not ours")
    (tmp_path / ".model.00000000000000ff.tmp").mkdir()
    (tmp_path / ".model.00000000000000fe.tmp").symlink_to(tmp_path / "model.tmp")
    left_alone = sorted([*others, ".model.00000000000000ff.tmp", ".model.00000000000000fe.tmp"])
    leave_behind(tmp_path / "model")
    assert len(names(tmp_path)) == len(left_alone) + 1
    model().save(tmp_path / "model")
    assert names(tmp_path) == sorted([*left_alone, "model"])


def test_a_stream_sweeps_when_it_begins(tmp_path):
    leave_behind(tmp_path / "model")
    process = learning(tmp_path / "model")
    assert names(tmp_path) == [".model.lock"]
    ended(process)


def test_what_a_live_run_is_writing_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_file, "_swept", set())
    stopped = leave_behind(tmp_path / "model", "SIGSTOP")
    try:
        model().save(tmp_path / "model")
        assert len(names(tmp_path)) == 2
    finally:
        stopped.kill()
        stopped.wait(60)
    whole_file._swept.clear()
    model().save(tmp_path / "model")
    assert names(tmp_path) == ["model"]


def test_a_file_that_is_swept_before_it_is_locked_is_made_anew(tmp_path, monkeypatch):
    real, once = whole_file._lock, []

    def lock(descriptor, shared=False):
        if not once:
            once.append([path.unlink() for path in tmp_path.glob(".model.*.tmp")])
        return real(descriptor, shared)

    monkeypatch.setattr(whole_file, "_lock", lock)
    model().save(tmp_path / "model")
    assert len(once[0]) == 1 and names(tmp_path) == ["model"]


def test_scores_that_were_never_finished_are_swept(tmp_path):
    pytest.importorskip("pyarrow", reason="needs pyarrow")
    (tmp_path / ".out.csv.0123456789abcdef.tmp").write_text("half")
    (tmp_path / "in.csv").write_text("a,b\n" + "1,2\n3,4\n" * 20)
    subprocess.run(
        [sys.executable, "-m", "imondrian", "score", "in.csv", "-o", "out.csv", "-q"],
        cwd=tmp_path,
        timeout=60,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert names(tmp_path) == ["in.csv", "out.csv"]


def test_temporary_folders_of_models(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "imondrian-other").mkdir()  # without an owner: who knows whose
    code = (
        "import os, signal; from imondrian.keyed import KeyedForest\n"
        "f = KeyedForest(); f.learn_one(1, {'a': 1.0})\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], timeout=60, check=False, env=environment)
    assert len(names(tmp_path)) == 2
    with KeyedForest() as live, KeyedForest() as other:
        assert names(tmp_path) == sorted(["imondrian-other", live.path.name, other.path.name])
    assert names(tmp_path) == ["imondrian-other"]


@pytest.mark.parametrize("length", [100, 200, 250])
def test_long_names(tmp_path, length):
    path = tmp_path / ("é" * (length // 2))
    model().save(path)
    with FileLock(path):
        assert OnlineIsolationMondrianForest.load(path).n_trees == 5
    run(tmp_path, json_lines(X), model=tmp_path / ("m" * length))
    assert len(names(tmp_path)) == 4


# -- nothing unreadable is saved ---------------------------------------------------------------------------


def ruin(forest):
    """What no arithmetic may do, and a checkpoint must not spread."""
    forest.columns["points"][:, 0] = np.inf


def test_a_model_that_would_not_be_read_back_is_not_saved(tmp_path):
    path = tmp_path / "model"
    good, bad = model(), model()
    good.save(path)
    before = path.read_bytes()
    ruin(bad._model.forest)
    with pytest.raises(ValueError, match=r"cannot be saved, it would not be read back: .*invariant.*left as it was"):
        bad.save(path)
    assert path.read_bytes() == before and names(tmp_path) == ["model"]
    estimator = IsolationMondrianForest(5, random_state=0).fit(X)
    ruin(estimator.forest_)
    with pytest.raises(ValueError, match="would not be read back"):
        estimator.save(tmp_path / "other")
    assert names(tmp_path) == ["model"]


def test_a_stream_keeps_its_last_good_checkpoint(tmp_path, monkeypatch):
    from imondrian._cli.stream import stream_models as follow

    path, real, count = tmp_path / "model", follow.OneModel.score_learn, []

    def spoil(self, table):
        found = real(self, table)
        count.append(len(table.records))
        if sum(count) > 30:
            ruin(self.model.forest)
        return found

    monkeypatch.setattr(follow.OneModel, "score_learn", spoil)
    with pytest.raises(Failure, match=r"cannot save the model in .*would not be read back.*up to 30, later"):
        run(tmp_path, json_lines(X), model=path, every=10)
    assert OnlineIsolationMondrianForest.load(path)._model.note["records"] == 30


def test_a_store_keeps_the_last_good_state_of_a_key(tmp_path):
    points = [dict(zip("abc", row, strict=True)) for row in X.tolist()]
    with KeyedForest(tmp_path / "models", n_trees=4, seed=0) as forest:
        for x in points:
            forest.learn_one("k", x)
        forest.flush()
        expected = forest.score_one("k", points[0])
        forest.learn_one("k", points[0])
        ruin(forest._models._memory.get('"k"').learner.forest)
        with pytest.raises(ValueError, match="the model of 'k' cannot be saved"):
            forest.flush()
        forest._models.abandon()
    with KeyedForest.open(tmp_path / "models") as forest:
        assert forest.score_one("k", points[0]) == expected


# -- numbers that a model of 32-bit floats cannot hold -----------------------------------------------------

BIG = ["3.5e38", "-1e39", "1.7976931348623157e308", "3.4028235678e38"]


@pytest.mark.parametrize("layout", ["json", "csv"])
@pytest.mark.parametrize("value", BIG)
def test_numbers_beyond_a_models_floats_are_bad_lines(tmp_path, capsys, value, layout):
    path = tmp_path / "model"
    model(dtype=np.float32).save(path)
    rows = [["0.5", "1", "2"], ["0.25", value, "1"], ["1", "2", "3.4028234e38"], ["0.75", "0", "1"]]
    if layout == "csv":
        data = "".join(",".join(row) + "\n" for row in [["a", "b", "c"], *rows]).encode()
    else:
        data = "".join(f'{{"a":{row[0]},"b":{row[1]},"c":{row[2]}}}\n' for row in rows).encode()
    settings = {"model": path, "parameters": {}}
    code, out = run(tmp_path, data, **settings)
    assert code == 3 and [each["record"] for each in out] == [1, 3, 4]
    number = 3 if layout == "csv" else 2
    assert f"line {number}: field 'b' must be at most 3.403e+38 in size" in capsys.readouterr().err
    loaded = OnlineIsolationMondrianForest.load(path)
    loaded._model.forest.check()
    assert loaded._model.note["records"] == 4 and loaded._model.forest.n_seen == 63
    with pytest.raises(Failure, match=f"line {number}: field 'b'"):
        run(tmp_path, data, strict=True, **settings)
    code, out = run(tmp_path, data, learn=False, **settings)
    assert code == 3 and len(out) == 3 and all(np.isfinite(each["score"]) for each in out)


def test_they_are_fine_for_doubles(tmp_path):
    code, out = run(tmp_path, json.dumps({"a": 3.5e38}).encode() + b"\n", model=tmp_path / "model")
    assert code == 0 and len(out) == 1
