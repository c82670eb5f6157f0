"""The One-Euro filter: jitter is taken from what rests, lag from what moves.

Source: Casiez, Roussel and Vogel, "1 € Filter" (CHI 2012). The apps smooth what they draw with the same numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError

_NANOSECONDS = 1e9


def _share(cutoff_hz: Any, seconds: float) -> Any:
    """Return how much of a new value a low-pass of a cutoff takes in after a time."""
    turned = 2 * math.pi * cutoff_hz * seconds
    return turned / (1 + turned)


def _check_positive(name: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise InputError(f"{name} is {value}; it has to be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class OneEuroSettings:
    """Say how strongly a One-Euro filter smooths.

    `min_cutoff_hz` is the cutoff at rest: lower takes more jitter away; `beta` raises it with speed: higher lags less;
    `speed_cutoff_hz` smooths the speed itself.
    """

    min_cutoff_hz: float = 1.0
    beta: float = 0.0
    speed_cutoff_hz: float = 1.0

    def __post_init__(self) -> None:
        for name in ("min_cutoff_hz", "speed_cutoff_hz"):
            _check_positive(name, getattr(self, name))
        if not (self.beta >= 0 and math.isfinite(self.beta)):
            raise InputError(f"beta is {self.beta}; it must not be negative")


LANDMARK_SETTINGS = OneEuroSettings(min_cutoff_hz=0.05, beta=80.0)  # for speeds in sizes of the person a second


class OneEuro:
    """Smooth one number over time.

    A first value passes as it is. A value that is not finite, or whose time is not after the last one's, changes
    nothing: the last smoothed value is returned again.
    """

    def __init__(self, settings: OneEuroSettings | None = None) -> None:
        self._settings = settings or OneEuroSettings()
        self._value: float | None = None
        self._speed = 0.0
        self._at_ns = 0

    def reset(self) -> None:
        """Forget everything: the next value stands alone."""
        self._value = None

    def smooth(self, raw: float, time_ns: int, *, scale: float = 1.0) -> float:
        """Return the smoothed value; speeds count in units of `scale` a second."""
        _check_positive("scale", scale)
        if not math.isfinite(raw):
            return raw if self._value is None else self._value
        if self._value is None:
            self._value, self._speed = raw, 0.0
        elif time_ns > self._at_ns:
            seconds = (time_ns - self._at_ns) / _NANOSECONDS
            speed = (raw - self._value) / seconds / scale
            self._speed += float(_share(self._settings.speed_cutoff_hz, seconds)) * (speed - self._speed)
            cutoff_hz = self._settings.min_cutoff_hz + self._settings.beta * abs(self._speed)
            self._value += float(_share(cutoff_hz, seconds)) * (raw - self._value)
        else:
            return self._value
        self._at_ns = time_ns
        return self._value


class LandmarkSmoother:
    """Smooth the landmarks of one person; every axis of every point has its own One-Euro filter.

    A point seen less than `least_visible`, or one that is not finite, passes as it is and begins anew when it is seen
    again: what a model guesses must not pull on what it sees.
    """

    def __init__(
        self, count: int, settings: OneEuroSettings = LANDMARK_SETTINGS, *, least_visible: float = 0.5
    ) -> None:
        self._settings = settings
        self._least_visible = least_visible
        self._values, self._speeds = np.zeros((count, 3)), np.zeros((count, 3))
        self._started = np.zeros(count, np.bool_)
        self._at_ns: int | None = None

    def reset(self) -> None:
        """Forget everything, as for another person."""
        self._started[:] = False
        self._at_ns = None

    def smooth(
        self, points: NDArray[Any], visibility: NDArray[Any], time_ns: int, *, scale: float
    ) -> NDArray[np.float64]:
        """Return points (count, 3) smoothed; speeds count in units of `scale`, the person's size, a second.

        A time that is not after the last one's changes nothing: seen points take their last smoothed place.
        """
        if points.shape != self._values.shape or visibility.shape != self._started.shape:
            raise InputError(
                f"points {list(points.shape)} and visibility {list(visibility.shape)}; expected "
                f"{list(self._values.shape)} and {list(self._started.shape)}"
            )
        _check_positive("scale", scale)
        result = np.array(points, np.float64)
        seen = (visibility >= self._least_visible) & np.isfinite(result).all(axis=1)
        known = seen & self._started
        if self._at_ns is None or time_ns > self._at_ns:
            if self._at_ns is not None:
                self._step(result[known], known, (time_ns - self._at_ns) / _NANOSECONDS, scale)
            first = seen & ~known
            self._values[first], self._speeds[first] = result[first], 0.0
            self._started = seen
            self._at_ns = time_ns
        result[known] = self._values[known]
        return result

    def _step(self, raw: NDArray[np.float64], which: NDArray[np.bool_], seconds: float, scale: float) -> None:
        moved = raw - self._values[which]
        speeds = self._speeds[which]
        speeds += _share(self._settings.speed_cutoff_hz, seconds) * (moved / seconds / scale - speeds)
        self._speeds[which] = speeds
        cutoff_hz = self._settings.min_cutoff_hz + self._settings.beta * np.abs(speeds)
        self._values[which] += _share(cutoff_hz, seconds) * moved
