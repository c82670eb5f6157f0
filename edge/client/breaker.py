"""A circuit breaker: what fails most of the time is left alone for a while. docs/client.md, "Execution".

After Nygard, "Release It!" (2007). Not thread-safe: it belongs to one event loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

State = Literal["closed", "half_open", "open"]
Result = Literal["succeeded", "failed", "undecided"]
Clock = Callable[[], float]  # milliseconds, never going back

WINDOW_MS = 10_000.0
LEAST_RESULTS = 10
FAILED_SHARE = 0.5
OPEN_MS = 5_000.0  # doubled every time that a probe fails
LONGEST_OPEN_MS = 60_000.0


class Admission:
    """The right to make one request; `settle` says how it went, once."""

    def __init__(self, breaker: Breaker, *, probe: bool) -> None:
        self._breaker, self.probe, self._settled = breaker, probe, False

    def settle(self, result: Result) -> None:
        """Tell the breaker; later calls change nothing."""
        if not self._settled:
            self._settled = True
            self._breaker._settle(result, self.probe)


class Breaker:
    """Count results over 10 s and open when half of at least 10 failed; `clock` is in milliseconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._results: deque[tuple[float, bool]] = deque()  # when, and whether it failed
        self._open_until: float | None = None
        self._openings = 0  # in a row
        self._probing = False

    @property
    def state(self) -> State:
        """Return the state for the next call: beside a probe it is `open`."""
        if self._open_until is None:
            return "closed"
        return "half_open" if self._clock() >= self._open_until and not self._probing else "open"

    def admit(self) -> Admission | None:
        """Return the right to make a request, None while the breaker is open."""
        state = self.state
        if state == "open":
            return None
        self._probing = state == "half_open"
        return Admission(self, probe=self._probing)

    def _settle(self, result: Result, probe: bool) -> None:
        if probe:
            self._probing = False
            if result == "failed":
                self._open()
            elif result == "succeeded":
                self._open_until, self._openings = None, 0
        elif result != "undecided" and self._open_until is None:  # what began before it opened says nothing new
            self._count(result == "failed")

    def _count(self, failed: bool) -> None:
        now = self._clock()
        self._results.append((now, failed))
        while self._results[0][0] <= now - WINDOW_MS:
            self._results.popleft()
        failures = sum(failure for _, failure in self._results)
        if len(self._results) >= LEAST_RESULTS and failures >= FAILED_SHARE * len(self._results):
            self._open()

    def _open(self) -> None:
        self._open_until = self._clock() + min(OPEN_MS * 2.0**self._openings, LONGEST_OPEN_MS)
        self._openings = min(self._openings + 1, 16)
        self._results.clear()
