"""Wait until a device is cool, as it was before the first launch, before anything is measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from edge.profile.records import DeviceState, Gate, Thermal

HOTTEST_C = 37.0  # of battery and skin: above it phones have begun to slow down
NEAR_C = 1.0  # to the temperature before the first launch
PATIENCE_S = 600.0
_EVERY_S = 5.0
_LEVELS: tuple[Thermal, ...] = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
Read = Callable[[], DeviceState]


@dataclass(slots=True)
class ThermalGate:
    """Hold launches back while a phone is hot; a device that tells no battery or skin temperature has no gate."""

    read: Read
    patience_s: float = PATIENCE_S
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    outcome: Gate = "unavailable"
    reason: str = "the device tells neither its thermal status nor the temperature of battery or skin"
    _first_c: float | None = None

    def pass_through(self) -> DeviceState:
        """Return the device's state once it is cool, or when patience is over; `outcome` and `reason` say which."""
        begin = self.clock()
        state = self.read()
        while why := self._hot(state):
            if self.clock() - begin >= self.patience_s:
                self.outcome = "timeout"
                self.reason = f"{why} after {self.patience_s:.0f} s"
                self.patience_s = 0.0  # a device that does not cool is waited for once
                return state
            self.sleep(_EVERY_S)
            state = self.read()
        self._note(state)
        return state

    def _note(self, state: DeviceState) -> None:
        warmest = surface_c(state)
        if self._first_c is None:
            self._first_c = warmest
        if self.outcome == "unavailable" and (warmest is not None or state.thermal != "unknown"):
            self.outcome, self.reason = "passed", ""

    def _hot(self, state: DeviceState) -> str:
        if state.thermal in _LEVELS[1:]:
            return f"thermal status {state.thermal}"
        warmest = surface_c(state)
        if warmest is None:
            return ""
        if warmest > HOTTEST_C:
            return f"{warmest:.1f} °C, above {HOTTEST_C:g}"
        if self._first_c is not None and warmest > self._first_c + NEAR_C:
            return f"{warmest:.1f} °C, {warmest - self._first_c:.1f} above the first launch"
        return ""


def surface_c(state: DeviceState) -> float | None:
    """Return the warmest of battery and skin in °C; None if the device tells neither."""
    found = [value for name, value in state.celsius.items() if any(word in name.lower() for word in ("batt", "skin"))]
    return max(found, default=None)
