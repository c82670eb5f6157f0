"""Expansions go where the operator behind them broadcasts by itself, and stay where they make the shape."""

from collections import Counter

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convert.passes import passes_for
from convert.passes._rewrite import apply_rewrite
from convert.passes.broadcasts import broadcast_implicitly


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *tensors):
        return self.function(*tensors)


def rewritten(function, *tensors):
    exported = torch.export.export(Function(function).eval(), tensors)
    result = apply_rewrite(exported, broadcast_implicitly)
    torch.testing.assert_close(result.module()(*tensors), function(*tensors), rtol=0, atol=0)
    return Counter(str(node.target) for node in result.graph.nodes if "expand" in str(node.target)).total()


def test_a_normalisation_divides_by_the_norms_themselves():
    assert rewritten(lambda x: F.normalize(x, dim=1), torch.randn(1, 8, 5, 7)) == 0


@pytest.mark.parametrize("operator", [torch.add, torch.sub, torch.mul, torch.div])
def test_either_operand_may_be_expanded(operator):
    full, row = torch.rand(2, 3, 4) + 1, torch.rand(3, 1) + 1
    assert rewritten(lambda a, b: operator(a, b.expand(2, 3, 4)), full, row) == 0
    assert rewritten(lambda a, b: operator(b.expand(2, 3, 4), a), full, row) == 0


def test_an_expansion_that_makes_the_shape_stays():
    row = torch.rand(1, 4)
    assert rewritten(lambda a: a.expand(3, 4) * 2.0, row) == 1
    assert rewritten(lambda a: a.expand(3, 4) + a.expand(3, 4), row) >= 1
    assert rewritten(lambda a: (a.expand(3, 4) + torch.ones(3, 4)) * a.expand(3, 4).cumsum(0), row) >= 1


def test_it_is_for_litert():
    names = {entry.name for entry in passes_for("litert-cpu")}
    assert "broadcast_implicitly" in names
    assert "broadcast_implicitly" not in {entry.name for entry in passes_for("onnx-cpu")}
