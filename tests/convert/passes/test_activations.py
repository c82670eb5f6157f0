"""Hard sigmoid and hard swish written out, in every way that users and exporters write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convert.passes._rewrite import apply_rewrites
from convert.passes.activations import fuse_hard_sigmoid, fuse_hard_swish

PASSES = (fuse_hard_sigmoid, fuse_hard_swish)


class Written(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x.neg())


def operators(function: Callable[[Tensor], Tensor]) -> Counter[str]:
    """Apply both passes, compare with eager, check that a second time changes nothing; count operators."""
    module, x = Written(function), torch.linspace(-8, 8, 999).reshape(1, 3, 9, 37)
    with torch.no_grad():
        result, _ = apply_rewrites(torch.export.export(module, (x,)), PASSES)
        torch.testing.assert_close(result.module()(x), module(x), rtol=1e-5, atol=1e-6)
        assert apply_rewrites(result, PASSES) == (result, (0, 0))
    found = Counter(str(node.target).split(".")[1] for node in result.graph.nodes if node.op == "call_function")
    return found - Counter(["neg"])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.relu6(x + 3) / 6,
        lambda x: (x + 3.0).clamp(0, 6) * (1 / 6),
        lambda x: F.hardtanh(x + 3, 0.0, 6.0) / 6,
        lambda x: (x / 6 + 0.5).clamp(0, 1),
        lambda x: F.hardtanh(x * (1 / 6) + 0.5, 0.0, 1.0),
    ],
)
def test_hard_sigmoid(function: Callable[[Tensor], Tensor]) -> None:
    assert operators(function) == {"hardsigmoid": 1}


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * (F.relu6(x + 3) / 6),
        lambda x: x * F.relu6(x + 3) / 6,
        lambda x: F.relu6(x + 3) * x * (1 / 6),
        lambda x: (x + 3).clamp(0, 6) / 6 * x,
        lambda x: x * F.hardsigmoid(x),
        lambda x: x * (x / 6 + 0.5).clamp(0, 1),
    ],
)
def test_hard_swish(function: Callable[[Tensor], Tensor]) -> None:
    assert operators(function) == {"hardswish": 1}


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (0.2 * x + 0.5).clamp(0, 1),  # Keras' hard sigmoid has another slope
        lambda x: F.relu6(x + 2) / 6,
        lambda x: (x + 3).clamp(0, 5) / 6,
        lambda x: torch.add(x, 3, alpha=2).clamp(0, 6) / 6,
        lambda x: x.abs() * F.relu6(x + 3) / 6,
        lambda x: x * F.relu6(x + 3) / 3,
        lambda x: (y := F.relu6(x + 3)) / 6 + y,
    ],
)
def test_others_stay(function: Callable[[Tensor], Tensor]) -> None:
    assert not {"hardsigmoid", "hardswish"} & set(operators(function))
