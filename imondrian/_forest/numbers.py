"""What a number is, and what a missing one: one rule for every way into a forest.

- **Numbers** are ``int``, ``float``, ``fractions.Fraction`` and ``decimal.Decimal``, NumPy's scalars of integers and
  floats, and arrays or tensors of one such value without axes. They are rounded to the forest's precision.
- **Categories** are text, bytes, truth values and members of enums (``levels.py``), and in tables whatever has a
  type of categories. Arrays of booleans stay numbers.
- **Missing** are None, NaN of any of these types, ``pandas.NA``, a masked entry, a null of a table's column, and a key
  that is left out.
- **Infinite** values, and numbers too large for a float, are a ValueError.
- **Everything else is a TypeError that names the field or the column**: dates, times and durations (also missing ones,
  NaT: what unit would they be in?), complex numbers, lists, dicts, arrays with axes.

In a table it is the column's type that decides (``tables.py``).
"""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from imondrian._core import row_of as row_of  # points of the usual types, quickly; None for all others

from .levels import is_level, word

PLAIN = "biuf"  # kinds of NumPy types that are real numbers


def number(value: Any) -> float:
    """Return a value as a float, NaN where it is missing.

    TypeError for what is no number, ValueError for what is infinite as a float.
    """
    if value is None or value is np.ma.masked or _is_na(value):
        return math.nan
    if isinstance(value, (np.ndarray, np.generic)):
        if value.ndim or value.dtype.kind not in PLAIN:
            raise TypeError
        value = value.item() if value.dtype.itemsize <= 8 else float(value)
    elif not isinstance(value, (numbers.Real, Decimal)):
        # Tensors and other libraries' scalars.
        if getattr(value, "ndim", None) != 0 or getattr(value, "shape", None) != () or not hasattr(value, "item"):
            raise TypeError
        value = value.item()
        if not isinstance(value, numbers.Real):
            raise TypeError
    if isinstance(value, Decimal) and value.is_nan():
        return math.nan
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if math.isinf(found):
        raise ValueError
    return found


def _is_na(value: Any) -> bool:
    pandas = sys.modules.get("pandas")  # what was never imported is nobody's
    return pandas is not None and value is pandas.NA


def shown(value: Any) -> str:
    """Return a value as messages show it: short, and without the digits of huge ones."""
    kind = type(value).__name__
    if isinstance(value, int) and value.bit_length() > 256:
        return f"{kind} of {value.bit_length():,} bits"
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than some thousand digits
        return kind
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({kind})"


# -- one point -------------------------------------------------------------------------------------


def record(x: Any) -> dict[Any, Any]:
    """Return a point as a dict, and no subclass: of a mapping, a pandas Series, or a record of NumPy."""
    if type(x) is dict:
        return x
    if isinstance(x, Mapping):
        return dict(x.items())
    if isinstance(x, np.void) and x.dtype.names:
        return {name: x[name] for name in x.dtype.names}
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(x, pandas.Series):
        if not x.index.is_unique:
            raise ValueError(f"x must have distinct keys, got {x.index[x.index.duplicated()][0]!r} more than once")
        return dict(x.items())
    advice = "; tables go to the methods whose names end in _many" if getattr(x, "ndim", 0) == 2 else ""
    if getattr(x, "ndim", 0) == 1 or isinstance(x, (list, tuple)):
        advice = "; dict(enumerate(x)) makes one"
    raise TypeError(f"x must be a dict of numbers by feature, got {type(x).__name__}{advice}")


def values_of(x: dict[Any, Any]) -> tuple[dict[Any, float], set[Any]]:
    """Return the values of a point as floats, categories as words, and the keys of these."""
    values, nominal = {}, set()
    for key, value in x.items():
        if is_level(value):
            values[key] = word(value)
            nominal.add(key)
        else:
            values[key] = named_number(value, f"x[{key!r}]")
    return values, nominal


def named_number(value: Any, name: str) -> float:
    """Return a value as a float, NaN where it is missing; errors tell of ``name``."""
    try:
        return number(value)
    except TypeError:
        raise TypeError(f"{name} must be a number, got {shown(value)}") from None
    except ValueError:
        raise ValueError(f"{name} must be finite, got {shown(value)}") from None
