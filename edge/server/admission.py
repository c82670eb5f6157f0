"""How many requests a replica takes at once: a bounded queue that says when to come back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from edge.serve.errors import Busy

_SMOOTHING = 0.2  # of the newest request in the smoothed time
_LONGEST_S = 60


class Admission:
    """Count the requests inside and refuse more than `most`; used from one event loop."""

    def __init__(self, most: int) -> None:
        self.most, self.inside, self.refused = most, 0, 0
        self._seconds = 0.0  # one request's share of the replica, smoothed

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Hold a place; raises Busy with the seconds after which one is likely to be free."""
        self.check()
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    def check(self) -> None:
        """Raise Busy if there is no place now."""
        if self.inside >= self.most:
            self.refused += 1
            raise Busy(f"{self.inside} requests are waiting, which is all that are taken; come back", self.wait_s())

    def note(self, seconds: float) -> None:
        """Take note of a batch's time divided by its requests, in seconds."""
        self._seconds = seconds if not self._seconds else self._seconds + _SMOOTHING * (seconds - self._seconds)

    def wait_s(self) -> int:
        """Return how long all that are inside will take, in whole seconds from 1."""
        return min(max(1, math.ceil(self.inside * self._seconds)), _LONGEST_S)
