"""Every binary form, damaged by accident and forged: a ValueError, or something of which everything can be asked.

``IMONDRIAN_FUZZ_FILES=100000 pytest tests/imondrian/_persist/test_fuzz.py`` runs the long version.
"""

import os
import random

import numpy as np
import pytest

pytest.importorskip("river", reason="needs river")

from cases.binary_forms import FORMS, within

N_FILES = int(os.environ.get("IMONDRIAN_FUZZ_FILES", "4000")) // 4
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numbers that are finite, and no more


def each(forms):
    """Ask this of each form."""
    return pytest.mark.parametrize("form", list(forms), ids=lambda form: form.name)


every_form = each(FORMS)
every_written_form = each(form for form in FORMS if form.sealed)
every_form_with_arrays = each(form for form in FORMS if form.claimed)


def may_be_refused(error):
    """Whether it is what the same parameters mean in a model that was never in a file."""
    if isinstance(error, MemoryError):
        return "max_bytes leaves" in str(error)
    parts = ("max_bytes must be at least", "needs trees that were grown for it", "max_bytes=", "sample_weight must be")
    return any(part in str(error) for part in parts)


@every_form
def test_sound_contents_come_back(form, tmp_path):
    for content, known in form.contents:
        found = form.read(content, known, tmp_path / "content")
        form.ask(found)
        if form.again:
            form.again(form.read(content, known, tmp_path / "content"), known, tmp_path / "content")


@every_form
def test_every_truncation_is_noticed(form, tmp_path):
    content, known = form.contents[0]
    for length in [*range(40), *range(40, len(content), max(1, len(content) // 100)), len(content) - 1]:
        with pytest.raises(ValueError):
            form.read(content[:length], known, tmp_path / "content")
    with pytest.raises(ValueError):
        form.read(content + b"\0", known, tmp_path / "content")


@every_form
def test_every_byte_is_checked(form, tmp_path):
    """One flipped bit: in each byte of the beginning, then all over."""
    (content, known), rng = form.contents[0], random.Random(0)
    for at in [*range(min(100, len(content))), *range(100, len(content), max(1, len(content) // 900))]:
        flipped = bytes([content[at] ^ 1 << rng.randrange(8)])
        with pytest.raises(ValueError):
            form.read(content[:at] + flipped + content[at + 1 :], known, tmp_path / "content")


@every_written_form
def test_other_versions_are_named(form, tmp_path):
    for version in (form.version + 1, 77, 255):
        with pytest.raises(
            ValueError, match=rf"has format version {version}; this imondrian reads version {form.version}$"
        ):
            form.read(form.sealed("{}", version), form.contents[0][1], tmp_path / "content")


@every_written_form
@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, '{"a":' * 100_000, '{"a":NaN}', '{"a":-1e999}', "1" * 5000, "[]", "{}", "3", "\u00e9"],
    ids=lambda text: f"{text:.12}-{len(text)}",
)
def test_headers_that_are_none(form, text, tmp_path):
    with pytest.raises(ValueError):
        form.read(form.sealed(text, form.version), form.contents[0][1], tmp_path / "content")


@every_form_with_arrays
@pytest.mark.parametrize(
    "shape", [[10**15], [2**31 - 1], [2**62, 4], [0, 10**15], [-1, -8], [True, 4], [3.0], "ab", None, [1] * 9]
)
def test_claims_of_room_are_not_believed(form, shape, tmp_path):
    """Shapes of arrays that the bytes do not have: nothing is allocated for them."""
    content, known = form.contents[0]
    for number in range(0, 30, 3):
        forged = form.claimed(content, number, None, shape)
        with pytest.raises(ValueError):
            within(lambda: form.read(forged, known, tmp_path / "content"), len(forged), (number, shape))  # noqa: B023


@every_form_with_arrays
@pytest.mark.parametrize("dtype", ["<f2", ">f8", "|O", "<U4", "|V8", "|V1000000000", "nonsense", None, "<c16", 3, []])
def test_types_that_no_form_holds(form, dtype, tmp_path):
    content, known = form.contents[0]
    for number in range(0, 30, 3):
        forged = form.claimed(content, number, dtype, None)
        with pytest.raises(ValueError):
            within(lambda: form.read(forged, known, tmp_path / "content"), len(forged), (number, dtype))  # noqa: B023


@every_form
def test_damage_and_forgeries_raise_or_do_no_harm(form, tmp_path):
    loaded = 0
    for seed in range(N_FILES):
        rng = random.Random(f"{form.name} {seed}")
        content, known = rng.choice(form.contents)
        content = form.damaged(rng, content)
        try:
            found = within(lambda: form.read(content, known, tmp_path / "content"), len(content), seed)  # noqa: B023
        except (ValueError, TypeError) as error:
            assert isinstance(error, ValueError) or form.name == "model of a key", seed  # whose caller tells the key
            continue
        loaded += 1
        try:
            with np.errstate(all="ignore"):
                form.ask(found)
        except (ValueError, MemoryError) as error:
            assert may_be_refused(error), (seed, error)
        if form.again:
            form.again(found, known, tmp_path / "content")
    assert form.least_loaded * N_FILES < loaded < 0.7 * N_FILES
