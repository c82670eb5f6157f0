"""The gates of squeeze-and-excite stand apart from their convolutions, where the compiler's fusion is inexact."""

from collections import Counter

import pytest
import torch
from torch import nn

from convert.passes import activations, passes_for
from convert.passes._rewrite import apply_rewrite


class Gated(nn.Module):
    """A gate of the given shape on the picture it was made from."""

    def __init__(self, pooled, read_twice):
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 1)
        self.pooled, self.read_twice = pooled, read_twice

    def forward(self, x):
        before = self.conv(x.mean((2, 3), keepdim=True) if self.pooled else x)
        return (x * before.sigmoid(), before) if self.read_twice else (x * before.sigmoid(),)


@pytest.mark.parametrize(("pooled", "read_twice", "reshapes"), [(True, False, 2), (False, False, 0), (True, True, 0)])
def test_the_sigmoid_of_one_pixel_is_taken_of_a_row(pooled, read_twice, reshapes):
    network, x = Gated(pooled, read_twice).eval(), torch.randn(2, 8, 5, 7)
    with torch.no_grad():
        result = apply_rewrite(torch.export.export(network, (x,)), activations.flatten_gates)
        for found, wanted in zip(result.module()(x), network(x), strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    names = Counter(str(node.target) for node in result.graph.nodes)
    assert names["aten.reshape.default"] == reshapes


@pytest.mark.parametrize("family", ["executorch-qnn", "onnx-qnn"])
def test_only_half_precision_needs_it(family):
    names = {precision: {entry.name for entry in passes_for(family, precision)} for precision in ("fp16", "int8")}
    assert "flatten_gates" in names["fp16"]
    assert "flatten_gates" not in names["int8"]
    assert "flatten_gates" not in {entry.name for entry in passes_for("executorch-xnnpack", "fp16")}
