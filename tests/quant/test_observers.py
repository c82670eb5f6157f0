"""Observers: which range of an activation gets codes."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quant.observers import Observer, Seen, choose_range, fake_quantize

OBSERVERS: tuple[Observer, ...] = get_args(Observer)
VALUES = arrays(np.float32, st.integers(1, 300), elements=st.floats(-1e4, 1e4, width=32))


def seen(*batches: np.ndarray) -> Seen:
    found = Seen()
    for batch in batches:
        found.add(batch)
    return found


@settings(max_examples=60, deadline=None)
@given(VALUES, st.sampled_from(OBSERVERS), st.sampled_from([4, 8, 16]))
def test_a_range_holds_zero_and_never_passes_the_extremes(values: np.ndarray, observer: Observer, bits: int) -> None:
    low, high = choose_range(seen(values), observer, bits=bits)
    assert min(float(values.min()), 0.0) <= low <= 0.0 <= high <= max(float(values.max()), 0.0)


@settings(max_examples=60, deadline=None)
@given(VALUES, st.sampled_from([4, 8]))
def test_rounding_within_the_extremes_costs_half_a_step(values: np.ndarray, bits: int) -> None:
    ends = choose_range(seen(values), "min-max", bits=bits)
    step = (ends[1] - ends[0]) / (2**bits - 1)
    error = np.abs(fake_quantize(values, ends, bits) - values)
    assert error.max() <= step * 1.001 + 1e-4 * np.abs(values).max()  # the zero point's rounding moves both ends
    assert np.allclose(fake_quantize(np.zeros(1, np.float32), ends, bits), 0.0)


@pytest.mark.parametrize("observer", OBSERVERS)
def test_observers_are_deterministic(observer: Observer) -> None:
    batches = [np.random.default_rng(i).normal(size=10_000).astype(np.float32) for i in range(3)]
    assert choose_range(seen(*batches), observer) == choose_range(seen(*batches), observer)


@pytest.mark.parametrize("observer", ["percentile", "entropy"])  # squared, a lone outlier costs more than it saves
def test_a_lone_outlier_is_clipped_where_that_rounds_the_rest_finer(observer: Observer) -> None:
    values = np.random.default_rng(0).normal(size=8000).astype(np.float32)
    with_outlier = np.append(values, np.float32(1000))
    low, high = choose_range(seen(with_outlier), observer)
    assert high < 1000
    whole = choose_range(seen(with_outlier), "min-max")
    error, plain = (np.median(np.abs(fake_quantize(values, ends, 8) - values)) for ends in ((low, high), whole))
    assert error < plain


def test_squared_error_never_loses_to_the_extremes() -> None:
    for seed in range(5):
        values = np.random.default_rng(seed).standard_t(3, 5000).astype(np.float32)
        errors = [
            float(np.mean((fake_quantize(values, choose_range(seen(values), name), 8) - values) ** 2))
            for name in ("mse", "min-max")
        ]
        assert errors[0] <= 1.02 * errors[1]  # it decides on a histogram


def test_nothing_seen_and_values_that_are_not_finite_are_errors() -> None:
    with pytest.raises(ValueError, match="no values"):
        choose_range(Seen(), "min-max")
    with pytest.raises(ValueError, match="not finite"):
        choose_range(seen(np.array([1.0, np.nan], np.float32)), "mse")
    assert choose_range(seen(np.zeros(5, np.float32)), "entropy") == (0.0, 0.0)
