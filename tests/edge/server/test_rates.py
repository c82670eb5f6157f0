"""Rates against a clock that only the test moves: never above the limit, and the time to come back is right."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import UsageError
from edge.serve.errors import TooManyRequests
from edge.server.rates import BURST_S, Rates, burst, interval_ns
from edge.server.tokens import Grant

SECOND = 10**9


class Clock:
    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now


def grant(per_minute, name="app-1"):
    return Grant(id=name, client="app", requests_per_minute=per_minute)


def ask(rates, to):
    """Return None for a request that is let in, else the seconds after which one will be."""
    try:
        rates.take(to)
    except TooManyRequests as error:
        return error.retry_after_s
    return None


limits = st.integers(1, 600_000)
shares = st.one_of(st.just(1.0), st.floats(0.01, 1.0))
gaps = st.lists(st.integers(0, 30 * SECOND) | st.integers(0, SECOND // 100), min_size=1, max_size=40)


@given(per_minute=limits, share=shares, gaps=gaps)
def test_no_span_has_more_than_the_limit_and_the_burst(per_minute, share, gaps):
    clock, let_in = Clock(), []
    rates = Rates(share, clock)
    for gap in gaps:
        clock.now += gap
        for _ in range(5):
            if ask(rates, grant(per_minute)) is None:
                let_in.append(clock.now)
    most = burst(interval_ns(per_minute, share))
    for first, last in itertools.combinations(range(len(let_in)), 2):
        span_s = (let_in[last] - let_in[first]) / SECOND
        assert last - first + 1 <= most + share * per_minute * span_s / 60 + 1e-6


@given(per_minute=limits, share=shares, gaps=gaps)
def test_who_waits_as_told_is_let_in_and_a_second_less_may_not_do(per_minute, share, gaps):
    clock = Clock()
    rates = Rates(share, clock)
    for gap in gaps:
        clock.now += gap
        wait = ask(rates, grant(per_minute))
        if wait is not None:
            assert wait >= 1
            clock.now += wait * SECOND
            assert ask(rates, grant(per_minute)) is None


@given(per_minute=limits, share=shares, steps=st.integers(1, 60))
def test_who_keeps_to_the_limit_is_never_refused(per_minute, share, steps):
    clock = Clock()
    rates = Rates(share, clock)
    for _ in range(steps):
        assert ask(rates, grant(per_minute)) is None
        clock.now += interval_ns(per_minute, share)


def test_the_burst_is_ten_seconds_of_the_rate_and_one_at_least():
    for per_minute, share, most in ((600, 1.0, 100), (600, 0.25, 25), (60, 1.0, 10), (1, 1.0, 1), (1, 0.01, 1)):
        rates = Rates(share, Clock())
        assert sum(ask(rates, grant(per_minute)) is None for _ in range(most + 5)) == most
    assert BURST_S == 10


def test_tokens_do_not_take_from_each_other_and_no_limit_is_none():
    rates = Rates(1.0, Clock())
    assert ask(rates, grant(1, "a-1")) is None
    assert ask(rates, grant(1, "a-1")) == 60
    assert ask(rates, grant(1, "a-2")) is None
    assert all(ask(rates, grant(None, "b-1")) is None for _ in range(1000))
    assert len(rates) == 2


def test_the_share_may_change_and_has_to_be_one():
    clock = Clock()
    rates = Rates(1.0, clock)
    while ask(rates, grant(60)) is None:
        pass
    rates.share = 0.5
    clock.now += 10 * SECOND
    assert sum(ask(rates, grant(60)) is None for _ in range(20)) == 5
    for share in (0, -1, 1.01, float("nan")):
        with pytest.raises(UsageError, match="share"):
            rates.share = share
        with pytest.raises(UsageError, match="share"):
            Rates(share)
    assert rates.share == 0.5


def test_memory_is_bounded_and_full_buckets_are_forgotten():
    clock = Clock()
    rates = Rates(1.0, clock, most=8)
    for i in range(8):
        assert ask(rates, grant(60, f"a-{i}")) is None
    assert ask(rates, grant(60, "b-0")) == 1  # nobody's use is forgotten for it
    assert ask(rates, grant(60, "a-0")) is None
    clock.now += 2 * SECOND
    for i in range(8):
        assert ask(rates, grant(60, f"b-{i}")) is None
    assert len(rates) == 8


def test_the_message_names_the_limit():
    rates = Rates(1.0, Clock())
    rates.take(grant(2))
    with pytest.raises(TooManyRequests, match="token app-1 may ask 2 times a minute"):
        rates.take(grant(2))
