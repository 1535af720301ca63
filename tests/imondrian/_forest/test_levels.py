"""Words of levels: what is hashed, and what of the hash stands in rows."""

import decimal
import enum
import fractions
import hashlib
import math
import subprocess
import sys
import unicodedata

import numpy as np
import pandas as pd
import pytest

from imondrian._forest.levels import (
    FALSE,
    TRUE,
    is_level,
    narrowed,
    numbers_of_truths,
    word,
    word_of,
    words_of,
    words_of_codes,
    words_of_numbers,
)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Spelled(enum.StrEnum):
    RED = "red"


class Numbered(enum.IntEnum):
    ONE = 1


FORMS = [
    ("a", b"ta"),
    ("", b"t"),
    ("é", b"t\xc3\xa9"),
    ("\ud800", b"t\xed\xa0\x80"),
    (np.str_("a"), b"ta"),
    (Spelled.RED, b"tred"),
    (b"a", b"ba"),
    (np.bytes_(b"a"), b"ba"),
    (Colour.RED, b"eColour.RED"),
    (True, b"n1/1"),
    (np.bool_(False), b"n0/1"),
    (Numbered.ONE, b"n1/1"),
    (255, b"nff/1"),
    (-2.5, b"n-5/2"),
    (np.int8(-3), b"n-3/1"),
    (np.float32(0.5), b"n1/2"),
    (10**30, b"n%x/1" % 10**30),
    (fractions.Fraction(1, 3), b"n1/3"),
    (decimal.Decimal("0.125"), b"n1/8"),
]


def expected(form):
    """The bits of a word, from the documented rule."""
    bits = bytearray(hashlib.blake2b(form, digest_size=8).digest())
    bits[7] &= 0b10111111
    bits[0] |= 1
    return bytes(bits)


@pytest.mark.parametrize(("level", "form"), FORMS, ids=str)
def test_words_are_the_documented_hash(level, form):
    bits = expected(form)
    assert np.float64(word_of(level)).tobytes() == bits
    single = bytearray(bits[4:])
    single[0] |= 1
    assert narrowed(np.array([word_of(level)]), np.float32).tobytes() == bytes(single)
    assert words_of([level], np.float32).tobytes() == bytes(single)


def test_words_are_finite_and_never_zero():
    words = words_of([f"level {k}" for k in range(20_000)])
    assert np.isfinite(words).all() and (words != 0).all() and len(set(words)) == len(words)
    single = narrowed(words, np.float32)
    assert single.dtype == np.float32 and np.isfinite(single).all() and (single != 0).all()
    # A float32 survives a float64, as validation may take it there and back.
    np.testing.assert_array_equal(single.astype(np.float64).astype(np.float32).view("u4"), single.view("u4"))


def test_levels_that_differ_in_anything_differ():
    same = [
        "café",
        unicodedata.normalize("NFD", "café"),
        "Café",
        " café",
        "café ",
        b"caf\xc3\xa9",
        "1",
        1,
        b"1",
        Colour.RED,
    ]
    assert len({word_of(level) for level in same}) == len(same)


def test_equal_numbers_are_one_level_of_whatever_type():
    ones = [1, 1.0, True, np.int64(1), np.float32(1), decimal.Decimal(1), fractions.Fraction(1), Numbered.ONE]
    assert {word_of(one) for one in ones} == {TRUE} and word_of(0) == FALSE == word_of(-0.0)
    np.testing.assert_array_equal(
        words_of_numbers(np.array([[1.0, 0.0], [math.nan, 1.0]])), [[TRUE, FALSE], [math.nan, TRUE]]
    )


def test_missing_is_nan():
    missing = [None, math.nan, np.float32("nan"), pd.NA, pd.NaT, decimal.Decimal("nan"), np.ma.masked]
    assert np.isnan(words_of(missing)).all() and np.isnan(words_of(missing, np.float32)).all()
    np.testing.assert_array_equal(words_of_codes(np.array([0, -1, 1]), ["a", None]), [word_of("a"), math.nan, math.nan])


NO_LEVELS = [pd.Timestamp(0), 1j, (1, 2), [1], object(), pd.Interval(0, 1)]


@pytest.mark.parametrize("value", NO_LEVELS, ids=lambda value: type(value).__name__)
def test_what_is_no_level(value):
    assert not is_level(value)
    with pytest.raises(TypeError):
        word_of(value)


@pytest.mark.parametrize(
    "value", [math.inf, decimal.Decimal("inf"), decimal.Decimal("1e999999"), decimal.Decimal("1e-999999")], ids=str
)
def test_numbers_out_of_range(value):
    with pytest.raises(ValueError):
        word_of(value)


def test_which_values_of_a_point_are_categories():
    assert all(map(is_level, ["", "a", b"", True, np.bool_(False), np.str_("a"), Colour.RED, Spelled.RED]))
    assert not any(map(is_level, [1, 1.0, None, math.nan, np.int64(1), Numbered.ONE, decimal.Decimal(1), pd.NA]))


def test_words_are_the_same_in_another_process():
    code = "from imondrian._forest.levels import word_of; print(word_of('a').hex(), word_of(True).hex())"
    told = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2")
    }
    assert told == {f"{word_of('a').hex()} {TRUE.hex()}\n"}


def test_the_memory_of_words_is_bounded():
    from imondrian._forest import levels

    for k in range(levels._CACHED + 500):
        word(f"level {k}")
    long = "x" * 10_000
    before = levels._remembered.cache_info()
    assert word(long) == word_of(long) and levels._remembered.cache_info() == before
    assert before.currsize == before.maxsize == levels._CACHED


def test_truth_values_become_numbers_again():
    np.testing.assert_array_equal(numbers_of_truths(np.array([TRUE, FALSE, math.nan])), [1.0, 0.0, math.nan])
    assert numbers_of_truths(np.array([TRUE, word_of("a")])) is None
