"""Short forms (models of keys, first points, notes), read and written from their descriptions alone, and forged.

As ``file_reference`` for model files: whatever is said, the checksums are right.
"""

import copy
import json
import struct
import zlib

import numpy as np

from .file_mutations import VALUES, change_array, change_json

PARAMETERS = {
    "n_trees": [0, 1, 2, 3, 10**9, 2**40],
    "n_estimators": [0, 1, 2, 3, 10**9],
    "window": [None, 1, 5, 6, 7, 10**9, "thinned", "decayed", "reservoir"],
    "horizon": [0, 1, 10**9],
    "score": ["default", "depth", "insertion", "spacing"],
    "scale": [None, "robust"],
    "calibration": [None, 1, 9, 10**6, 10**12, 2**62],
    "max_features": [1, 2, 10**12],
    "calibration_half_life": [None, 5.0, 5e-324, 1e308, -1.0],
    "max_bytes": [-24576, -1, 0, 1, 10**6, 2**70],
    "contamination": ["auto", 0.5, 0.9, -0.1],
    "max_samples": [1, 5, 0.5, 10**9, -3, "auto"],
    "seed": [0, -1, None, 2**70],
    "n_jobs": [None, 0, -1, 10**9],
    "random_state": [0, -1, 2**40],
    "level": [0.5, -1e308, None],
    "rate": [0.0, 1.0, 2.5],
    "count": [-1, 1.5, 10**30, 2**63],
    "records": [-1, 2**63, 10**30, True],
    "header": [["a", "a"], [1], "ab", []],
    "threshold": ["x", 1e308, [1]],
    "version": [0, 2, 10**30, "1"],
    "n_features": [0, -1, 1, 10**6, 10**9],
    "memory": [0, 1, 2, 3],
    "decay": [0, 1e-300, 64, 1e308, -1.0, 5],
    "_n_ignored": [-1, 10**30],
    "sample_size": [1, 10**18],
    "max_samples_": [-1, 0, 10**30],
    "n_features_in_": [1, 2, 10**9],
    "offset_": [0.0, 1e308, -1e308],
}


# -- the short form (``_persist/codec.py``) ------------------------------------------------------------


def parse_state(data, letters=b"IMK", version=1):
    """Header's state, and arrays."""
    magic, length, checksum = struct.unpack("<4sII", data[:12])
    body = data[12:]
    assert magic == letters + bytes([version]) and zlib.crc32(body) == checksum
    header, begin, arrays = json.loads(body[:length]), length, {}
    for name, dtype, narrow, shape, size in header["arrays"]:
        count = int(np.prod(shape))
        kept = body[begin : begin + size].ljust(count * np.dtype(narrow).itemsize, b"\0")
        arrays[name] = np.frombuffer(kept, narrow).reshape(shape).astype(dtype)
        begin += size
    assert begin == len(body)
    return header["state"], arrays


def forge_state(state, arrays, listed=None, *, letters=b"IMK", version=1):
    """Bytes of these contents; every array in its own type, without the zeros at its end."""
    entries, parts = [], []
    for name, array in arrays.items():
        parts.append(np.ascontiguousarray(array).tobytes().rstrip(b"\0"))
        entries.append([name, array.dtype.str, array.dtype.str, list(array.shape), len(parts[-1])])
    text = json.dumps({"state": state, "arrays": entries if listed is None else listed(entries)})
    return seal_state(text, parts, letters=letters, version=version)


def seal_state(text, parts=(), *, letters=b"IMK", version=1):
    header = text.encode("ascii", "replace")
    body = b"".join((header, *parts))
    return letters + struct.pack("<BII", version, len(header), zlib.crc32(body)) + body


CLAIMS = [
    [2**31 - 1],
    [2**30, 8],
    [2**62],
    [1 << 20, 1 << 10],
    [10**40],
    [-1],
    [0, 10**12],
    [1.5],
    ["3"],
    None,
    [],
    [True],
    [1] * 70,
    {"a": 1},
    [[3]],
]
KINDS = [
    "<f8",
    "<i4",
    "|V1000000000",
    "|S2000000000",
    "O",
    "<U100000000",
    "f8,f8",
    None,
    3,
    ["<f8"],
    "|i1",
    "<f2",
    "<M8[s]",
]


def change_claims(rng, entries):
    """What the header says of an array: its type, its shape, or its bytes."""
    entry = rng.choice(entries)
    place = rng.choice([1, 2, 3, 3, 3, 4])
    choices = {1: KINDS, 2: KINDS, 3: CLAIMS, 4: [-1, 0, 2**40, None, 1.5, "2"]}
    entry[place] = copy.deepcopy(rng.choice(choices[place]))
    if rng.random() < 0.3:
        entry[2] = entry[1] = rng.choice(["<f8", "<i8", "|u1"])
    return entries


