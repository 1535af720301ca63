"""Text: what a heading, a mark, a comma says is heeded; what they leave open is an error that names file and line."""

import numpy as np
import pytest

from pointmetrics import io

POINTS = np.array([[0.5, 1, -2], [3, 4.25, 5]])
PLAIN = "0.5 1 -2\n3 4.25 5\n"

READ = {
    "marked with utf-8": b"\xef\xbb\xbf" + PLAIN.encode(),
    "marked heading": b"\xef\xbb\xbfx,y,z\n0.5,1,-2\n3,4.25,5\n",
    "utf-16": PLAIN.encode("utf-16"),
    "utf-16, other order": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "utf-32": PLAIN.encode("utf-32"),
    "crlf": PLAIN.replace("\n", "\r\n"),
    "cr": PLAIN.replace("\n", "\r"),
    "no last line feed": PLAIN.rstrip(),
    "blanks around": "\n   0.5   1 -2  \n\t\n3\t4.25\t5\n\n",
    "comments": "# one\n// two\n0.5 1 -2 # three\n3 4.25 5 // four\n",
    "a comment with a form feed and a separator": "# a\x0cb\x1c9 9 9\x85 8 8 8\n" + PLAIN,
    "colours": "0.5 1 -2 255 0 0\n3 4.25 5 1 2 3\n",
    "intensity": "0.5 1 -2 0.75\n3 4.25 5 0.25\n",
    "count first": "2\n" + PLAIN,
    "count after a comment": "//X Y Z\n2\n" + PLAIN,
    "fortran": "0.5D+00 1.0d0 -2.D0\n3.0D0 425D-2 5\n",
    "commas": "0.5,1,-2\n3,4.25,5\n",
    "commas and blanks": "0.5, 1 ,-2\n3,\t4.25, 5\n",
    "commas at the end": "0.5,1,-2,\n3,4.25,5,\n",
    "semicolons": "0.5;1;-2\n3;4.25;5\n",
    "decimal commas between semicolons": "0,5;1;-2\n3;4,25;5\n",
    "decimal commas between tabs": "0,5\t1,0\t-2,0\n3,0\t4,25\t5,0\n",
    "decimal commas in quotes": '"0,5","1","-2"\n"3","4,25","5"\n',
    "three decimals, one of them after a zero": "0,500;1,000;-2,000\n3,000;4,250;5,000\n",
    "quotes": '"0.5","1","-2"\n"3","4.25","5"\n',
    "quotes between blanks": '"0.5" "1" "-2"\n"3" "4.25" "5"\n',
    "heading": "x,y,z\n0.5,1,-2\n3,4.25,5\n",
    "heading in capitals": "X Y Z\n" + PLAIN,
    "another order": "y,x,z\n1,0.5,-2\n4.25,3,5\n",
    "pandas index": ",x,y,z\n0,0.5,1,-2\n1,3,4.25,5\n",
    "id first": "id;x;y;z\n7;0.5;1;-2\n8;3;4.25;5\n",
    "label first": "label,X,Y,Z\nchair,0.5,1,-2\n,3,4.25,5\n",
    "ParaView": '"Normals:0","Normals:1","Normals:2","Points:0","Points:1","Points:2"\n'
    "9,9,9,0.5,1,-2\n8,8,8,3,4.25,5\n",
    "units": "X [m],Y [m],Z (m),I [%]\n0.5,1,-2,9\n3,4.25,5,9\n",
    "units between blanks": "X [m] Y [m] Z [m]\n" + PLAIN,
    "units between tabs": "X [m]\tY [m]\tZ [m]\n" + PLAIN.replace(" ", "\t"),
    "a heading of another separator": "x y z\n0.5,1,-2\n3,4.25,5\n",
    "quoted heading": "'z' 'y' 'x'\n-2 1 0.5\n5 4.25 3\n",
    "CloudCompare": "//X,Y,Z,R,G,B\n0.5,1,-2,1,2,3\n3,4.25,5,1,2,3\n",
    "CloudCompare, another order": "//Scalar,X,Y,Z\n7,0.5,1,-2\n7,3,4.25,5\n",
    "savetxt": "# z y x\n-2 1 0.5\n5 4.25 3\n",
    "a remark of other length": "# z y x of a scan\n" + PLAIN,
    "names with words": "pos_x,pos_y,pos_z\n0.5,1,-2\n3,4.25,5\n",
    "a time under a heading": "time,x,y,z\n2020-01-01 10:00,0.5,1,-2\n2020-01-01 10:01,3,4.25,5\n",
    "labels with blanks": "0.5,1,-2,office chair\n3,4.25,5,a 2 seater\n",
    "labels with blanks between tabs": "x\ty\tz\tname\n0.5\t1\t-2\toffice chair\n3\t4.25\t5\ta\n",
    "labels in quotes": 'x,y,z,name\n0.5,1,-2,"a, b"\n3,4.25,5,"c ""d"", e"\n',
    "a quote in a label": "x,y,z,n\n0.5,1,-2,5\" pipe\n3,4.25,5,it's\n",
    "hint of a spreadsheet": "sep=;\nx;y;z\n0,5;1;-2\n3;4,25;5\n",
    "empty cell that is not wanted": "x,y,z,label\n0.5,1,-2,\n3,4.25,5,a\n",
    "leading zeros under a heading": "x,y,z\n00.5,01,-02\n03,04.25,05\n",
    "two tabs between all": "0.5\t\t1\t\t-2\n3\t\t4.25\t\t5\n",
    "a heading beyond ascii": "x,y,z,é°\n0.5,1,-2,9\n3,4.25,5,9\n",
    "a heading in latin-1": b"x,y,z,\xb0\n0.5,1,-2,9\n3,4.25,5,9\n",
}


