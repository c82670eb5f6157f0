"""A softmax over the last of four axes is taken of rows: XNNPACK's delegate mistakes the axis behind a convolution."""

from collections import Counter

import pytest
import torch
from torch import nn

from convert.passes import activations, passes_for
from convert.passes._rewrite import apply_rewrite


@pytest.mark.parametrize(
    ("shape", "axis", "reshapes"),
    [((2, 8, 5, 7), -1, 2), ((2, 8, 5, 7), 3, 2), ((2, 8, 5, 7), 1, 0), ((2, 8, 5), -1, 0)],
)
def test_only_the_last_of_four_axes_is_rewritten(shape, axis, reshapes):
    x = torch.randn(shape)
    result = apply_rewrite(torch.export.export(nn.Softmax(axis).eval(), (x,)), activations.flatten_softmax)
    torch.testing.assert_close(result.module()(x), x.softmax(axis), rtol=0, atol=1e-7)
    names = Counter(str(node.target) for node in result.graph.nodes)
    assert names["aten.reshape.default"] == reshapes


@pytest.mark.parametrize("family", ["executorch-xnnpack", "executorch-ternary"])
def test_all_of_xnnpacks_families_have_it(family):
    assert "flatten_softmax" in {entry.name for entry in passes_for(family)}
    assert "flatten_softmax" not in {entry.name for entry in passes_for("litert-cpu")}
