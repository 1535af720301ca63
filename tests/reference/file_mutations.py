"""Random damage to a model's file: by accident (checksums tell), and forged (with right checksums)."""

import copy
import json
import random
import struct

import numpy as np

from .file_reference import forge, parse, seal

NUMBERS = [
    0,
    1,
    -1,
    2,
    3,
    7,
    255,
    2**31 - 1,
    -(2**31),
    2**31,
    2**32,
    2**63 - 1,
    2**63,
    -(2**63),
    10**30,
    0.0,
    -0.0,
    0.5,
    -1.5,
    1e308,
    5e-324,
]
VALUES = [
    *NUMBERS,
    None,
    True,
    False,
    "",
    "auto",
    "depth",
    "thinned",
    "reservoir",
    "x" * 300,
    [],
    [[]],
    {},
    [0] * 40,
    {"$array": "fitted"},
    {"$array": 3},
    {"$tuple": []},
    {"$tuple": 4},
    {"$map": [[1, 2], [1, 3]]},
    {"$map": 7},
    {"$map": [[[], 1]]},
    {"$names": ["a", "b"]},
    {"$names": [1]},
    {"$forest": {}},
    {"$forest": None},
    {"$random_state": {}},
    {"$unknown": 1},
]
TYPES = ["<f2", "<f4", "<f8", "<i4", "<i8", "<u4", "<u8", ">f8", "|O", "|V8", "<U3", "i", "", "nonsense", None, 8]


def accident(rng, content):
    """Bits flipped, ends cut off or added, parts zeroed, doubled or moved."""
    data, kind, at = bytearray(content), rng.randrange(6), rng.randrange(len(content))
    if kind <= 1:
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 2:
        del data[at:]
    elif kind == 3:
        data += bytes(rng.randrange(256) for _ in range(rng.randint(1, 80)))
    elif kind == 4:
        size = rng.randint(1, 64)
        data[at : at + size] = bytes(len(data[at : at + size]))
    else:
        size = rng.randint(1, 200)
        data[at:at] = data[at : at + size]
    return bytes(data)


def places(value, found=None):
    """Every (container, key) of a JSON value."""
    found = [] if found is None else found
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found.append((value, key))
        places(item, found)
    return found


def change_json(rng, value):
    """Replace, remove, add, rename or swap something somewhere."""
    container, key = rng.choice(places(value))
    kind = rng.randrange(6)
    if kind == 0 and isinstance(container, dict):
        del container[key]
    elif kind == 1 and isinstance(container, dict):
        container[rng.choice([*container, key + "x", "predict", "__class__", "forest_", "$array"])] = container.pop(key)
    elif kind == 2 and isinstance(container, dict):
        container[rng.choice(["extra", "score_samples", "_forest", "__dict__"])] = copy.deepcopy(rng.choice(VALUES))
    elif kind == 3:
        other, place = rng.choice(places(value))
        container[key] = copy.deepcopy(other[place])
    else:
        container[key] = copy.deepcopy(rng.choice(VALUES))


def change_text(rng, text):
    """Edit the header as text: not JSON any more, or deep, or JSON with constants."""
    at = rng.randrange(len(text))
    what = rng.choice(
        ['"', "}", "[", ",", "NaN", "-Infinity", "1e999", "[" * 3000, '{"a":' * 3000, "\\ud800", "\x00", "9" * 5000]
    )
    return text[:at] + what + text[at + rng.randint(0, 3) :]


def change_array(rng, arrays):
    """Some elements, or bits of them, or the shape or type of one array."""
    name = rng.choice(list(arrays))
    array = arrays[name] = arrays[name].copy()
    kind = rng.randrange(8)
    if kind <= 4 and array.size:
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(array.size)
            if array.dtype.kind == "b":
                array.flat[at] ^= True
            elif array.dtype.kind == "f":
                other = array.flat[rng.randrange(array.size)]
                array.flat[at] = rng.choice([np.nan, np.inf, -np.inf, 0.0, -1.0, 1e30, -1e30, other])
            else:
                info = np.iinfo(array.dtype)
                near = int(array.flat[at]) + rng.choice([-1, 1])
                array.flat[at] = min(max(rng.choice([*map(int, NUMBERS[:10]), near]), info.min), info.max)
    elif kind == 5 and array.size:
        raw = bytearray(array.tobytes())
        for _ in range(rng.randint(1, 3)):
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        arrays[name] = np.frombuffer(bytes(raw), array.dtype).reshape(array.shape)
    elif kind == 6:
        with np.errstate(invalid="ignore"):
            arrays[name] = rng.choice(
                [
                    lambda: array[:1],
                    lambda: np.concatenate([array, array]),
                    lambda: array.ravel(),
                    lambda: array[..., :1],
                    lambda: array[:0],
                    lambda: array[None],
                    lambda: array.astype(rng.choice(["<f4", "<f8", "<i4", "<i8"])),
                ]
            )()
    else:
        other = rng.choice(list(arrays))
        arrays[name], arrays[other] = arrays[other], arrays[name]


def change_list(rng, entries):
    """What the header says of an array, without moving its bytes."""
    entry = rng.choice(entries)
    kind = rng.randrange(5)
    if kind == 0:
        entry["dtype"] = rng.choice(TYPES)
    elif kind == 1:
        entry["shape"] = rng.choice(
            [
                [-1],
                [2**62],
                [2**31, 2**31],
                [0, 10**15],
                [],
                [True],
                [1.0],
                "x",
                None,
                [1] * 70,
                list(reversed(entry["shape"])),
                [*entry["shape"], 1],
                [10**40],
            ]
        )
    elif kind == 2:
        entry[rng.choice(["offset", "crc32"])] = copy.deepcopy(rng.choice(VALUES))
    elif kind == 3:
        entries.append(dict(entry))
    else:
        entries.remove(entry)
    return entries


def forgery(rng, content):
    """Change what the file says; its checksums stay right."""
    header, arrays = parse(content)
    entries = header.pop("arrays")
    kind = rng.randrange(10)
    if kind <= 4:
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            change_array(rng, arrays)
        return forge(header, arrays)
    if kind <= 6:
        for _ in range(rng.choice([1, 1, 2])):
            change_json(rng, header)
        return forge(header, arrays)
    if kind == 7:
        text = json.dumps({**header, "arrays": entries})
        start = 24 + struct.unpack("<I", content[12:16])[0]
        return seal(change_text(rng, text), content[start + -start % 64 :])
    if kind == 8:
        return forge(header, arrays, listed=lambda listed: change_list(rng, listed))
    extra = {"extra": np.zeros(rng.randrange(4))} if rng.random() < 0.5 else {}
    return forge(header, {**arrays, **extra}, version=rng.choice([0, 1, 2, 2**32 - 1]))


def damaged(seed, contents):
    """The file that a seed makes of one of these."""
    rng = random.Random(seed)
    content = rng.choice(contents)
    return accident(rng, content) if rng.random() < 0.3 else forgery(rng, content)