def read(tmp_path, text, suffix=".txt", **options):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return io.read_points(path, **options)


@pytest.mark.parametrize("suffix", [".csv", ".xyz", ".asc", ".pts"])
@pytest.mark.parametrize("name", READ)
def test_text_is_read(tmp_path, name, suffix):
    np.testing.assert_array_equal(read(tmp_path, READ[name], suffix), POINTS)


REFUSED = {
    "commas among blanks": ("1,5 2,5 3,5\n", r"line 1: '1,5 2,5 3,5' has commas and blanks between digits"),
    "thousands among blanks": ("1,000.5 2 3\n", "line 1: '1,000.5 2 3' has commas and blanks between digits"),
    "a comma later": ("1 2 3\n1,5 2 3\n", "line 2: could not convert string to float: '1,5'"),
    "thousands between semicolons": ("1,000;2,000;3,000\n", "line 1: a comma may be a decimal one or group thousands"),
    "German thousands": ("1.000,5;2;3\n", "line 1: could not convert string to float: '1.000,5'"),
    "points and commas": ("1.5;2;3\n1;2,5;3\n", "line 1 has decimal points and line 2 commas in its numbers"),
    "thousands in quotes": ('"1,000.5","2","3"\n', "line 1: could not convert string to float: '1,000.5'"),
    "thousands between commas": ("1,000.5,2,000.5,3,000.5\n", "line 1: .* may have decimal commas or grouped"),
    "grouped thousands": ("1,234.5,2,345,3,456\n", "line 1: .* may have thousands grouped by commas"),
    "decimal commas between commas": ("1,25,2,35,3,45\n1,25,2,05,3,45\n", "line 2: .* may have decimal commas"),
    "blanks that group": ("1\u00a0000.5 2 3\n", "line 1: .* has blanks that group digits"),
    "apostrophes": ("1'000.5 2 3\n", "could not convert string to float|line 1"),
    "commas among blanks under a heading": ("x y z\n1,5 2,5 3\n", "line 2: could not convert string to float: '5 2'"),
    "decimal commas under a heading": ("x,y,z\n1,5,2,5,3,5\n", "line 2: 6 columns where the heading names 3"),
    "brackets": ("[1 2 3]\n[4 5 6]\n", r"line 1: could not convert string to float: '\[1'"),
    "several points a line": ("1 2 3;4 5 6\n7 8 9;1 2 3\n", "not x, y and z|columns where"),
    "underscores": ("1 2 3\n1_000 2 3\n", "line 2: could not convert string to float: '1_000'"),
    "hexadecimal": ("1 2 3\n0x10 2 3\n", "line 2: could not convert string to float: '0x10'"),
    "empty cell": ("x,y,z\n1,,3\n", "line 2: an empty cell where a coordinate is expected"),
    "empty cell later": ("1,2,3\n1,,3\n", "line 2: an empty cell"),
    "empty cell between tabs": ("1\t2\t3\t4\n1\t\t3\t4\n", "line 2: .* may have an empty cell between two tabs"),
    "empty cells in one column": ("1\t\t3\t4\n1\t\t3\t4\n", "line 1: .* may have an empty cell between two tabs"),
    "shorter row": ("1 2 3 4\n1 2 3\n", "line 2: 3 columns where 4 are expected"),
    "longer row": ("1 2 3\n\n1 2 3 4\n", "line 3: 4 columns where 3 are expected"),
    "another separator": ("1 2 3\n1;2;3\n", "line 2: 1 columns where 3 are expected"),
    "other names": ("a,b,c\n1,2,3\n", "the heading names a, b, c and not x, y and z: pass the names .* as columns="),
    "longitude": ("lon lat alt\n1 2 3\n", "the heading names lon, lat, alt and not x, y and z"),
    "index without x": (",0,1,2\n0,.5,.5,.5\n", "line 1: .* may be a heading or a point|line 1: an empty cell"),
    "numbers for names": ("0,1,2\n0.5,1.5,2.5\n", "line 1: '0,1,2' may be a heading or a point"),
    "numbers for names, semicolons": ("0;1;2\n0,5;1,5;2,5\n", "line 1: '0;1;2' may be a heading"),
    "numbers for names, tabs": ("0\t1\t2\n0.5\t1.5\t2.5\n1e3\tnan\t2.5\n", "line 1: .* may be a heading or a point"),
    "numbers for names, blanks": ("0 1\n0.5 1.5\n", "line 1: '0 1' may be a heading or a point"),
    "numbers for names, quoted": ('"0","1","2"\n0.5,1.5,2.5\n', "line 1: .* may be a heading or a point"),
    "an empty cell in all rows": ("1\t\t3\n4\t\t6\n", "line 1: .* may have an empty cell between two tabs"),
    **{
        f"lines that end in {mark!r}": (f"1 2 3{mark}4 5 6\n7 8 9{mark}1 2 3\n", "line 1: .* may end a line")
        for mark in "\v\f\x1c\x1d\x1e\x85\u2028\u2029"
    },
    "x and y and another": ("x,y,depth\n1,2,3\n", "the heading names x, y, depth and not x, y and z"),
    "x twice": ("x,y,z,X\n1,2,3,4\n", "the heading names x twice: x and X"),
    "prose": ("Exported by hand\n1 2 3\n", "line 2: 3 columns where the heading names 3|not x, y and z"),
    "row names of R": ('"x" "y" "z"\n"1" 1 2 3\n', "line 2: 4 columns where the heading names 3: x, y, z"),
    "two headings": ("x y z\nm m m\n1 2 3\n", "line 2: could not convert string to float: 'm'"),
    "a label before numbers": ("O 0 0 0\n", "line 1: could not convert string to float: 'O'"),
    "molecule": ("1\nwater\nO 0 0 0\n", "line 1: '1' alone is no point"),
    "wrong count": ("3\n1 2 3\n4 5 6\n", "begins with the number 3, and 2 points follow"),
    "count of another scan": ("1\n1 2 3\n1\n4 5 6\n", "line 3: 1 columns where 3 are expected"),
    "one number a line": ("5\n6\n", "line 1: '5' alone is no point"),
    "a heading alone": ("x,y,z\n", "holds no points, only a heading"),
    "nothing": ("# nothing\n", "holds no points"),
    "utf-16 without a mark": ("1 2 3\n".encode("utf-16-le"), "is binary where text is expected"),
    "binary after much text": (b"1 2 3\n" * 2000 + b"\0", "is binary where text is expected"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_ambiguous_or_damaged_is_refused(tmp_path, name):
    text, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "a.txt"))


