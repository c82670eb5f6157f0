"""Products of matrices in four axes become batches of matrices; others stay."""

from collections import Counter

import pytest
import torch
from torch import nn

from convert.passes import passes_for, products
from convert.passes._rewrite import apply_rewrite


class Product(nn.Module):
    def __init__(self, turned=False):
        super().__init__()
        self.turned = turned

    def forward(self, a, b):
        return (a.relu() @ (b.relu().transpose(-1, -2) if self.turned else b.relu())).sigmoid()


def rewritten(a, b, turned=False):
    module = Product(turned)
    result = apply_rewrite(torch.export.export(module, (a, b)), products.products_by_batch)
    torch.testing.assert_close(result.module()(a, b), module(a, b), rtol=1e-5, atol=1e-6)
    return Counter(str(node.target).split(".")[1] for node in result.graph.nodes if node.op == "call_function")


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("batch", "heads"), [(1, 1), (1, 4), (2, 3)])
def test_products_of_heads_are_batches(batch, heads, turned):
    a, b = torch.randn(batch, heads, 5, 7), torch.randn(batch, heads, *((6, 7) if turned else (7, 6)))
    found = rewritten(a, b, turned)
    assert found["bmm"] == 1
    assert found["reshape"] == 3
    assert found["matmul"] == 0


@pytest.mark.parametrize(
    ("left", "right"), [((1, 4, 5, 7), (1, 1, 7, 6)), ((4, 5, 7), (4, 7, 6)), ((1, 4, 5, 7), (7, 6)), ((5, 7), (7, 6))]
)
def test_products_that_repeat_a_side_or_have_other_axes_stay(left, right):
    assert rewritten(torch.randn(left), torch.randn(right))["matmul"] == 1


def test_doubles_stay():
    a, b = torch.randn(1, 2, 3, 4).double(), torch.randn(1, 2, 4, 3).double()
    assert rewritten(a, b)["matmul"] == 1


def test_xnnpack_alone_needs_it():
    names = {family: {entry.name for entry in passes_for(family)} for family in ("executorch-xnnpack", "onnx-cpu")}
    assert "products_by_batch" in names["executorch-xnnpack"]
    assert "products_by_batch" not in names["onnx-cpu"]
