"""The One-Euro filter: the paper's formula, jitter and lag, hidden points, and times that do not advance."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InputError
from edge.smoothing import LANDMARK_SETTINGS, LandmarkSmoother, OneEuro, OneEuroSettings

FRAME_NS = 33_333_333


def paper(values: list[float], rate_hz: float, min_cutoff: float, beta: float, d_cutoff: float) -> list[float]:
    """Return the pseudo-code of the paper's appendix, for a fixed rate."""

    def alpha(cutoff: float) -> float:
        tau = 1 / (2 * math.pi * cutoff)
        return 1 / (1 + tau * rate_hz)

    found: list[float] = []
    speed = 0.0
    for value in values:
        if not found:
            found.append(value)
            continue
        dx = (value - found[-1]) * rate_hz
        speed = alpha(d_cutoff) * dx + (1 - alpha(d_cutoff)) * speed
        a = alpha(min_cutoff + beta * abs(speed))
        found.append(a * value + (1 - a) * found[-1])
    return found


@given(st.lists(st.floats(-1000, 1000), min_size=1, max_size=40), st.floats(0.01, 5), st.floats(0, 2))
def test_it_is_the_papers_filter(values, min_cutoff_hz, beta):
    smoother = OneEuro(OneEuroSettings(min_cutoff_hz=min_cutoff_hz, beta=beta, speed_cutoff_hz=0.7))
    found = [smoother.smooth(value, step * 20_000_000) for step, value in enumerate(values)]
    assert found == pytest.approx(paper(values, 50.0, min_cutoff_hz, beta, 0.7), abs=1e-9)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=30))
def test_it_stays_between_what_it_has_seen(values):
    smoother = OneEuro()
    found = [smoother.smooth(value, step * FRAME_NS) for step, value in enumerate(values)]
    assert min(values) - 1e-9 <= min(found) <= max(found) <= max(values) + 1e-9


def test_jitter_at_rest_is_taken_away_and_beta_takes_lag_away():
    rng = np.random.default_rng(0)
    still = rng.normal(0, 1, 200)
    smoother = OneEuro()
    found = [smoother.smooth(value, step * FRAME_NS) for step, value in enumerate(still)]
    assert np.std(found[50:]) < 0.5 * np.std(still[50:])
    lags = []
    for beta in (0.0, 1.0):
        smoother = OneEuro(OneEuroSettings(beta=beta))
        lags.append([10.0 * step - smoother.smooth(10.0 * step, step * FRAME_NS) for step in range(60)][-1])
    assert lags[1] < 0.2 * lags[0]


def test_values_that_are_none_and_times_that_do_not_advance_change_nothing():
    smoother = OneEuro()
    assert math.isnan(smoother.smooth(math.nan, 0))
    assert smoother.smooth(5.0, 100) == 5.0
    assert smoother.smooth(math.inf, 200) == 5.0
    assert smoother.smooth(9.0, 100) == 5.0
    assert smoother.smooth(9.0, 50) == 5.0
    assert 5.0 < smoother.smooth(9.0, FRAME_NS) < 9.0
    smoother.reset()
    assert smoother.smooth(1.0, 0) == 1.0


@given(st.integers(0, 2**32 - 1))
def test_every_axis_of_every_point_is_a_filter_of_its_own(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 100, (12, 4, 3))
    smoother = LandmarkSmoother(4)
    alone = [[OneEuro(LANDMARK_SETTINGS) for _ in range(3)] for _ in range(4)]
    for step, frame in enumerate(points):
        time = step * FRAME_NS
        found = smoother.smooth(frame, np.ones(4), time, scale=150.0)
        expected = [[alone[i][k].smooth(frame[i, k], time, scale=150.0) for k in range(3)] for i in range(4)]
        assert found == pytest.approx(np.array(expected), abs=1e-9)


def test_a_point_that_was_hidden_begins_anew():
    smoother = LandmarkSmoother(2)

    def at(x: float, visible: float, step: int) -> float:
        points = np.array([[x, 0, 0], [0, 0, 0]])
        return float(smoother.smooth(points, np.array([visible, 1.0]), step * FRAME_NS, scale=100.0)[0, 0])

    assert at(10, 1.0, 0) == 10
    assert at(90, 0.2, 1) == 90
    assert at(50, 1.0, 2) == 50
    assert 50 < at(51, 1.0, 3) < 51
    assert at(math.inf, 1.0, 4) == math.inf
    assert at(7, math.nan, 5) == 7
    assert at(20, 1.0, 6) == 20
    assert at(30, 1.0, 6) == 20
    smoother.reset()
    assert at(-8, 1.0, 1) == -8


@pytest.mark.parametrize("bad", [{"min_cutoff_hz": 0}, {"speed_cutoff_hz": math.nan}, {"beta": -1}, {"beta": math.inf}])
def test_settings_that_cannot_be_meant_are_refused(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        OneEuroSettings(**bad)


def test_shapes_and_scales_are_checked():
    smoother = LandmarkSmoother(3)
    with pytest.raises(InputError, match="expected"):
        smoother.smooth(np.zeros((2, 3)), np.ones(2), 0, scale=1.0)
    with pytest.raises(InputError, match="scale is 0"):
        smoother.smooth(np.zeros((3, 3)), np.ones(3), 0, scale=0)