@pytest.mark.parametrize(
    "text, columns",
    [
        ("lon,lat,alt\n0.5,1,-2\n3,4.25,5\n", ("lon", "lat", "alt")),
        ("a,b,c,d\n-2,9,1,0.5\n5,9,4.25,3\n", ["d", "c", "a"]),
        ("x,y,z,w\n9,0.5,1,-2\n9,3,4.25,5\n", (1, 2, 3)),
        ("chair 0.5 1 -2\ntable 3 4.25 5\n", (1, 2, 3)),
        ("# east north up\n0.5 1 -2\n3 4.25 5\n", ("east", "north", "up")),
        ("x,y,z,x\n9,1,-2,0.5\n9,4.25,5,3\n", (3, 1, 2)),
        (",0,1,2\n0,0.5,1.0,-2.0\n1,3.0,4.25,5.0\n", ("0", "1", "2")),
    ],
)
def test_columns_are_chosen(tmp_path, text, columns):
    np.testing.assert_array_equal(read(tmp_path, text, columns=columns), POINTS)


@pytest.mark.parametrize(
    "text, columns, message",
    [
        ("a,b,c\n1,2,3\n", ("a", "b", "d"), "has no column 'd': the heading names a, b, c"),
        ("a,b,a\n1,2,3\n", ("a", "b"), "has several columns 'a'"),
        ("1,2,3\n", ("a", "b"), "has no heading that names 'a': pass the numbers of the columns, from 0"),
        ("1,2,3\n", (0, 1, 3), "has no column 3: there are 3, counted from 0"),
        ("1,2,3\n", (-1, 1), "has no column -1"),
        (",0,1,2\n0,.5,.5,.5\n", (1, 2, 3), "may be a heading or a point"),
        ("1,2,3\n", "xyz", "columns must be names or numbers"),
        ("1,2,3\n", (), "columns must be names or numbers"),
        ("1,2,3\n", (True,), "columns must be names or numbers"),
        ("1,2,3\n", 3, "columns must be names or numbers"),
    ],
)
def test_columns_that_are_none(tmp_path, text, columns, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text, columns=columns)


