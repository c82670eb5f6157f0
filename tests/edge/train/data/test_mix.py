"""Mixes and endless sequences: exact ratios, every item in its turn, the same from anywhere."""

import collections
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import UsageError
from edge.train.data.mix import mix, shuffled
from edge.train.data.stream import stream


class Numbers:
    """An endless sequence that says what was asked of it."""

    def __init__(self, name):
        self.name = name

    def __getitem__(self, index):
        return self.name, index


@given(
    shares=st.lists(st.integers(0, 6), min_size=1, max_size=4).filter(any),
    seed=st.integers(0, 99),
    rounds=st.integers(1, 5),
)
def test_every_round_has_its_shares_and_every_source_is_read_in_order(shares, seed, rounds):
    mixed = mix([Numbers(i) for i in range(len(shares))], shares, seed)
    found = collections.defaultdict(list)
    for index in range(rounds * sum(shares)):
        source, place = mixed[index]
        found[source].append(place)
    for source, share in enumerate(shares):
        assert found[source] == list(range(rounds * share))


def test_sources_alternate_at_random_not_in_blocks():
    mixed = mix([Numbers("a"), Numbers("b")], [8, 8], 0)
    first = [mixed[i][0] for i in range(16)]
    assert sum(a != b for a, b in itertools.pairwise(first)) > 3
    assert first != [mixed[i][0] for i in range(16, 32)]


def test_a_finite_set_is_repeated_in_other_orders():
    endless = shuffled(list(range(7)), 1)
    rounds = [[endless[turn * 7 + i] for i in range(7)] for turn in range(3)]
    assert all(sorted(found) == list(range(7)) for found in rounds)
    assert len({tuple(found) for found in rounds}) == 3
    assert [shuffled(list(range(7)), 1)[i] for i in (20, 3)] == [endless[20], endless[3]]


def test_what_cannot_be_mixed_is_refused():
    with pytest.raises(UsageError, match="as many shares"):
        mix([Numbers("a")], [1, 2], 0)
    with pytest.raises(UsageError, match="one above 0"):
        mix([Numbers("a")], [0], 0)
    with pytest.raises(UsageError, match="empty"):
        shuffled([], 0)


class Squares:
    """Small arrays by index."""

    def __getitem__(self, index):
        return np.array([index, index * index])


def together(items):
    return {"numbers": np.stack(items)}


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_whatever_the_number_of_workers(workers):
    batches = list(stream(Squares(), batch=3, collate=together, start=2, count=7, workers=workers))
    assert [batch["numbers"][:, 0].tolist() for batch in batches] == [[2, 3, 4], [5, 6, 7], [8]]


def test_without_a_count_it_never_ends():
    batches = stream(Squares(), batch=2, collate=together, start=10)
    assert [next(batches)["numbers"][0, 0].item() for _ in range(4)] == [10, 12, 14, 16]
