"""Damage of every kind in every format is a ValueError that names the file, and takes no more memory than the file."""

import csv
import gzip
import io as memory
import os
import re
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from test_point_io import MESHES, POINTS, VERTICES, binary_ply

import pointmetrics as pm
from pointmetrics import io

FACES = np.array([[0, 1, 2], [0, 2, 3]])
SCAN = np.column_stack([VERTICES, np.full(4, 0.5)]).astype("<f4").tobytes()


def npy(array):
    buffer = memory.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(save=np.savez, **arrays):
    buffer = memory.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def las():
    """Build a las file of version 1.2 by hand: head, no records, points of format 0."""
    head = bytearray(227)
    head[:4], head[24:26] = b"LASF", bytes([1, 2])
    struct.pack_into("<HIIBHI", head, 94, 227, 227, 0, 0, 20, 4)
    struct.pack_into("<6d", head, 131, 0.5, 0.5, 0.5, 0, 0, 0)
    return bytes(head) + b"".join(struct.pack("<iii8x", *(2 * v).astype(int)) for v in VERTICES)


def stl():
    rows = [struct.pack("<12fH", 0, 0, 0, *VERTICES[face].ravel(), 0) for face in FACES]
    return bytes(80) + struct.pack("<I", 2) + b"".join(rows)


FIELDS = np.zeros(4, [("x", "f4"), ("intensity", "u1"), ("y", "f4"), ("z", "f4")])
for axis, values in zip("xyz", VERTICES.T, strict=True):
    FIELDS[axis] = values
OWN = {
    **MESHES, **POINTS,
    "mixed.ply": binary_ply("<", [(0, 1, 2, 3), (0, 2, 3)]),
    "a.npy": npy(VERTICES), "f.npy": npy(np.asfortranarray(VERTICES)), "fields.npy": npy(FIELDS),
    "a.npz": npz(points=VERTICES, faces=FACES), "packed.npz": npz(np.savez_compressed, points=VERTICES, faces=FACES),
    "a.ply.gz": gzip.compress(MESHES["a.ply"], mtime=0), "a.xyz.gz": gzip.compress(POINTS["a.xyz"], mtime=0),
    "n.off": b"nOFF\n3\n4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0.5\n4 0 1 2 3\n",
    "w.off": b"4OFF\n4 1 0\n0 0 0 1\n2 0 0 2\n1 1 0 1\n0 1 0.5 1\n4 0 1 2 3\n",
    "semicolons.csv": b"x;y;z\n0;0;0\n1;0;0\n1,0;1;0\n0;1;0,5\n",
    "a.bin": SCAN,
}  # fmt: skip
FOREIGN = {"a.las": las(), "a.stl": stl()}
PACKAGES = {".las": "laspy", ".stl": "trimesh"}
CLAIMS = [b"-1", b"0", b"99999999999999999999", b"4294967295", b"1e9", b"nan", b"1" * 5000, b"3.5", b"", b"inf", b"1_0"]
PIECES = [b"\0", b"\xff\xff\xff\xff", b"\n", b"\r", b"#", b",", b"'", b'"', b"\x1c", b"\xc2\xa0", b"\\", b"\0\0\0\x80"]


def damage(rng, data):
    """Cut, splice, flip bits, put something in or over, or forge a number."""
    at, to = sorted(int(i) for i in rng.integers(len(data) + 1, size=2))
    piece = PIECES[rng.integers(len(PIECES))]
    found = list(re.finditer(rb"\d+", data[:400]))
    flipped = bytearray(data)
    for _ in range(rng.integers(1, 4) if data else 0):
        flipped[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    forged = data
    if found:
        number = found[rng.integers(len(found))]
        forged = data[: number.start()] + CLAIMS[rng.integers(len(CLAIMS))] + data[number.end() :]
    return [
        data[:at],
        data[at:],
        data[:at] + data[to:],
        data[:to] + data[at:],
        bytes(flipped),
        data[:at] + piece + data[at:],
        data[:at] + piece + data[at + len(piece) :],
        forged,
    ][rng.integers(8)]


@pytest.mark.parametrize("name", [*OWN, *FOREIGN])
def test_damage_is_a_value_error_that_names_the_file(tmp_path, name):
    path, rng = tmp_path / name, np.random.default_rng(zlib.crc32(name.encode()))
    if path.suffix in PACKAGES:
        pytest.importorskip(PACKAGES[path.suffix], reason=f"needs {PACKAGES[path.suffix]}")
    whole = {**OWN, **FOREIGN}[name]
    path.write_bytes(whole)
    np.testing.assert_array_equal(np.unique(io.read_points(path), axis=0), np.unique(VERTICES, axis=0))
    refused = 0
    tracemalloc.start()
    for _ in range(200 if name in OWN else 100):
        data = damage(rng, whole)
        if rng.random() < 0.3:
            data = damage(rng, data)
        path.write_bytes(data)
        try:
            mesh = io.read_mesh(path)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ")
            # Anything else was not foreseen: its words say nothing of the file.
            assert isinstance(error.__cause__, (ValueError, type(None))), repr(error.__cause__)
        else:
            assert mesh.vertices.ndim == 2 and mesh.vertices.dtype.kind in "fiu"
            assert mesh.faces.shape[1] == 3 and mesh.faces.max(initial=-1) < len(mesh.vertices)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused > 20
    assert peak < 8 << 20, f"{peak:,} bytes for files of {len(whole):,}"


def header(text, version=1):
    text = text.encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text


def said(descr="'<f8'", fortran="False", shape="(4, 3)"):
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}}}"


