"""What calls teach about the network, the server and the device, smoothed for the policy. docs/client.md, "Execution".

All durations are differences of one clock's readings on one machine: no two clocks are ever compared.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

WEIGHT = 0.25  # of a new sample
FORGET_MS = 60_000.0  # after a minute networks are others: the next sample stands alone
WINDOW = 64  # durations
WINDOW_MS = 300_000.0
LEAST_UPLOAD_BYTES = 16_384  # a smaller body leaves in TCP's first window, with the round trip: RFC 6928
SMALL_BITS_PER_S = 1e9  # the uplink that counts for those
OWN_RUNS = 10  # of the device, from which on its own times count more than a profile's
_LEAST_MS = 0.05  # below it a clock's steps are most of a difference


class Smoothed:
    """An exponentially weighted mean, which begins anew after a minute without samples."""

    def __init__(self) -> None:
        self.value: float | None = None
        self._at_ms = 0.0

    def add(self, sample: float, now_ms: float) -> None:
        """Take a sample in."""
        fresh = self.value is not None and now_ms - self._at_ms <= FORGET_MS
        self.value = sample if self.value is None or not fresh else self.value + WEIGHT * (sample - self.value)
        self._at_ms = now_ms


class Durations:
    """The last 64 durations of the last five minutes."""

    def __init__(self) -> None:
        self._found: deque[tuple[float, float]] = deque(maxlen=WINDOW)

    def add(self, duration_ms: float, now_ms: float) -> None:
        """Take a duration in."""
        self._found.append((now_ms, duration_ms))

    def quantile(self, share: float, now_ms: float) -> float | None:
        """Return the duration of rank ⌈share · n⌉ (nearest rank); None without any."""
        recent = sorted(duration for at, duration in self._found if now_ms - at <= WINDOW_MS)
        return recent[max(math.ceil(share * len(recent)), 1) - 1] if recent else None

    def count(self, now_ms: float) -> int:
        """Return how many durations there are."""
        return sum(now_ms - at <= WINDOW_MS for at, _ in self._found)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, in milliseconds and bytes.

    `send_ms` is until the body was handed to the system, `wait_ms` from then to the answer's head. `server_ms` is what
    the server says it took, from the whole request to the answer; `connect_ms` what TCP took to connect, if it did.
    """

    payload_bytes: int
    send_ms: float
    wait_ms: float
    server_ms: float | None = None
    connect_ms: float | None = None


class ServerEstimates:
    """Round trip, uplink, and the server's own time."""

    def __init__(self) -> None:
        self.rtt_ms, self._uplink_bits_per_s = Smoothed(), Smoothed()
        self.times = Durations()
        self._busy_until_ms = 0.0

    def observe(self, exchange: Exchange, now_ms: float) -> None:
        """Learn from an answered request."""
        if exchange.connect_ms is not None:
            self.rtt_ms.add(exchange.connect_ms, now_ms)
        server_ms = exchange.server_ms
        if server_ms is None:
            server_ms = max(exchange.wait_ms - (self.rtt_ms.value or 0.0), 0.0)
        wire_ms = max(exchange.send_ms + exchange.wait_ms - server_ms, 0.0)
        if exchange.payload_bytes < LEAST_UPLOAD_BYTES:
            self.rtt_ms.add(wire_ms, now_ms)
        else:
            if self.rtt_ms.value is None or wire_ms < self.rtt_ms.value:
                self.rtt_ms.add(wire_ms, now_ms)
            upload_ms = max(wire_ms - (self.rtt_ms.value or 0.0), _LEAST_MS)
            self._uplink_bits_per_s.add(exchange.payload_bytes * 8000.0 / upload_ms, now_ms)
        self.times.add(server_ms, now_ms)

    def uplink_bits_per_s(self, payload_bytes: int) -> float | None:
        """Return the uplink for a body of a size; None if nothing is known."""
        return SMALL_BITS_PER_S if payload_bytes < LEAST_UPLOAD_BYTES else self._uplink_bits_per_s.value

    def gave_up(self, after_ms: float, now_ms: float) -> None:
        """Learn from a request that was given up: the server took at least so long, less what the network takes."""
        known = self.times.quantile(0.9, now_ms)
        least_ms = after_ms - (self.rtt_ms.value or 0.0)
        if known is not None and least_ms > known:
            self.times.add(least_ms, now_ms)

    def announced(self, retry_after_s: int, now_ms: float) -> None:
        """Remember until when the server said that it is busy."""
        self._busy_until_ms = max(self._busy_until_ms, now_ms + retry_after_s * 1000.0)

    def queue_ms(self, now_ms: float) -> float:
        """Return the wait that the server announced."""
        return max(self._busy_until_ms - now_ms, 0.0)


class DeviceEstimates:
    """The device's own time while it is cool; a profile's until enough runs are known."""

    def __init__(self, profiled_p90_ms: float | None = None) -> None:
        self._profiled_p90_ms = profiled_p90_ms
        self._times = Durations()

    def observe(self, duration_ms: float, now_ms: float, *, cool: bool) -> None:
        """Learn from a run with preprocessing and decoding, without waiting and without loading the model."""
        if cool:
            self._times.add(duration_ms, now_ms)

    def p90_ms(self, now_ms: float) -> float | None:
        """Return the 90th percentile, None if nothing is known."""
        if self._profiled_p90_ms is not None and self._times.count(now_ms) < OWN_RUNS:
            return self._profiled_p90_ms
        return self._times.quantile(0.9, now_ms)
