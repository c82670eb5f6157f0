"""Half precision between inputs and outputs that keep their types, and operators that are kept from it."""

import pytest
import torch
from torch import nn

from convert.export import export
from convert.passes.half import NORMS, to_half
from convert.program import Model
from edge.artifact import Source
from edge.contract import Contract, TensorSpec

CONTRACT = Contract(inputs=(TensorSpec(name="x", shape=(1, 4, 32)),))


def program():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(32, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 8)).eval()
    return network, export(Model("mine", network, CONTRACT, Source(sha256="")))


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch.export's own
@pytest.mark.parametrize(("keep", "kind"), [((), torch.float16), (NORMS, torch.float32)])
def test_norms_compute_in_what_they_are_told(keep, kind):
    network, own = program()
    x = torch.rand(1, 4, 32)
    half = to_half(own, keep)
    with torch.no_grad():
        [found] = half.exported.module()(x)
        assert found.dtype is torch.float32
        torch.testing.assert_close(found, network(x), rtol=1e-2, atol=1e-2)
    values = {node.target: node.meta.get("val") for node in half.exported.graph.nodes}
    types = {target: value.dtype for target, value in values.items() if isinstance(value, torch.Tensor)}
    assert types[torch.ops.aten.layer_norm.default] is kind
    assert types[torch.ops.aten.gelu.default] is torch.float16
    assert half.steps[-1].options == {"compute": "float16"}
    assert network[0].weight.dtype is torch.float32
