"""Layers with ternary weights are found in exported programs, whatever was folded into them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from convert.export import export
from convert.passes import optimize
from convert.program import Model
from convert.ternary import ternary_layers
from edge.artifact import Source
from edge.contract import Contract, TensorSpec
from edge.errors import Refused


def ternarize(weight: torch.Tensor, axis: int = 0) -> None:
    """Make a weight ternary in place, a scale an output channel."""
    with torch.no_grad():
        scale = weight.abs().mean(dim=[i for i in range(weight.dim()) if i != axis], keepdim=True)
        weight.copy_((weight / scale).round().clamp(-1, 1) * scale)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.head = nn.Linear(4, 5)
        self.norm.running_mean.uniform_(-1, 1)
        self.norm.running_var.uniform_(0.5, 2)
        nn.init.uniform_(self.norm.weight, -2, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.up(torch.relu(self.norm(self.second(self.first(image))))).mean((2, 3)))


def program_of(net: nn.Module):
    contract = Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW"),),
        outputs=(TensorSpec(name="y", shape=(1, 5)),),
    )
    return optimize(export(Model("net", net.eval(), contract, Source(sha256="0", origin="test"))), "onnx-cpu")


def test_ternary_layers_survive_export_passes_and_folded_norms() -> None:
    net = Net()
    ternarize(net.second.weight)
    ternarize(net.up.weight, axis=1)
    ternarize(net.head.weight)
    found = ternary_layers(program_of(net))
    assert [layer.op.split("_")[0] for layer in found] == ["conv2d", "conv", "linear"] or len(found) == 3
    second, up, _ = found
    assert second.tensor.shape == (8, 8, 1, 1)
    assert up.channel_axis == 1
    assert up.tensor.shape == (4, 8, 2, 2)
    trits = (net.second.weight / net.second.weight.abs().amax((1, 2, 3), keepdim=True)).round()
    sign = torch.sign(net.norm.weight).reshape(-1, 1, 1, 1)
    assert torch.equal(torch.from_numpy(second.tensor.trits).float(), (trits * sign).detach())


def test_a_program_without_ternary_weights_is_refused() -> None:
    with pytest.raises(Refused, match="net has no ternary weight"):
        ternary_layers(program_of(Net()))
