"""What goes wrong is told in one line that a person can act on; nothing is left half-written."""

import errno
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

from pointmetrics import cli
from pointmetrics._cli import clouds, output

ROOT = Path(__file__).resolve().parents[3]
GOOD = np.random.default_rng(0).random((40, 3))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", GOOD)
    np.save("b.npy", GOOD + 0.01)
    return tmp_path


def fail(capsys, *arguments):
    """Run a command that cannot be carried out; return its exit code and message."""
    with pytest.raises(SystemExit) as stop:
        cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert captured.out == "" and "Traceback" not in captured.err
    assert captured.err.startswith("pointmetrics: ") and "defect" not in captured.err
    return stop.value.code, captured.err


def save(name, array):
    return lambda: np.save(name, array)


def put(name, data):
    return lambda: Path(name).write_bytes(data)


HEADER = (
    b"ply\nformat binary_little_endian 1.0\nelement vertex 50\nproperty float x\nproperty float y\n"
    b"property float z\nend_header\n"
)
WITH_NAN = np.where(np.arange(120).reshape(40, 3) == 7, np.nan, GOOD)


@pytest.mark.parametrize(
    "make, options, code, message",
    [
        (put("x.ply", b""), (), 1, "x.ply: does not begin with 'ply'"),
        (
            put("x.ply", HEADER + b"\0" * 99),
            (),
            1,
            "x.ply: ends within the rows of vertex: 99 bytes are left where 600",
        ),
        (put("x.ply", b"\x89PNG\r\n\x1a\n" + b"\0" * 99), (), 1, "x.ply: does not begin with 'ply'"),
        (put("x.e57", b"ASTM"), (), 1, "x.e57: unknown suffix '.e57'; known are .asc, .bin"),
        (save("x.npy", GOOD[:0]), (), 1, "x.npy: holds no points"),
        (
            save("x.npy", WITH_NAN),
            (),
            1,
            "x.npy: 1 of 40 points have a NaN or infinite coordinate; --drop-invalid leaves",
        ),
        (save("x.npy", np.full((2, 3), np.nan)), ("--drop-invalid",), 1, "x.npy: every point has a NaN"),
        (save("x.npy", GOOD[:, :2]), (), 1, "must have the same dimension d, got 2 and 3"),
        (save("x.npy", np.array(["a", "b"])), (), 1, "x.npy: must hold points of shape (n, d), got shape (2,)"),
        (save("x.npy", np.full((2, 3), "a")), (), 1, "x.npy: must hold numbers, got dtype <U1"),
        (lambda: None, (), 1, "there is no file or folder x.npy"),
        (save("x.npy", GOOD), ("-m", "cdl"), 2, "there is no metric 'cdl'; known are cd-l2, pytorch3d"),
        (
            save("x.npy", GOOD),
            ("-m", "hausdorff@7"),
            2,
            "the quantile of 'hausdorff@7' must be finite and between 0 and 1",
        ),
        (save("x.npy", GOOD), ("-t", 0), 2, "--threshold must be finite and above 0, got 0"),
        (save("x.npy", GOOD), ("-t", "nan"), 2, "--threshold must be finite and above 0, got nan"),
        (save("x.npy", GOOD), ("--alpha", -1), 2, "--alpha must be finite and 0 or more, got -1.0"),
        (save("x.npy", GOOD), ("--sort-by", "emd"), 2, "--sort-by must be one of the metrics reported (cd-l2, "),
        (save("x.npy", GOOD), ("--jobs", 0), 2, "Invalid value for '-j' / '--jobs'"),
        (save("x.npy", GOOD), ("--to-mesh",), 1, "b.npy has no faces, which point-to-mesh needs"),
        (save("x.npy", GOOD), ("--emd", "--emd-max-points", 39), 1, "x.npy has 40 points, and the exact earth mover's"),
        (save("x.npy", GOOD), ("-o", "no/out.json"), 1, "cannot write no/out.json: there is no folder no"),
        (save("x.npy", GOOD), ("-o", "b.npy"), 1, "cannot write b.npy: another option or argument names it, too"),
        (
            save("x.npy", GOOD),
            ("-o", "o", "--html", "o"),
            1,
            "cannot write o: another option or argument names it, too",
        ),
        (save("x.npy", GOOD), ("--html", "."), 1, "cannot write .: it is a folder"),
    ],
)
def test_the_message_says_what_is_wrong(folder, capsys, make, options, code, message):
    make()
    name = next((path.name for path in folder.iterdir() if path.stem == "x"), "x.npy")
    found, text = fail(capsys, "compare", name, "b.npy", *options)
    assert found == code and message in text