def test_columns_are_of_text_alone(tmp_path):
    np.save(tmp_path / "a.npy", POINTS)
    with pytest.raises(ValueError, match=r"a\.npy: columns can be chosen in text files, got \.npy"):
        io.read_points(tmp_path / "a.npy", columns=(0, 1, 2))


@pytest.mark.parametrize(
    "token, value",
    [
        ("nan", np.nan),
        ("-nan(ind)", np.nan),
        ("nan(snan)", np.nan),
        ("1.#QNAN", np.nan),
        ("-1.#IND", np.nan),
        ("-1.#IND00", np.nan),
        ("inf", np.inf),
        ("-Infinity", -np.inf),
        ("1.#INF", np.inf),
        ("-1.#INF00", -np.inf),
    ],
)
def test_numbers_that_are_none(tmp_path, token, value):
    np.testing.assert_array_equal(read(tmp_path, f"1 2 {token}\n3 {token} 4\n"), [[1, 2, value], [3, value, 4]])


def test_points_in_the_plane(tmp_path):
    for text in ("1 2\n3 4\n", "x,y\n1,2\n3,4\n", "y x\n2 1\n4 3\n", "# x y\n1;2\n3;4\n"):
        np.testing.assert_array_equal(read(tmp_path, text), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(read(tmp_path, "123,456\n7,089\n"), [[123, 456], [7, 89]])  # pixels


@pytest.mark.parametrize("delimiter", [" ", ",", ";", "\t"])
@pytest.mark.parametrize("heading", ["", "x{0}y{0}z\n"])
def test_fast_and_slow_ways_agree(tmp_path, delimiter, heading):
    points = np.random.default_rng(0).normal(size=(300, 3)) * 10.0 ** np.arange(-3, 6, 3)
    rows = [delimiter.join(repr(float(v)) for v in row) for row in points]
    text = heading.format(delimiter) + "\n".join(rows)
    np.testing.assert_array_equal(read(tmp_path, text), points)
    np.testing.assert_array_equal(read(tmp_path, text + "\n# read row by row"), points)


@pytest.mark.parametrize("delimiter", [",", " "])
def test_rows_are_read_at_once(tmp_path, monkeypatch, delimiter):
    from pointmetrics._io import table

    monkeypatch.setattr(table, "_read_rows", None)  # what takes ten times longer
    text = delimiter.join("xyz") + "\n" + "".join(delimiter.join(map(repr, row)) + "\n" for row in POINTS.tolist())
    np.testing.assert_array_equal(read(tmp_path, "# made by hand\n" + text), POINTS)
