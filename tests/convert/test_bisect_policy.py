"""What counts as a divergence, and how tensors of other layouts are recognised."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.bisect.match import arrangements, own_error
from convert.bisect.policy import CEILING, FLOORS, OwnError, allowance, first_divergence
from quant.precision import PRECISIONS

PRECISION = st.sampled_from(sorted(FLOORS))
SHARE = st.floats(0, 0.99)


def test_every_precision_that_can_be_built_has_a_floor():
    assert set(PRECISIONS) - {"auto"} <= set(FLOORS)


@given(PRECISION, st.lists(SHARE, min_size=1, max_size=60), st.floats(1e-6, 1e6))
def test_what_rounding_explains_is_no_divergence(precision, shares, scale):
    errors = [OwnError(FLOORS[precision] * share * scale, scale) for share in shares]
    assert first_divergence(errors, precision) is None


@given(PRECISION, st.lists(SHARE, min_size=2, max_size=60), st.data(), st.floats(1.01, 1e6))
def test_a_wrong_operator_among_right_ones_is_found_at_its_place(precision, shares, data, times):
    errors = [OwnError(FLOORS[precision] * share, 1.0) for share in shares]
    place = data.draw(st.integers(0, len(errors) - 1))
    errors[place] = OwnError(max(CEILING, FLOORS[precision]) * times, 1.0)
    assert first_divergence(errors, precision) == place


@given(PRECISION, st.lists(SHARE, min_size=1, max_size=20), st.data(), st.sampled_from([math.inf, math.nan]))
def test_what_is_no_number_diverges(precision, shares, data, value):
    errors = [OwnError(FLOORS[precision] * share, 1.0) for share in shares]
    place = data.draw(st.integers(0, len(errors) - 1))
    errors[place] = OwnError(value, 1.0)
    assert first_divergence(errors, precision) == place


@given(PRECISION, st.lists(st.floats(0, 10), max_size=40))
def test_the_allowance_lies_between_the_floor_and_the_ceiling(precision, values):
    found = allowance([OwnError(value, 1.0) for value in values], precision)
    assert FLOORS[precision] <= found <= max(CEILING, FLOORS[precision])


@given(st.floats(0, 2), st.floats(0, 100), st.floats(1e-3, 1e3))
def test_a_few_steps_of_a_quantized_tensor_are_rounding(share, step, scale):
    assert OwnError(share * step, scale, step).excess == 0


@given(st.lists(st.floats(0.2, 0.3), min_size=5, max_size=40))
def test_a_network_that_is_coarse_throughout_has_no_first_wrong_layer(values):
    assert first_divergence([OwnError(value, 1.0) for value in values], "int8") is None


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))
def test_channels_last_is_recognised(batch, channels, height, width):
    right = np.arange(batch * channels * height * width, dtype=np.float32).reshape(batch, channels, height, width)
    found = list(arrangements(right.transpose(0, 2, 3, 1), right.shape))
    assert any(np.array_equal(value, right) for value in found)


def test_axes_of_one_are_left_out_and_put_in():
    right = np.arange(6.0).reshape(1, 6, 1, 1)
    assert [value.shape for value in arrangements(right.reshape(1, 6), right.shape)] == [right.shape]
    assert not list(arrangements(np.zeros((2, 3)), (1, 6, 1, 1)))


@pytest.mark.parametrize(("value", "relative"), [(1.0, 0.0), (1.5, 0.5), (float("nan"), math.inf)])
def test_own_error_is_relative_to_the_right_tensor(value, relative):
    assert own_error(np.full(4, value), np.ones(4), 0.0).relative == relative


def test_infinities_that_agree_are_no_difference():
    assert own_error(np.array([np.inf, 1.0]), np.array([np.inf, 1.0]), 0.0).relative == 0