BODY = VERTICES.tobytes()


@pytest.mark.parametrize("data, message", [
    (header(said("'|O'")) + BODY, "holds Python objects"),
    (npy(np.array([[{}, 1, 2]], dtype=object)), "holds Python objects"),
    (header(said("[('x', '|O'), ('y', '<f8')]")) + BODY, "holds Python objects"),
    (header(said(shape="(4000000000000, 3)")) + BODY, "ends after 1.. of 960000000000.. bytes"),
    (header(said(shape="(" + "2, " * 200 + ")")) + BODY, "npy header is damaged"),
    (header(said(shape="(-4, -3)")) + BODY, "npy header is damaged"),
    (header(said(shape="(4.0, 3)")) + BODY, "npy header is damaged"),
    (header(said(shape="(True, 3)")) + BODY, "npy header is damaged"),
    (header(said(shape="[4, 3]")) + BODY, "npy header is damaged"),
    (header(said(fortran="1")) + BODY, "npy header is damaged"),
    (header(said("'<q99'")) + BODY, "npy header is damaged"),
    (header(said("'|S0'")) + BODY, "holds values without a size"),
    (header("{" * 3000), "npy header is damaged"),
    (header("__import__('os').abort()"), "npy header is damaged"),
    (header("[1, 2]"), "npy header is damaged"),
    (header(said(), 9) + BODY, "npy file of version 9"),
    (b"\x93NUMPY\2\0\xff\xff\xff\x7f" + BODY, "npy header claims 2147483647 bytes"),
    (npy(VERTICES) + npy(VERTICES), "holds several arrays"),
    (npy(VERTICES + 1j), "must hold numbers, got dtype complex128"),
    (npy(VERTICES > 0), "must hold numbers, got dtype bool"),
    (npy(np.full((2, 3), "1")), "must hold numbers, got dtype <U1"),
    (npy(np.zeros((2, 3), "M8[s]")), "must hold numbers, got dtype datetime64"),
    (npy(np.float64(3)), r"must hold points of shape \(n, d\), got shape \(\)"),
    (npy(np.zeros(3)), r"must hold points of shape \(n, d\), got shape \(3,\)"),
    (npy(np.zeros((0, 3))), "holds no points"),
    (b"", "is no npy file"),
    (b"\x80\4N.", "is no npy file"),
])  # fmt: skip
def test_forged_npy_headers(tmp_path, data, message, monkeypatch):
    path = tmp_path / "a.npy"
    path.write_bytes(data)
    for mapped in (1 << 26, 1) if data else (1 << 26,):
        monkeypatch.setattr(io, "_MAPPED", mapped)
        for options in ({}, {"max_points": 2}):
            with pytest.raises(ValueError, match=message):
                io.read_points(path, **options)
    # The same as a member of an archive.
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("points.npy", data)
    with pytest.raises(ValueError, match=r"a\.npz: "):
        io.read_points(tmp_path / "a.npz")


def peak_of(read):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as caught:
            read()
        return str(caught.value), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_bombs_are_not_unpacked(tmp_path):
    n = 300 << 20  # bytes of zeros, packed to a thousandth of it
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("points.npy", "w") as member:
        member.write(header(said(shape=f"({n // 24}, 3)")))
        for _ in range(n >> 20):
            member.write(bytes(1 << 20))
    text, peak = peak_of(lambda: io.read_points(bomb))
    assert "member 'points' unpacks to" in text and "which no points do" in text and peak < 16 << 20
    packed = tmp_path / "bomb.xyz.gz"
    with gzip.open(packed, "wb") as file:
        for _ in range(n >> 20):
            file.write(b"0 0 0\n" * (1 << 17))
    text, peak = peak_of(lambda: io.read_points(packed))
    assert "the file unpacks to" in text and peak < 128 << 20
    # What clouds do pack to is read, however regular they are.
    np.savez_compressed(tmp_path / "zeros.npz", points=np.zeros((1_000_000, 3)))
    assert io.read_points(tmp_path / "zeros.npz").shape == (1_000_000, 3)


