"""The mistakes that everybody makes once with clouds: each message names the argument and the way out."""

import subprocess
import sys

import numpy as np
import pytest

import pointmetrics as pm

X, Y = np.random.default_rng(0).random((2, 30, 3))


def labelled():
    pd = pytest.importorskip("pandas", reason="needs pandas")
    return pd.DataFrame({"x": X[:, 0], "y": X[:, 1], "label": ["a"] * 30})


def tensor():
    return pytest.importorskip("torch", reason="needs torch").rand(30, 3)


MISTAKES = {
    "a path": (lambda: pm.chamfer_distance("a.ply", Y), "x must have shape .* 'a.ply': .* pointmetrics.io.read_points"),
    "no threshold": (lambda: pm.f_score(X, Y), r"f_score\(\) needs threshold .*: Distance below which a point counts"),
    "no peak": (lambda: pm.psnr_d1(X, Y), r"psnr_d1\(\) needs peak .*: Peak value p of the PSNR"),
    "a typo": (
        lambda: pm.chamfer_distance(X, Y, conventions="pcn"),
        "no parameter 'conventions': did you mean convention",
    ),
    "another's name": (lambda: pm.compare(X, Y, threshold=0.1), "no parameter 'threshold': did you mean thresholds"),
    "too many": (lambda: pm.chamfer_distance(X, Y, "pcn"), r"chamfer_distance\(\): too many positional arguments"),
    "capitals": (lambda: pm.chamfer_distance(X, Y, convention="CD-L1"), "'CD-L1', did you mean cd-l1.*conventions()"),
    "no convention": (
        lambda: pm.chamfer_distance(X, Y, convention="?"),
        r"'\?'; pointmetrics.conventions\(\) has their",
    ),
    "one point": (lambda: pm.chamfer_distance(X[0], Y), r"x must have shape \(n, d\) .* got shape \(3,\)"),
    "other dimensions": (
        lambda: pm.chamfer_distance(X[:, :2], Y),
        r"2 and 3: take the coordinates alone, .* y\[..., :2\]",
    ),
    "intensities": (lambda: pm.chamfer_distance(np.c_[X, X[:, 0]], Y), r"4 and 3: .* as in x\[..., :3\]"),
    "a batch and one": (
        lambda: pm.chamfer_distance(X[None], Y),
        "a batch of 1 and a single cloud; a PreparedCloud stands",
    ),
    "text in a frame": (
        lambda: pm.chamfer_distance(labelled(), Y),
        r"x\['label'\] must be numbers: leave the columns out",
    ),
    "records": (
        lambda: pm.chamfer_distance(np.zeros(4, [("x", "f4"), ("y", "f4")]), Y),
        r"got dtype void64: numpy.column_stack takes fields, x\['x'\] and so on",
    ),
    "half precision": (lambda: pm.chamfer_distance(X.astype("f2"), Y), "x has dtype float16.*convert it to float32"),
    "two libraries": (lambda: pm.chamfer_distance(tensor(), Y), "torch on cpu and numpy: bring one to the other's"),
    "one cloud as a set": (lambda: pm.sets.evaluate(X, Y), r"samples must be a set: \(b, n, d\) or a list"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_message_names_the_way_out(mistake):
    call, message = MISTAKES[mistake]
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_an_error_within_a_call_that_fits_is_its_own():
    def metric(x, y):
        raise TypeError("of the user")

    with pytest.raises(TypeError, match=r"^of the user$"):
        pm.sets.pairwise_distances([X, Y], metric=metric)


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        ("imondrian", ["stream", "table.csv"], "stream reads standard input: imondrian stream < FILE"),
        ("pointmetrics", ["compare", "a.npy", "b.npy", "-m", "CD-L1"], "; did you mean cd-l1?"),
        ("pointmetrics", ["compare", "a.npy", "b.npy", "-m", "chamfer"], "; that name has many definitions: cd-l2"),
    ],
)
def test_command_lines_say_what_was_meant(program, arguments, message):
    pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
    pytest.importorskip("rich", reason="needs rich: pip install 'imondrian[cli]'")
    code = f"from {program}.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2) and message in done.stderr and "Traceback" not in done.stderr