def test_folders_that_do_not_fit(folder, capsys):
    for name in ("empty", "one", "two"):
        (folder / name).mkdir()
    assert "A and B must be two files or two folders" in fail(capsys, "compare", "empty", "a.npy")[1]
    assert "empty holds no file of a known format" in fail(capsys, "compare", "empty", "empty")[1]
    np.save("one/a.npy", GOOD)
    np.save("two/b.npy", GOOD)
    text = fail(capsys, "compare", "one", "two")[1]
    assert "no file of one name in common: one has a.npy, two has b.npy" in text
    np.save("two/a.npy", GOOD)
    Path("two/a.xyz").write_text("0 0 0\n")
    assert "have one name: which of them is meant?" in fail(capsys, "compare", "one", "two")[1]
    Path("two/a.xyz").unlink()
    np.save("one/a.npy", WITH_NAN)
    code, text = fail(capsys, "compare", "one", "two")
    assert code == 1 and "1 of 40 points" in text  # all that there was failed


def test_unknown_commands_and_options(capsys):
    assert fail(capsys, "comparison")[0] == 2
    code, text = fail(capsys, "compare", "--metrik", "a", "b")
    assert code == 2 and "No such option" in text and "pointmetrics compare --help" in text


def test_a_defect_is_called_one_and_debug_shows_where(folder, capsys, monkeypatch):
    def broken(*_):
        raise RuntimeError("oh")

    monkeypatch.setattr("pointmetrics._cli.compare.match", broken)
    for debug in ((), ("--debug",)):
        with pytest.raises(SystemExit) as stop:
            cli.main(["compare", "a.npy", "b.npy", *debug])
        text = capsys.readouterr().err
        assert stop.value.code == 70 and "a defect of this program: RuntimeError: oh" in text
        assert ("Traceback" in text) == bool(debug)


def test_a_missing_extra_names_the_command_that_mends_it(capsys, monkeypatch):
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    code, text = fail(capsys, "info")
    assert code == 2 and "needs click and rich: pip install 'imondrian[cli]'" in text


def test_too_little_memory_is_told_before_it_is_needed(folder, capsys, monkeypatch):
    monkeypatch.setattr(clouds, "free_memory", lambda: 1000)
    code, text = fail(capsys, "compare", "a.npy", "b.npy")
    assert code == 1 and "--max-points N compares a random subset" in text
    cli.main(["compare", "a.npy", "b.npy", "--max-points", "10"])
    capsys.readouterr()

    def nothing(*_):
        raise MemoryError

    monkeypatch.setattr(clouds, "check_memory", nothing)
    assert "there is not enough memory" in fail(capsys, "compare", "a.npy", "b.npy")[1]


def test_a_file_of_ten_gigabytes(folder, capsys):
    """Only a subset of it is read: the file is one hole, longer than what memory would have to hold."""
    n = 850_000_000
    with open("huge.ply", "wb") as file:
        file.write(HEADER.replace(b"vertex 50", b"vertex %d" % n))
        try:
            file.truncate(file.tell() + 12 * n)
        except OSError:
            pytest.skip("needs a file system with sparse files of 10 GB")
    cli.main(["compare", "huge.ply", "b.npy", "--max-points", "1000", "-m", "hausdorff:x_to_y", "-f", "csv"])
    row = capsys.readouterr().out.splitlines()[1].split(",")
    assert float(row[5]) == pytest.approx(np.linalg.norm(GOOD + 0.01, axis=1).min())  # every point is the origin


@pytest.mark.parametrize("at", ["fsync", "replace"])
@pytest.mark.parametrize("problem", [errno.ENOSPC, errno.EACCES])
def test_nothing_is_left_half_written(folder, capsys, monkeypatch, at, problem):
    Path("out.json").write_text("old")
    before = sorted(os.listdir())

    def refuse(*_):
        raise OSError(problem, os.strerror(problem))

    monkeypatch.setattr(output.os, at, refuse)
    code, text = fail(capsys, "compare", "a.npy", "b.npy", "-f", "json", "-o", "out.json")
    assert code == 1 and "out.json" in text and os.strerror(problem) in text
    assert Path("out.json").read_text() == "old" and sorted(os.listdir()) == before