@pytest.mark.parametrize(
    "method, message",
    [
        (zipfile.ZIP_BZIP2, "packed by a method that numpy does not use"),
        (zipfile.ZIP_LZMA, "packed by a method that numpy does not use"),
    ],
)
def test_other_packers(tmp_path, method, message):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("points.npy", npy(VERTICES))
    with pytest.raises(ValueError, match=message):
        io.read_points(tmp_path / "a.npz")


def test_members_that_are_not_what_they_say(tmp_path):
    path = tmp_path / "a.npz"
    for name, data, message in (
        ("points.npy", npy(VERTICES) + b"\0", "its header asks for 224 bytes of 225"),
        ("points.npy", npy(VERTICES)[:-1], "its header asks for 224 bytes of 223"),
        ("points.txt", b"1 2 3", "'points.txt' is damaged: is no npy file"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, data)
        with pytest.raises(ValueError, match=re.escape(message)):
            io.read_points(path)
    path.write_bytes(npz(points=VERTICES, faces=FACES.astype(float)))
    with pytest.raises(ValueError, match="faces must be integers"):
        io.read_mesh(path)
    path.write_bytes(npz(points=VERTICES, faces=np.array([[0, 1, 4]])))
    with pytest.raises(ValueError, match="a face refers to a vertex that is not among the 4"):
        io.read_mesh(path)


def test_each_kind_of_numpy_file_under_the_other_suffix(tmp_path):
    (tmp_path / "a.npz").write_bytes(npy(VERTICES))
    (tmp_path / "a.npy").write_bytes(npz(points=VERTICES))
    for name in ("a.npz", "a.npy"):
        np.testing.assert_array_equal(io.read_points(tmp_path / name), VERTICES)


def test_checkpoints_that_are_damaged(tmp_path):
    path, rng = tmp_path / "matrix.npz", np.random.default_rng(0)
    clouds = list(rng.random((5, 8, 3)))
    matrix = pm.sets.pairwise_distances(clouds, metric="cd-l2", checkpoint=path)
    whole = path.read_bytes()
    refused = 0
    for data in [
        b"",
        npy(matrix),
        npz(key=np.array("k")),
        npz(matrix=matrix),
        npz(key=np.array("k"), matrix="m"),
        *(damage(rng, whole) for _ in range(250)),
    ]:
        path.write_bytes(data)
        try:
            found = pm.sets.pairwise_distances(clouds, metric="cd-l2", checkpoint=path)
        except ValueError as error:
            refused += 1
            assert str(path) in str(error)
        else:
            np.testing.assert_array_equal(found, matrix)
    assert refused > 150


def test_a_damaged_pair_does_not_stop_the_others(tmp_path, capsys):
    pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
    pytest.importorskip("rich", reason="needs rich: pip install 'imondrian[cli]'")
    from pointmetrics import cli

    for side in "AB":
        (tmp_path / side).mkdir()
        for i, (name, data) in enumerate(sorted(OWN.items())):
            cut = data[: len(data) * 2 // 3] if side == "A" else data
            (tmp_path / side / f"{i:02d}.{name.split('.', 1)[1]}").write_bytes(cut)
        np.save(tmp_path / side / "whole.npy", VERTICES)
    os.symlink(tmp_path / "nowhere.npy", tmp_path / "A" / "gone.npy")
    np.save(tmp_path / "B" / "gone.npy", VERTICES)
    with pytest.raises(SystemExit) as stop:
        cli.main(["compare", str(tmp_path / "A"), str(tmp_path / "B"), "-m", "cd-l1", "-f", "csv"])
    captured = capsys.readouterr()
    rows = {row["pair"]: row for row in csv.DictReader(memory.StringIO(captured.out))}
    assert stop.value.code == 3 and "defect" not in captured.err
    assert len(rows) == len(OWN) + 2 and float(rows["whole"]["cd-l1"]) == 0
    assert "cannot read" in rows["gone"]["error"] and "gone.npy" in rows["gone"]["error"]
    failed = [row for row in rows.values() if row["error"]]
    assert len(failed) > len(OWN) * 2 // 3 and all(str(tmp_path / "A") in row["error"] for row in failed)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        npy(np.array([{}])),
        npz(points=VERTICES)[:-30],
        header(said(shape="(9999999, 99999, 3)")),
        b"PK\3\4" + b"\0" * 99,
    ],
)
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_a_damaged_set_of_clouds(tmp_path, capsys, data, suffix):
    pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
    pytest.importorskip("rich", reason="needs rich: pip install 'imondrian[cli]'")
    from pointmetrics import cli

    bad, good = tmp_path / f"bad.{suffix}", tmp_path / "good.npy"
    bad.write_bytes(data)
    np.save(good, np.random.default_rng(0).random((3, 5, 3)))
    with pytest.raises(SystemExit) as stop:
        cli.main(["sets", str(bad), str(good)])
    text = capsys.readouterr().err
    assert stop.value.code == 1 and text.startswith(f"pointmetrics: {bad}: ") and "defect" not in text
