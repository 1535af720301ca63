"""Which keys' models are in memory, and which leave it for others."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator

from imondrian._models.stream import StreamModel

from .pending_points import Young

YOUNG_A_MODEL = 10  # a young one takes a hundredth of a model's memory


class Held:
    """What is in memory of a key."""

    __slots__ = ("changed", "learner", "size")

    def __init__(self, learner: Young | StreamModel, changed: bool) -> None:
        self.learner, self.changed, self.size = learner, changed, 0


class KeyMemory:
    """The keys used last: models, and beside them keys that have no model yet.

    Parameters
    ----------
    max_models : int
        Models at a time; of young ones ten times as many.
    max_bytes : int, optional
        Of both, but for the one in use.
    write : callable
        Called with the key and what is held of it before it leaves.

    Attributes
    ----------
    n_spills : int
        How many have left.
    """

    def __init__(self, max_models: int, max_bytes: int | None, write: Callable[[str, Held], None]) -> None:
        self._most = {True: YOUNG_A_MODEL * max_models, False: max_models}
        self.max_models, self.max_bytes, self._write = max_models, max_bytes, write
        self._held: dict[bool, OrderedDict[str, Held]] = {False: OrderedDict(), True: OrderedDict()}  # by "is young"
        self._bytes = self.n_spills = 0

    def get(self, key: str) -> Held | None:
        """Return what is held of a key; it is the last one used now."""
        for held in self._held.values():
            if (found := held.get(key)) is not None:
                held.move_to_end(key)
                return found
        return None

    def hold(self, key: str, new: Held) -> Held:
        """Hold one more key."""
        is_young = isinstance(new.learner, Young)
        while len(self._held[is_young]) >= self._most[is_young]:
            self._spill(is_young)
        self._held[is_young][key] = new
        return new

    def used(self, key: str, held: Held) -> None:
        """Note that a key has learnt: it may have grown, or has a model now."""
        if not isinstance(held.learner, Young) and key in self._held[True]:
            del self._held[True][key]
            self.hold(key, held)
        if self.max_bytes is None:
            return
        size = sys.getsizeof(held.learner)
        self._bytes += size - held.size
        held.size = size
        for is_young, others in self._held.items():
            while self._bytes > self.max_bytes and others and next(iter(others)) != key:
                self._spill(is_young)

    def _spill(self, is_young: bool) -> None:
        key, held = next(iter(self._held[is_young].items()))
        self._write(key, held)
        self.remove(key)
        self.n_spills += 1

    def remove(self, key: str) -> None:
        """Hold a key no longer, without writing it."""
        for held in self._held.values():
            if (found := held.pop(key, None)) is not None:
                self._bytes -= found.size

    def items(self) -> Iterator[tuple[str, Held]]:
        """Return all that is held."""
        for held in self._held.values():
            yield from held.items()

    def clear(self) -> None:
        """Hold nothing."""
        for held in self._held.values():
            held.clear()
        self._bytes = 0
