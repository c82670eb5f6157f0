"""How often a token may ask: a token bucket each, kept as the one time at which it will be full again.

The generic cell rate algorithm (ITU-T I.371): a request moves that time on by 1 / rate, and is refused while the bucket
would be more than empty. A bucket that is full is one that does not exist, so memory grows with those in use only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from edge.errors import UsageError
from edge.serve.errors import TooManyRequests
from edge.server.tokens import Grant

BURST_S = 10  # of the rate's requests may come at once; one may always
MOST = 65_536  # buckets that are not full at once
_SECOND, _MINUTE = 10**9, 60 * 10**9  # ns: whole numbers do not drift


class Rates:
    """Count requests by token; used from one event loop, without a lock.

    In any span of s seconds a token is let in `burst + share · requests_per_minute · s / 60` times at most. `share` is
    this process's part of the limit, 1 / replicas where requests are spread over them; it may change at any time.
    """

    def __init__(self, share: float = 1.0, clock: Callable[[], int] = time.monotonic_ns, most: int = MOST) -> None:
        """Start with full buckets; `clock` is monotonic, in ns. Raises UsageError for a share out of (0, 1]."""
        self._clock, self._most = clock, most
        self._full_at: dict[str, int] = {}
        self.share = share

    @property
    def share(self) -> float:
        """This process's part of every token's limit."""
        return self._share

    @share.setter
    def share(self, share: float) -> None:
        if not 0 < share <= 1:
            raise UsageError(f"share {share} of a rate is not above 0 and at most 1")
        self._share = share

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, grant: Grant) -> None:
        """Count one request; raises TooManyRequests with the whole seconds after which one will be let in."""
        if grant.requests_per_minute is None:
            return
        now, interval = self._clock(), interval_ns(grant.requests_per_minute, self._share)
        full_at = max(self._full_at.get(grant.id, now), now)
        over = full_at - now - (burst(interval) - 1) * interval
        if over > 0:
            raise TooManyRequests(
                f"token {grant.id} may ask {grant.requests_per_minute} times a minute; come back",
                math.ceil(over / _SECOND),
            )
        if grant.id not in self._full_at:
            self._make_room(now)
        self._full_at[grant.id] = full_at + interval

    def _make_room(self, now: int) -> None:
        """Forget full buckets; refuse a new one rather than forget what another token has used."""
        if len(self._full_at) < self._most:
            return
        self._full_at = {name: full_at for name, full_at in self._full_at.items() if full_at > now}
        if len(self._full_at) >= self._most:
            raise TooManyRequests(f"{self._most} tokens are asking at once, which is all that are counted; come back")


def interval_ns(requests_per_minute: int, share: float) -> int:
    """Return the time between two requests at the limit, in nanoseconds; rounded up, so that the limit holds."""
    return math.ceil(_MINUTE / (requests_per_minute * share))


def burst(interval: int) -> int:
    """Return how many requests may come at once."""
    return max(1, BURST_S * _SECOND // interval)
