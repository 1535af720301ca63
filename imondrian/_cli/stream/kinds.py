"""What the fields of a stream hold: numbers, categories, or what is left out. A field's first value decides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from imondrian._cli.dialect import is_category, is_date
from imondrian._forest.levels import word, word_of
from imondrian._kit import terminal

NUMBER, NOMINAL, LEFT_OUT = "numbers", "categories", "nothing"
_LOOKED_AT, _MOST_DISTINCT = 100, 95  # values of a field of text; distinct ones among them, unless they are ids


class Kinds:
    """Decides, remembers and tells what fields hold.

    Parameters
    ----------
    nominal, numeric : collection of str
        Fields that shall be categories, whatever they hold, and those that shall not.
    known : mapping
        What a model knows already: whether a field is nominal.
    chosen : bool
        All fields were named: none is left out.
    quiet : bool

    Attributes
    ----------
    left_out : set of str
    """

    def __init__(
        self,
        nominal: Collection[str] = (),
        numeric: Collection[str] = (),
        known: Mapping[Any, bool] | None = None,
        chosen: bool = False,
        quiet: bool = False,
    ) -> None:
        self._asked, self._chosen, self._quiet = frozenset(nominal), chosen, quiet
        self._kinds: dict[str, str] = {name: NOMINAL if kind else NUMBER for name, kind in (known or {}).items()}
        self._kinds |= dict.fromkeys(numeric, NUMBER) | dict.fromkeys(nominal, NOMINAL)
        self.left_out: set[str] = set()
        self._seen: dict[str, list[Any]] = {}
        self._untold: dict[str, list[str]] = {}

    @classmethod
    def of_numbers(cls) -> Kinds:
        """Return what is known where all fields are numbers."""
        found = cls()
        found._kinds = defaultdict(lambda: NUMBER)
        return found

    def of(self, name: str) -> str | None:
        """Return what a field holds; None while that is not known."""
        return self._kinds[name] if isinstance(self._kinds, defaultdict) else self._kinds.get(name)

    def has_categories(self, fields: Sequence[str]) -> bool:
        """Return whether some of these fields are no numbers, as far as that is known."""
        return any(self._kinds.get(name) in (NOMINAL, LEFT_OUT) for name in fields)

    def is_forced(self, name: str) -> bool:
        """Return whether a field shall be categories, whatever it holds."""
        return name in self._asked

    def guess(self, name: str, value: Any) -> str:
        """Return what a field holds whose first value this is."""
        if isinstance(value, str) and is_date(value) and not self._chosen:
            return LEFT_OUT
        if isinstance(value, str) and not is_category(value):
            return NUMBER  # which it will be found not to be
        return NOMINAL if isinstance(value, (str, bool)) else NUMBER

    def learn(self, found: Mapping[str, tuple[str, Any]]) -> None:
        """Take in what fields of a good record hold, each with its value."""
        for name, (kind, value) in found.items():
            if name not in self._kinds:
                self._kinds[name] = kind
                if kind == LEFT_OUT:
                    self._leave_out(name, "dates or times")
                elif isinstance(value, str) and kind == NOMINAL:
                    self._untold.setdefault("text", []).append(name)
            if isinstance(value, str) and kind == NOMINAL and not self._chosen and name not in self._asked:
                self._look_at(name, value)

    def learn_numbers(self, fields: Sequence[str], values: np.ndarray) -> None:
        """Take in that fields hold numbers, where they have any."""
        for j, name in enumerate(fields):
            if name not in self._kinds and not np.isnan(values[:, j]).all():
                self._kinds[name] = NUMBER

    def _look_at(self, name: str, value: str) -> None:
        seen = self._seen.setdefault(name, [])
        if len(seen) < _LOOKED_AT:
            seen.append(word(value))
            if len(seen) == _LOOKED_AT and len(set(seen)) >= _MOST_DISTINCT:
                self._kinds[name] = LEFT_OUT
                self._leave_out(name, "a text of its own in nearly every record")

    def _leave_out(self, name: str, why: str) -> None:
        self.left_out.add(name)
        self._untold.setdefault(why, []).append(name)

    def tell(self) -> None:
        """Tell what was decided since the last time."""
        for why, names in self._untold.items():
            told = ", ".join(names)
            if why == "text":
                terminal.note(f"text is taken for categories: {told}; --exclude A,B leaves fields out", self._quiet)
            else:
                terminal.note(f"left out, for {why}: {told}; --nominal A,B takes them for categories", self._quiet)
        self._untold = {}


def level_word(value: Any) -> float:
    """Return the word of a value that shall be a category."""
    return word(value) if isinstance(value, (str, bool)) else word_of(value)


def settled(kinds: Kinds, fields: Sequence[str], values: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Return the columns to take of read records, and which of these are categories.

    A field that is left out from some record on has values before: what is taken never depends on how records are
    parted into tables.
    """
    told = [kinds.of(name) for name in fields]
    there = ~np.isnan(values).all(axis=0) if len(values) else np.zeros(len(fields), bool)
    chosen = [j for j, kind in enumerate(told) if kind != LEFT_OUT or there[j]]
    return chosen, np.array([told[j] in (NOMINAL, LEFT_OUT) for j in chosen], bool)