def change_parameter(rng, tree):
    """Give something that has a name another value that may be sensible elsewhere."""
    found = []

    def look(value):
        if isinstance(value, dict):
            found.extend((value, name) for name in value if name in PARAMETERS)
        for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            look(each)

    look(tree)
    if found:
        container, name = rng.choice(found)
        container[name] = copy.deepcopy(rng.choice(PARAMETERS[name]))


def change_column(rng, arrays):
    """Whole columns, rows, or elements that are right elsewhere."""
    name = rng.choice(list(arrays))
    array = arrays[name] = arrays[name].copy()
    kind = rng.randrange(6)
    if not array.size or array.dtype == bool:
        return
    limits = np.iinfo(array.dtype) if array.dtype.kind in "iu" else np.finfo(array.dtype)
    if kind == 0:
        array[...] = rng.choice([0, 1, limits.max, limits.min])
    elif kind == 1:
        array[rng.randrange(len(array))] = array[rng.randrange(len(array))]
    elif kind == 2:
        array.flat[rng.randrange(array.size)] = array.flat[rng.randrange(array.size)]
    elif kind == 3:
        i, j = rng.randrange(array.size), rng.randrange(array.size)
        array.flat[i], array.flat[j] = array.flat[j], array.flat[i]
    elif kind == 4:
        array[...] = array[::-1].copy()
    else:
        near = int(np.nan_to_num(float(array.flat[0]), posinf=0, neginf=0)) if array.dtype.kind == "f" else 0
        array.flat[rng.randrange(array.size)] = rng.choice([limits.max, limits.min, 0, 1, min(near + 1, 100)])


def forged_state(rng, data, letters=b"IMK", version=1):
    """A short form that says something else."""
    state, arrays = parse_state(data, letters, version)
    form = {"letters": letters, "version": version}
    kind = rng.randrange(6)
    if kind == 0:
        return forge_state(state, arrays, lambda entries: change_claims(rng, entries), **form)
    changes = [
        lambda: change_array(rng, arrays),
        lambda: change_column(rng, arrays),
        lambda: change_parameter(rng, state),
        lambda: change_json(rng, state),
    ]
    for _ in range(rng.choice([1, 1, 2])):
        changes[(kind - 1) % 4]()
    if kind == 5:
        return seal_state(
            rng.choice(
                [
                    '{"state":NaN,"arrays":[]}',
                    "[" * 3000,
                    "",
                    "[]",
                    '{"state":[],"arrays":[]}',
                    '{"state":{},"arrays":[]}',
                    '{"state":{},"arrays":[[1]]}',
                    "1e999",
                ]
            ),
            **form,
        )
    return forge_state(state, arrays, **form)


# -- the first points of a key as version 1 wrote them -------------------------------------------------


def forge_points(text):
    data = text.encode("ascii", "replace")
    return struct.pack("<4sI", b"IMY\1", zlib.crc32(data)) + data


POINTS = ["1e999", "-1e999", "NaN", "1" * 400, '"3.5"', "null", "true", "[1]", "{}", '"x"', "1" * 5000, "1e-400"]


def forged_points(rng, data):
    """Waiting points that are others, or none."""
    text = data[8:].decode()
    kind = rng.randrange(4)
    if kind == 0:
        content = json.loads(text)
        change_json(rng, content)
        return forge_points(json.dumps(content))
    if kind == 1:
        at = rng.choice([i for i, letter in enumerate(text) if letter.isdigit()])
        return forge_points(text[:at] + rng.choice(POINTS) + text[at + 1 :])
    if kind == 2:
        return forge_points(
            rng.choice(
                [
                    "[" * 3000,
                    "",
                    "7",
                    '"ab"',
                    "{}",
                    "[[1, 2]]",
                    "[[[], []]]",
                    '[[["a"], [[]]]]',
                    "null",
                    '[[["a", "a"], [[1, 2]]]]',
                    '[[[["a"]], [[1]]]]',
                    "[[[{}], [[1]]]]",
                    '[["ab", [[1, 2]]]]',
                    '[[["a"], {"0": 1}]]',
                    "[[" + "[]," * 1000 + "[]]]",
                ]
            )
        )
    at = rng.randrange(len(text))
    what = rng.choice(['"', "]", "[", ",", "9", "-", "\\ud800"])
    return forge_points(text[:at] + what + text[at + rng.randint(0, 2) :])


# -- a store's settings --------------------------------------------------------------------------------


def forged_settings(rng, note):
    """Settings with other values or members, or none at all."""
    settings = json.loads(note)
    kind = rng.randrange(5)
    if kind == 0:
        return rng.choice([b"", b"\xff", b"[]", b"3", b"null", b"{}", b"[" * 3000, b'{"seed": 1}'])
    if kind == 1:
        settings[rng.choice(["extra", "n_jobs", "max_bytes", "self", "__class__"])] = copy.deepcopy(rng.choice(VALUES))
    elif kind == 2:
        del settings[rng.choice(list(settings))]
    elif kind == 3:
        change_parameter(rng, settings)
    else:
        settings[rng.choice(list(settings))] = copy.deepcopy(rng.choice(VALUES))
    return json.dumps(settings).encode()
