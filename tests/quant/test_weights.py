"""Weights on a grid with the least error of what their layer computes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.simulate import round_weight
from quant.weights import least_error_weights


def _inputs(groups: int, columns: int, seed: int) -> torch.Tensor:
    """Return inputs that depend on each other and are not centred, (groups, columns, 400)."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(groups, columns, max(1, columns // 2), generator=generator)
    return torch.relu(mixing @ torch.randn(groups, max(1, columns // 2), 400, generator=generator)) + 0.1


@settings(max_examples=40)
@given(
    groups=st.integers(1, 4), outputs=st.integers(1, 6), columns=st.integers(1, 24), seed=st.integers(0, 1000),
    bits=st.sampled_from([4, 8]),
)  # fmt: skip
def test_fitted_weights_lie_on_the_grid_and_are_never_worse_than_the_nearest(
    groups: int, outputs: int, columns: int, seed: int, bits: int
) -> None:
    weight = torch.randn(groups, outputs, columns, generator=torch.Generator().manual_seed(seed))
    x = _inputs(groups, columns, seed)
    fitted = least_error_weights(weight, x @ x.transpose(1, 2) / x.shape[-1], bits=bits)
    rows = weight.reshape(-1, columns)
    nearest = round_weight(rows, 0, bits=bits).reshape(weight.shape)
    again = round_weight(fitted.reshape(-1, columns), 0, bits=bits).reshape(weight.shape)
    assert torch.allclose(again, fitted, atol=1e-6)  # what any runtime's quantizer makes of them
    assert torch.allclose(fitted.abs().amax(-1), weight.abs().amax(-1), rtol=1e-6)

    def error(found: torch.Tensor) -> torch.Tensor:
        return ((found - weight) @ x).square().mean(-1)

    assert (error(fitted) <= error(nearest) * 1.001 + 1e-9).all()


def test_inputs_that_depend_on_each_other_make_up_for_rounding() -> None:
    weight = torch.randn(1, 32, 64, generator=torch.Generator().manual_seed(1))
    x = _inputs(1, 64, 2)
    fitted = least_error_weights(weight, x @ x.transpose(1, 2) / 400)
    nearest = round_weight(weight[0], 0)[None]
    ratio = ((fitted - weight) @ x).square().mean() / ((nearest - weight) @ x).square().mean()
    assert ratio < 0.5


@pytest.mark.parametrize("weight", [torch.zeros(1, 2, 3), torch.full((1, 1, 4), 1e-30)])
def test_weights_of_nothing_stay_finite(weight: torch.Tensor) -> None:
    assert least_error_weights(weight, torch.zeros(1, weight.shape[-1], weight.shape[-1])).isfinite().all()
