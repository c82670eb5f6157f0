"""Fake quantization: the codes are those that the kit rounds to, and gradients pass."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.train.rounding import PerChannelRounding, TensorRounding, set_phase
from quant.observers import fake_quantize


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), offset=st.floats(-20, 20), width=st.floats(1e-3, 50), bits=st.sampled_from([8, 16]))
def test_an_activation_gets_the_codes_of_its_measured_range(seed, offset, width, bits):
    values = torch.from_numpy(np.random.default_rng(seed).normal(offset, width, 200).astype(np.float32))
    rounding = TensorRounding(bits=bits)
    set_phase(rounding, "measure")
    assert torch.equal(rounding(values), values)
    set_phase(rounding, "fixed")
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    assert (float(rounding.low), float(rounding.high)) == (low, high)
    expected = fake_quantize(values.numpy(), (low, high), bits)
    step = (high - low) / ((1 << bits) - 1)
    # The same codes, but for values half-way between two, which float32 and float64 may round apart.
    assert np.abs(rounding(values).numpy() - expected).max() <= step * 1.01
    assert np.abs(rounding(values).numpy() - values.numpy()).max() <= step * 1.01
    assert float(rounding(torch.zeros(1))) == 0.0


def test_a_followed_range_widens_at_once_and_narrows_slowly():
    rounding = TensorRounding(bits=8)
    set_phase(rounding, "follow")
    rounding(torch.tensor([-1.0, 4.0]))
    assert (float(rounding.low), float(rounding.high)) == (-1.0, 4.0)
    rounding(torch.tensor([1.0, 2.0]))
    assert float(rounding.low) == pytest.approx(-0.96)
    assert float(rounding.high) == pytest.approx(3.96)


def test_what_saturates_gets_no_codes():
    rounding = TensorRounding(bits=8, least=-3.0)
    set_phase(rounding, "measure")
    rounding(torch.tensor([-100.0, 5.0]))
    assert (float(rounding.low), float(rounding.high)) == (-3.0, 5.0)
    set_phase(rounding, "float")
    assert float(rounding(torch.tensor(-100.0))) == -100.0


@pytest.mark.parametrize("axis", [0, 1])
def test_weights_are_rounded_per_channel_and_gradients_pass(axis):
    weight = torch.randn(4, 6, 3, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    rounding = PerChannelRounding(bits=8, ch_axis=axis)
    assert rounding(weight) is weight
    set_phase(rounding, "fixed")
    rounded = rounding(weight)
    step = weight.detach().abs().amax([i for i in range(4) if i != axis], keepdim=True) / 127
    assert torch.allclose(rounded, (weight / step).round() * step, atol=1e-6)
    rounded.sum().backward()
    assert torch.equal(weight.grad, torch.ones_like(weight))
