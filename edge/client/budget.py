"""Retries: at most one a call, at most a tenth of all calls, and only where there is time. docs/client.md, "Execution".

Source: Google, "Site Reliability Engineering" (2016), chapter 21: a client-wide budget keeps an overload from doubling.
"""

from __future__ import annotations

from collections.abc import Callable

SHARE = 0.1  # of the calls
MOST_TOKENS = 10.0
FIRST_TOKENS = 1.0
BACKOFF_MS = (50.0, 150.0)  # before a retry that the server named no time for
JITTER = 0.25  # of the time that the server named, added at random so that clients do not return together
LONGEST_RETRY_AFTER_S = 60


class RetryBudget:
    """Earn a tenth of a retry with every call; a retry costs a whole one."""

    def __init__(self) -> None:
        self._tokens = FIRST_TOKENS

    def earn(self) -> None:
        """Count a call that sends its first request."""
        self._tokens = min(self._tokens + SHARE, MOST_TOKENS)

    def spend(self) -> bool:
        """Take a retry out of the budget, and say whether there was one."""
        if self._tokens < 1.0 - 1e-9:
            return False
        self._tokens -= 1.0
        return True


def retry_delay_ms(retry_after_s: int | None, random: Callable[[], float]) -> float:
    """Return how long to wait before a retry; `random` returns a number in [0, 1)."""
    if retry_after_s is None:
        low, high = BACKOFF_MS
        return low + (high - low) * random()
    return min(retry_after_s, LONGEST_RETRY_AFTER_S) * 1000.0 * (1.0 + JITTER * random())


def leaves_time(delay_ms: float, expected_ms: float | None, left_ms: float) -> bool:
    """Say whether a retry can still answer in time; an unknown duration is taken to be short."""
    return delay_ms + (expected_ms or 0.0) < left_ms