def start(*arguments, limit=None, unbuffered="", **options):
    def restrict():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-m", "pointmetrics", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=restrict, **options)


def test_a_disk_that_fills_up_leaves_the_old_file(folder):
    Path("out.html").write_text("old")
    before = sorted(os.listdir())
    process = start("compare", "a.npy", "b.npy", "--html", "out.html", limit=4096)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 1 and "cannot write" in text and "out.html: File too large" in text
    assert "Traceback" not in text
    assert Path("out.html").read_text() == "old" and sorted(os.listdir()) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_standard_output_is_an_error(folder, unbuffered):
    with open("/dev/full", "w") as full:
        process = start("compare", "a.npy", "b.npy", unbuffered=unbuffered, stdout=full)
        _, text = process.communicate(timeout=60)
    assert process.returncode == 1 and text == "pointmetrics: cannot write standard output: No space left on device\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_ends_quietly(folder, unbuffered):
    for k in range(400):  # more than a pipe holds
        np.save(folder / f"{k}.npy", GOOD)
    process = start("compare", ".", ".", "-f", "json", "-j", "2", unbuffered=unbuffered, stdout=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert (process.wait(60), process.stderr.read()) == (141, "")
    process.stderr.close()


def wait_for_work(process, seconds):
    """Wait until a process has worked for so long, however busy the machine: its imports take a second."""
    stat = Path(f"/proc/{process.pid}/stat")
    while process.poll() is None:
        if not stat.exists():
            time.sleep(seconds)
            return
        ticks = sum(map(int, stat.read_text().rsplit(")", 1)[1].split()[11:13]))
        if ticks >= seconds * os.sysconf("SC_CLK_TCK"):
            return
        time.sleep(0.05)
    raise AssertionError(f"ended with {process.returncode} before that")


def test_an_interrupt_ends_with_130_and_leaves_nothing(folder):
    big = np.random.default_rng(0).random((6000, 3))
    np.save("x.npy", big)
    np.save("y.npy", big[::-1] ** 2)
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    for k in range(400):
        os.link("x.npy", f"one/{k}.npy")
        os.link("y.npy", f"two/{k}.npy")
    before = sorted(os.listdir())
    process = start("compare", "one", "two", "--emd", "-o", "out.txt", "-j", "1", stdout=subprocess.PIPE)
    wait_for_work(process, 4.0)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 130 and text.strip() == "pointmetrics: interrupted" and sorted(os.listdir()) == before


BOUND = """
import os, sys
from pointmetrics import cli
# Whatever is imported late must be there before: the interpreter's own files may be out of reach afterwards.
cli.main(["compare", "c.npy", "c.npy", "-q", "--html", "spare.html", "-o", os.devnull])
if os.geteuid() == 0:  # permissions do not bind root
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
cli.main(sys.argv[1:])
"""


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="needs POSIX permissions")
@pytest.mark.parametrize(
    "arguments, message",
    [
        (("a.npy", "b.npy"), "cannot read a.npy: Permission denied"),
        (("b.npy", "b.npy", "-o", "closed/x.json"), "cannot write closed/x.json: no permission"),
        (("b.npy", "b.npy", "--html", "kept.html"), "cannot write kept.html: no permission"),
        (("shut", "shut"), "cannot read shut: Permission denied"),
    ],
)
def test_no_permission(folder, arguments, message):
    Path("kept.html").write_text("old")
    np.save("c.npy", GOOD)
    (folder / "closed").mkdir(mode=0o555)
    (folder / "shut").mkdir(mode=0o000)
    for name, mode in (("a.npy", 0o000), ("b.npy", 0o444), ("kept.html", 0o444), (".", 0o755)):
        os.chmod(name, mode)
    command = [sys.executable, "-c", BOUND, "compare", *arguments]
    ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    (folder / "shut").chmod(0o755)
    assert (ended.returncode, ended.stderr) == (1, f"pointmetrics: {message}\n")
    assert Path("kept.html").read_text() == "old" and os.listdir("closed") == []
