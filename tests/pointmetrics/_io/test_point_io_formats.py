"""What real programs write: every oddity of ply, pcd, off and obj by hand."""

import struct

import numpy as np
import pytest
from test_point_io import FLAT, MESHES, POINTS, VERTICES, ascii_ply, binary_ply, pcd

from pointmetrics import io

FACES = [[0, 1, 2], [0, 2, 3]]
FLAT_POINTS = [[1, 2, 3], [4, 5, 6]]


def read(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return io.read_mesh(path)


LITTLE, BIG = binary_ply("<", FACES), binary_ply(">", FACES)
BINARY = FLAT.split(b"1 2 3")[0].replace(b"ascii", b"binary_little_endian") + np.array(FLAT_POINTS, "<f4").tobytes()
LISTS = """ply
format ascii 1.0
element edge 2
property list uchar int ends
element vertex 4
property list uchar float weights
property float64 z
property float32 x
property list uint8 int16 others
property double y
element face 2
property uchar flags
property list uchar uint vertex_index
property list uchar float texcoord
end_header
2 0 1
0
"""
LISTS += "".join(f"{i} {'7 ' * i}{z} {x} 1 5 {y}\n" for i, (x, y, z) in enumerate(VERTICES))
LISTS += "0 3 0 1 2 6 0 0 1 0 1 1\n0 3 0 2 3 0\n"
PLY_MESHES = {
    "end_header in a comment": ascii_ply().replace(b"made by hand", b"end_header is below"),
    "end_header in a comment, binary": LITTLE.replace(b"made by hand", b"no end_header\ncomment end_header of it"),
    "obj_info": LITTLE.replace(b"comment made by hand", b"obj_info num_cols 512\nobj_info end_header"),
    "control characters": BIG.replace(b"made by hand", b"a\x0bb\x0cc\x1cd\x1de\x85f\xe2\x80\xa8g"),
    "cr": ascii_ply().replace(b"\n", b"\r"),
    "crlf": ascii_ply().replace(b"\n", b"\r\n"),
    "cr before binary": LITTLE.split(b"end_header\n")[0].replace(b"\n", b"\r") + b"end_header\r"
                        + LITTLE.split(b"end_header\n")[1],
    "crlf before binary": BIG.split(b"end_header\n")[0].replace(b"\n", b"\r\n") + b"end_header\r\n"
                          + BIG.split(b"end_header\n")[1],
    "marked": b"\xef\xbb\xbf" + ascii_ply(),
    "blank lines": ascii_ply().replace(b"\n3 0 1 2", b"\n\n\n3 0 1 2"),
    "capitals": ascii_ply().replace(b"t x", b"t X").replace(b"double y", b"double Y").replace(b"float z", b"float Z"),
    "an element without properties": ascii_ply().replace(b"element face", b"element nothing 0\nelement face"),
    "lists before and behind": LISTS.encode(),
    "whole numbers as floats": ascii_ply().replace(b"3 0 1 2", b"3.0 0.0 1.0 2.0"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLY_MESHES)
def test_ply_meshes(tmp_path, name):
    mesh = read(tmp_path, "a.ply", PLY_MESHES[name])
    np.testing.assert_array_equal(mesh.vertices, VERTICES)
    np.testing.assert_array_equal(mesh.faces, FACES)


def test_lists_before_and_behind_vertices_in_binary_ply(tmp_path):
    for order, name in (("<", "binary_little_endian"), (">", "binary_big_endian")):
        head = LISTS.split("end_header\n")[0].replace("ascii", name)
        body = struct.pack(order + "BiiB", 2, 0, 1, 0)
        for i, (x, y, z) in enumerate(VERTICES):
            body += struct.pack(f"{order}B{i}fdfBhd", i, *[7] * i, z, x, 1, 5, y)
        body += struct.pack(order + "BB3IB6f", 0, 3, 0, 1, 2, 6, 0, 0, 1, 0, 1, 1)
        body += struct.pack(order + "BB3IB", 0, 3, 0, 2, 3, 0)
        mesh = read(tmp_path, "a.ply", head.encode() + b"end_header\n" + body)
        np.testing.assert_array_equal(mesh.vertices, VERTICES)
        np.testing.assert_array_equal(mesh.faces, FACES)


@pytest.mark.parametrize(
    "kind, code",
    [
        ("char", "b"),
        ("uchar", "B"),
        ("short", "h"),
        ("ushort", "H"),
        ("int", "i"),
        ("uint", "I"),
        ("float", "f"),
        ("double", "d"),
        ("int8", "b"),
        ("uint8", "B"),
        ("int16", "h"),
        ("uint16", "H"),
        ("int32", "i"),
        ("uint32", "I"),
        ("float32", "f"),
        ("float64", "d"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_type_of_ply(tmp_path, kind, code, order):
    head = BINARY.split(b"end_header")[0].replace(b"float", kind.encode())
    head = head.replace(b"little", b"little" if order == "<" else b"big")
    mesh = read(tmp_path, "a.ply", head + b"end_header\n" + struct.pack(f"{order}6{code}", 1, 2, 3, 4, 5, 6))
    np.testing.assert_array_equal(mesh.vertices, FLAT_POINTS)


def test_a_line_feed_that_is_a_value_behind_a_cr_header(tmp_path):
    body = b"\n\0\0\x40" + np.array([2, 3, 4, 5, 6], "<f4").tobytes()
    head = BINARY.split(b"end_header")[0].replace(b"\n", b"\r") + b"end_header\r"
    x = struct.unpack("<f", body[:4])[0]
    np.testing.assert_array_equal(read(tmp_path, "a.ply", head + body).vertices, [[x, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    "name, template, there",
    [
        ("a.ply", FLAT, b"5 6"),
        ("a.pcd", POINTS["a.pcd"], b"0 1 0.5"),
        ("a.obj", MESHES["a.obj"], b"0 1 0.5"),
        ("a.off", MESHES["a.off"], b"0 1 0.5"),
    ],
)
@pytest.mark.parametrize("token", ["-nan(ind)", "nan", "-nan", "NaN", "1.#QNAN", "inf", "-inf", "2.5D+01"])
def test_numbers_as_runtimes_print_them(tmp_path, name, template, there, token):
    value = {"inf": np.inf, "-inf": -np.inf, "2.5D+01": 25}.get(token, np.nan)
    data = template.replace(there, there.rsplit(b" ", 1)[0] + b" " + token.encode())
    np.testing.assert_equal(read(tmp_path, name, data).vertices[-1, 2], value)


@pytest.mark.parametrize(
    "change, message",
    [
        ((b"uchar red", b"uchar x"), "vertices have two properties of one name"),
        ((b"float x", b"list uchar float x"), "row . of vertex is too short|vertices have no property x"),
        (
            (b"list uchar int", b"list float int"),
            "header line 'property list float int vertex_indices' is not understood",
        ),
        ((b"list uchar int", b"list uchar float"), "faces must have integer corners"),
        ((b"element face 2", b"element vertex 2"), "several elements vertex"),
        ((b"format ascii 1.0\n", b""), "names no format"),
        ((b"format ascii", b"format text"), "header line 'format text 1.0' is not understood"),
        ((b"vertex 4", b"vertex -4"), "header line 'element vertex -4' is not understood"),
        ((b"vertex 4", b"vertex 99999999999999999999"), "ends after 6 of 99999999999999999999 rows of vertex"),
        ((b"3 0 1 2", b"-3 0 1 2"), "row 0 of face has a list of -3 entries"),
        ((b"3 0 1 2", b"3 0 1 99999999999999999999"), "a face refers to a vertex beyond any number of them"),
        ((b"3 0 1 2", b"3 0 1 1.5"), "row 0 of face: '1.5' is no integer"),
        ((b"3 0 1 2", b"3 0 1_0 2"), "row 0 of face: could not convert"),
    ],
)
def test_ply_that_is_wrong(tmp_path, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, "a.ply", ascii_ply().replace(*change))
    assert str(caught.value).startswith(str(tmp_path / "a.ply"))


def test_a_negative_list_in_binary_ply(tmp_path):
    data = binary_ply("<", FACES).replace(b"list uchar", b"list char")
    at = data.index(b"end_header\n") + 11 + 4 * 17
    with pytest.raises(ValueError, match="a list of face has -1 entries"):
        read(tmp_path, "a.ply", data[:at] + b"\xff" + data[at + 1 :])


def with_fields(names, sizes, types, counts, rows, layout="binary"):
    head = f"VERSION 0.7\nFIELDS {names}\nSIZE {sizes}\nTYPE {types}\nCOUNT {counts}\nWIDTH 4\nHEIGHT 1\n"
    return f"{head}DATA {layout}\n".encode() + rows


PADDED = b"".join(struct.pack("<f4xdi5Bh", x, y, 9, *[1] * 5, int(z * 2)) for x, y, z in VERTICES)
X, Y, Z = VERTICES.T
BY_FIELD = b"".join(
    values.astype(kind).tobytes() for values, kind in ((np.arange(12), "<f4"), (Y, "<f8"), (X, "<f4"), (Z, "<f8"))
)


def literals(data):
    return b"".join(bytes([len(data[i : i + 32]) - 1]) + data[i : i + 32] for i in range(0, len(data), 32))


PCDS = {
    "capitals": POINTS["a.pcd"].replace(b"rgb x y z", b"RGB X Y Z"),
    "DATA in capitals": POINTS["a.pcd"].replace(b"DATA ascii", b"DATA ASCII"),
    "types in small letters": POINTS["b.pcd"].replace(b"TYPE F F F F", b"TYPE f f f f"),
    "keys in small letters": POINTS["a.pcd"].replace(b"FIELDS", b"fields").replace(b"DATA", b"data"),
    "crlf": POINTS["a.pcd"].replace(b"\n", b"\r\n"),
    "cr": POINTS["a.pcd"].replace(b"\n", b"\r"),
    "crlf before binary": POINTS["b.pcd"].split(b"DATA")[0].replace(b"\n", b"\r\n") + b"DATA binary\r\n"
                          + POINTS["b.pcd"].split(b"binary\n")[1],
    "marked": b"\xef\xbb\xbf" + POINTS["a.pcd"].partition(b"\n")[2],
    "COLUMNS": POINTS["a.pcd"].replace(b"FIELDS", b"COLUMNS"),
    "no COUNT": POINTS["a.pcd"].replace(b"COUNT 1 1 1 1\n", b""),
    "no POINTS": POINTS["a.pcd"].replace(b"POINTS 4\n", b""),
    "no HEIGHT": POINTS["a.pcd"].replace(b"HEIGHT 1\n", b""),
    "a grid": POINTS["a.pcd"].replace(b"WIDTH 4\nHEIGHT 1", b"WIDTH 2\nHEIGHT 2"),
    "comments among points": POINTS["a.pcd"].replace(b"DATA ascii\n", b"DATA ascii\n# here they come\n"),
    "several values before": with_fields("f _ x y z", "4 1 4 4 4", "F U F F F", "3 2 1 1 1", "".join(
        f"7 7 7 0 0 {x} {y} {z}\n" for x, y, z in VERTICES).encode(), "ascii"),
    "compressed, several values": with_fields(
        "f y x z", "4 8 4 8", "F F F F", "3 1 1 1",
        struct.pack("<II", len(literals(BY_FIELD)), len(BY_FIELD)) + literals(BY_FIELD), "binary_compressed"),
}  # fmt: skip


@pytest.mark.parametrize("name", PCDS)
def test_pcd(tmp_path, name):
    np.testing.assert_array_equal(read(tmp_path, "a.pcd", PCDS[name]).vertices, VERTICES)


def test_pcd_with_padding_and_other_types(tmp_path):
    data = with_fields("x _ y i _ z", "4 1 8 4 1 2", "F U F I U I", "1 4 1 1 5 1", PADDED)
    np.testing.assert_array_equal(read(tmp_path, "a.pcd", data).vertices, VERTICES * [1, 1, 2])


@pytest.mark.parametrize(
    "change, message",
    [
        ((b"TYPE F F F F", b"TYPE F X F F"), "TYPE and SIZE must be F 4, F 8, or I or U with 1, 2, 4 or 8, got X 4"),
        ((b"SIZE 4 4 4 4", b"SIZE 4 4 3 4"), "TYPE and SIZE must be .* got F 3"),
        ((b"SIZE 4 4 4 4", b"SIZE 4 4 four 4"), "SIZE must be a number, got 'four'"),
        ((b"TYPE F F F F", b"TYPE F F F"), "TYPE has 3 entries where FIELDS has 4"),
        ((b"COUNT 1 1 1 1", b"COUNT 1 1 1"), "COUNT has 3 entries where FIELDS has 4"),
        ((b"COUNT 1 1 1 1", b"COUNT 1 0 1 1"), "COUNT must be 1 or more"),
        ((b"POINTS 4", b"POINTS 3"), "POINTS is 3 where WIDTH x HEIGHT are 4"),
        ((b"POINTS 4", b"POINTS -4"), "POINTS must be a number, got '-4'"),
        ((b"rgb x y z", b"x x y z"), "has several fields x"),
        ((b"rgb x y z", b"a b c d"), "has no field x, only a b c d"),
        ((b"9 0 0 0\n", b""), "ends after 3 of 4 points"),
        ((b"9 0 0 0\n", b"9 0 0 0\n9 0 0 0\n"), "5 points follow where the header counts 4"),
        ((b"9 0 0 0\n", b"9 0 0\n"), "a point has fewer than the 4 values of the header"),
        ((b"9 0 0 0\n", b"9 0 0,5 0\n"), "point 0: could not convert string to float: '0,5'"),
    ],
)
def test_pcd_that_is_wrong(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, "a.pcd", POINTS["a.pcd"].replace(*change))


def test_compressed_pcd_that_is_wrong(tmp_path):
    for block, size, message in (
        (b"\x20\x05", 64, "copies from before its begin"),
        (b"\0\0\xe0", 64, "ends within a copy"),
        (b"\0\0" + b"\xe0\xff\0" * 900, 64, "unpacks to .* bytes where it says 64"),
        (b"\0\0", 1 << 31, "unpacks to 2147483648 bytes where 64 are needed"),
    ):
        with pytest.raises(ValueError, match=message):
            read(tmp_path, "a.pcd", pcd("binary_compressed", struct.pack("<II", len(block), size) + block))


BODY = "4 2 0\n0 0 0{0}\n1 0 0{0}\n1 1 0{0}\n0 1 0.5{0}\n3 0 1 2\n3 0 2 3 0.5 0.5 0.5\n"
OFFS = {
    "small letters": "off\n" + BODY.format(""),
    "counts behind": "OFF " + BODY.format(""),
    "counts glued on": "OFF" + BODY.format(""),
    "counts of two": "OFF\n" + BODY.format("").replace("4 2 0", "4 2"),
    "colours": "COFF\n" + BODY.format(" 255 0 0 255"),
    "small letters, colours": "coff\n" + BODY.format(" 255 0 0 255"),
    "normals": "NOFF\n" + BODY.format(" 0 0 1"),
    "small letters, normals": "noff\n" + BODY.format(" 0 0 1"),
    "colours and normals": "CNOFF\n" + BODY.format(" 0 0 1 1 0 0 1"),
    "texture": "STOFF\n" + BODY.format(" 0.5 0.5"),
    "all": "STCNOFF\n" + BODY.format(" 0 0 1 1 0 0 1 0.5 0.5"),
    "weights of one": "4OFF\n" + BODY.format(" 1"),
    "weights": "4OFF\n4 2 0\n0 0 0 3\n2 0 0 2\n-1 -1 0 -1\n0 4 2 4\n3 0 1 2\n3 0 2 3\n",
    "weights and colours": "C4OFF\n4 2 0\n0 0 0 3 9 9 9\n2 0 0 2 9 9 9\n-1 -1 0 -1 9 9 9\n0 4 2 4 9 9 9\n"
    "3 0 1 2\n3 0 2 3\n",
    "dimension": "nOFF\n3\n" + BODY.format(""),
    "dimension behind": "nOFF 3\n" + BODY.format(""),
    "all in one line": "nOFF 3 " + BODY.format(""),
    "dimension and weights": "4nOFF\n3\n" + BODY.format(" 1"),
    "comments": "# a\n\nOFF # b\n# c\n" + BODY.format(" # d"),
    "cr": ("OFF\n" + BODY.format("")).replace("\n", "\r"),
    "marked": "\ufeffOFF\n" + BODY.format(""),
}


@pytest.mark.parametrize("name", OFFS)
def test_off(tmp_path, name):
    mesh = read(tmp_path, "a.off", OFFS[name])
    np.testing.assert_array_equal(mesh.vertices, VERTICES)
    np.testing.assert_array_equal(mesh.faces, FACES)


def test_off_of_other_dimensions(tmp_path):
    points = [[1, 2, 3, 4, 5], [6, 7, 8, 9, 0]]
    np.testing.assert_array_equal(read(tmp_path, "a.off", "nOFF\n5\n2 0 0\n1 2 3 4 5\n6 7 8 9 0\n").vertices, points)
    np.testing.assert_array_equal(read(tmp_path, "a.off", "4nOFF\n2\n1 0 0\n2 4 2\n").vertices, [[1, 2]])


@pytest.mark.parametrize(
    "text, message",
    [
        ("OFF BINARY\n\n", "is a binary OFF file, which is not read"),
        ("4OFF\n1 0 0\n1 2 3\n", "vertex 0 has fewer than 4 numbers"),
        ("4OFF\n2 0 0\n1 2 3 1\n1 2 3 0\n", "vertex 1 lies at infinity: its fourth number is 0"),
        ("OFF\n1 0 0\n1 2\n", "vertex 0 has fewer than three coordinates"),
        ("OFF\n1 0 0\n1 2 3\n4 5 6\n", "2 lines follow where the head counts 1 vertices and 0 faces"),
        ("OFF\n2 0 0\n1 2 3\n", "ends after 1 of 2 vertices and faces"),
        ("OFF\n-1 0 0\n", "the numbers of vertices and faces are missing"),
        ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n-3 0 1 2\n", "face 0: 3 of -3 corners"),
        ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1\n", "face 0: 2 of 3 corners"),
        ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 -1\n", "a face refers to a vertex that is not among the 3"),
        ("OFF\n1 0 0\n1,5 2,5 3,5\n", "vertex 0: could not convert string to float: '1,5'"),
        ("nOFF\nthree\n", "the dimension is missing"),
        ("OFFICE\n1 0 0\n1 2 3\n", "the numbers of vertices and faces are missing"),
    ],
)
def test_off_that_is_wrong(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, "a.off", text)


V = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0.5\n"
OBJS = {
    "comments behind": "v 0 0 0 # a\nv 1 0 0# b\nv 1 1 0\nv 0 1 0.5\nf 1 2 3 # first 4\nf 1 3 4# second\n",
    "continued": "v 0 \\\n0 0\nv 1 0 0\nv 1 1 \\\n\\\n0\nv 0 1 0.5\nf 1 2 \\\n 3\nf 1 \\  \n3 4\n",
    "continued at the end": V + "f 1 2 3\nf 1 3 4 \\",
    "a comment that ends in a backslash": "# C:\\models\\\n" + V + "# again \\\nf 1 2 3\nf 1 3 4\n",
    "cr": (V + "f 1 2 3\nf 1 3 4\n").replace("\n", "\r"),
    "crlf, continued": (V + "f 1 \\\n2 3\nf 1 3 4\n").replace("\n", "\r\n"),
    "marked": "\ufeff" + V + "f 1 2 3\nf 1 3 4\n",
    "marked, a comment first": "\ufeff# a\n" + V + "f 1 2 3\nf 1 3 4\n",
    "weights": V.replace("\n", " 1.0\n") + "f 1 2 3\nf 1 3 4\n",
    "weights that are none": V.replace("\n", " 2\n") + "f 1 2 3\nf 1 3 4\n",
    "colours": V.replace("\n", " 0.5 0.25 1\n") + "f 1 2 3\nf 1 3 4\n",
    "weights and colours": V.replace("\n", " 1 0.5 0.25 1\n") + "f 1 2 3\nf 1 3 4\n",
    "all kinds of corners": V + "vt 0 0\nvn 0 0 1\nf 1/1 2/1 3/1\nf 1//1 3/1/1 4//\n",
    "counted back": "v 0 0 0\nv 1 0 0\nv 1 1 0\nf -3 -2 -1\nv 0 1 0.5\nf -4/-1 -2/-1 -1/-1\n",
    "polygon": V + "f 1 2 3 4\n",
    "empty groups": "g\no\n" + V + "g\ns off\nusemtl\nf 1 2 3\ng f v\nf 1 3 4\n",
    "two corners": V + "f 1 2\nl 1 2\np 1\nf 1 2 3\nf 1 3 4\n",
    "capitals": V.upper() + "F 1 2 3\nF 1 3 4\n",
    "a form feed": V.replace("v 1 1", "\x0cv 1 1") + "# \x0cv 9 9 9\x85v 8 8 8\nf 1 2 3\nf 1 3 4\n",
    "exponents of Fortran": V.replace("0.5", "5.0D-01") + "f 1 2 3\nf 1 3 4\n",
}


@pytest.mark.parametrize("name", OBJS)
def test_obj(tmp_path, name):
    mesh = read(tmp_path, "a.obj", OBJS[name])
    np.testing.assert_array_equal(mesh.vertices, VERTICES)
    np.testing.assert_array_equal(mesh.faces, FACES)


@pytest.mark.parametrize("corner", ["{0}", "{0}/{0}", "{0}//{0}", "{0}/{0}/{0}", "{0}/", "{0}//", "{0}/-1/-2"])
@pytest.mark.parametrize("more", ["", "# read row by row \\\n"])
@pytest.mark.parametrize("size", [3, 4, 5])
def test_fast_and_slow_ways_of_obj_agree(tmp_path, corner, more, size):
    rng = np.random.default_rng(0)
    points, polygons = rng.normal(size=(40, 3)), rng.integers(40, size=(30, size))
    text = more + "".join(f"v {x!r} {y!r} {z!r}\nvt 0 0\n" for x, y, z in points.tolist()) + "vn 0 0 1\ng f 1 2 3\n"
    text += "".join("f " + " ".join(corner.format(i + 1) for i in row) + "\n" for row in polygons)
    mesh = read(tmp_path, "a.obj", text)
    np.testing.assert_array_equal(mesh.vertices, points)
    fans = [(row[0], row[k], row[k + 1]) for row in polygons for k in range(1, size - 1)]
    np.testing.assert_array_equal(mesh.faces, fans)


@pytest.mark.parametrize(
    "text, message",
    [
        ("v 1 2\n", "line 1: a vertex needs three coordinates"),
        ("v 1 2 3\nv \nv 4 5 6\n", "line 2: a vertex needs three coordinates"),
        ("v \n", "line 1: a vertex needs three coordinates"),
        ("v 1,5 2,5 3,5\n", "line 1: could not convert string to float: '1,5'"),
        ("v 1 2 \\\n3\nv 1 2 3_0\n", "line 3: could not convert string to float: '3_0'"),
        (V + "f 1 2 x\n", "line 5: 'x' is no vertex index"),
        (V + "f 1 2 -5\n", "a face refers to a vertex that is not among the 4"),
        (V + "f 1 2 5\n", "a face refers to a vertex that is not among the 4"),
        (V + "f 1 2 99999999999999999999\n", "a face refers to a vertex beyond any number of them"),
        ("v 1 2 3\0\n", "is binary where text is expected"),
    ],
)
def test_obj_that_is_wrong(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, "a.obj", text)
