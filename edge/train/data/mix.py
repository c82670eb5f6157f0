"""Endless sequences out of finite ones, and mixes of several in a stated ratio; random access, so that runs resume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np

from edge.errors import UsageError
from edge.train.data.sample import Endless, Finite

Item = TypeVar("Item")
_ORDER, _SLOTS = 11, 12  # streams of random numbers of one seed


@dataclass(frozen=True, slots=True)
class Shuffled(Generic[Item]):
    """Repeat a finite sequence for ever, in another order every time; every item has its turn before a second one."""

    items: Finite[Item]
    seed: int

    def __getitem__(self, index: int) -> Item:
        """Return the item of an index ≥ 0."""
        turn, place = divmod(index, len(self.items))
        return self.items[int(_order(self.seed, _ORDER, turn, len(self.items))[place])]


def shuffled(items: Finite[Item], seed: int) -> Shuffled[Item]:
    """Return an endless sequence of the items; raises UsageError if there is none."""
    if len(items) == 0:
        raise UsageError("there is nothing to repeat: the set to train on is empty")
    return Shuffled(items, seed)


@dataclass(frozen=True, slots=True)
class Mix(Generic[Item]):
    """Take items of several sequences, so many of each in every round, in a random order within the round."""

    sources: tuple[Endless[Item], ...]
    shares: tuple[int, ...]
    seed: int

    def __getitem__(self, index: int) -> Item:
        """Return the item of an index ≥ 0."""
        source, place = self.locate(index)
        return self.sources[source][place]

    def locate(self, index: int) -> tuple[int, int]:
        """Return which source an index is taken from, and the index in it."""
        length = sum(self.shares)
        turn, place = divmod(index, length)
        slots = np.repeat(np.arange(len(self.shares)), self.shares)[_order(self.seed, _SLOTS, turn, length)]
        source = int(slots[place])
        return source, turn * self.shares[source] + int((slots[:place] == source).sum())


def mix(sources: Sequence[Endless[Item]], ratio: Sequence[int], seed: int) -> Mix[Item]:
    """Return a mix of endless sequences: of every sum(ratio) items, ratio[i] are the i-th sequence's.

    Raises UsageError if there are not as many whole numbers ≥ 0 as sequences, or only zeros.
    """
    if len(sources) != len(ratio) or any(share < 0 for share in ratio) or sum(ratio) == 0:
        raise UsageError(
            f"a mix of {len(sources)} sources needs as many shares, one above 0 at least; got {list(ratio)}"
        )
    return Mix(tuple(sources), tuple(int(share) for share in ratio), seed)


@lru_cache(maxsize=64)
def _order(seed: int, stream: int, turn: int, length: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    return np.random.default_rng((seed, stream, turn)).permutation(length)
