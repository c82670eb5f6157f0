"""Products between turned layouts become convolutions; others stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from convert.passes import layouts
from convert.passes._rewrite import Rewrite, apply_rewrite

IMAGE = (2, 6, 4, 5)


class Mixed(nn.Module):
    """Two products of channels and a function of them."""

    def __init__(self, function: Callable[[Mixed, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.wide, self.narrow, self.norm = nn.Linear(6, 8), nn.Linear(8, 3, bias=False), nn.LayerNorm(6)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x.relu()).sigmoid()


def operators(
    function: Callable[[Mixed, Tensor], Tensor],
    shape: tuple[int, ...] = IMAGE,
    rewrite: Rewrite = layouts.linear_by_convolution,
) -> Counter[str]:
    """Apply the pass, compare with eager, check that a second time changes nothing; count operators."""
    module, x = Mixed(function).eval(), torch.randn(shape)
    with torch.no_grad():
        result = apply_rewrite(torch.export.export(module, (x,)), rewrite)
        torch.testing.assert_close(result.module()(x), module(x), rtol=1e-5, atol=1e-5)
        assert apply_rewrite(result, rewrite) is result
    found = Counter(str(node.target).split(".")[1] for node in result.graph.nodes if node.op == "call_function")
    return found - Counter(["relu", "sigmoid"])


def last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def rows(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def test_channels_last_products_become_convolutions() -> None:
    block = operators(lambda m, x: first(m.narrow(nn.functional.gelu(m.wide(last(x))))))
    assert block == {"conv2d": 2, "gelu": 1}
    assert operators(lambda m, x: first(last(x).neg())) == {"neg": 1}


def test_products_of_rows_become_convolutions() -> None:
    """The head of SegFormer: flatten, project, turn back."""
    found = operators(lambda m, x: m.wide(rows(x)).permute(0, 2, 1).reshape(2, 8, 4, 5))
    assert found["conv2d"] == 1
    assert not {"linear", "permute", "transpose"} & set(found)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.wide(last(x)),
        lambda m, x: m.wide(last(x)).permute(0, 1, 3, 2),
        lambda m, x: first(m.wide(m.norm(last(x)))),
        lambda m, x: first((y := m.wide(last(x))) + y.mean()),
        lambda m, x: (m.wide(rows(x)) @ torch.ones(8, 2)).transpose(1, 2),
        lambda m, x: m.wide(x.permute(0, 3, 2, 1)).permute(0, 3, 1, 2),
        lambda m, x: first(torch.softmax(last(x), -1)),
    ],
)
def test_others_stay(function: Callable[[Mixed, Tensor], Tensor]) -> None:
    assert "conv2d" not in operators(function)
    assert {"permute", "transpose"} & set(operators(function))


def test_double_reshapes_are_one_or_none() -> None:
    back = operators(lambda m, x: x.flatten(2).reshape(2, 6, 4, 5), rewrite=layouts.merge_reshapes)
    assert not back
    assert operators(lambda m, x: x.flatten(1).view(2, 5, 24), rewrite=layouts.merge_reshapes) == {"reshape": 1}
    single = operators(lambda m, x: x.flatten(2).transpose(1, 2).reshape(2, 5, 24), rewrite=layouts.merge_reshapes)
    assert single == {"flatten": 1, "transpose": 1, "reshape": 1}


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(batch=st.integers(1, 3), height=st.integers(1, 5), width=st.integers(1, 5))
def test_every_size_keeps_its_values(batch: int, height: int, width: int) -> None:
    operators(lambda m, x: m.wide(rows(x)).transpose(1, 2), (batch, 6, height, width))
    operators(lambda m, x: first(m.wide(last(x))), (batch, 6, height, width))
