"""Weights that training left on 4 or 8 bits, beside ternary ones, are stored as their codes and nothing is rounded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ternary_networks import compile_to, program_of, ternarize, worst_error
from torch import nn

from edge.contract import Contract, TensorSpec
from quant.coded import coded_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the converters
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
FORMS = {
    ("onnx-cpu", "conv"): {"DequantizeLinear_int8": 2, "DequantizeLinear_int4": 1, "DequantizeLinear_int2": 1},
    ("onnx-cpu", "linear"): {"DequantizeLinear_int8": 2, "MatMulNBits_int2": 1},
    ("litert-cpu", "conv"): {"DEQUANTIZE_int8": 4},
    ("litert-cpu", "linear"): {"FULLY_CONNECTED_int8": 1, "FULLY_CONNECTED_int4": 1, "FULLY_CONNECTED_int2": 1},
    ("coreml", "conv"): {"int8": 2, "int4": 1, "lut2": 1},
    ("coreml", "linear"): {"int8": 1, "int4": 1, "lut2": 1},
}
# Of the largest value. Products have activations in 8 bits, Core ML computes in half precision.
LIMITS = {"onnx-cpu": 1e-5, "litert-cpu": 1e-5, "coreml": 5e-3}


def put_on_grid(weight: torch.Tensor, largest: int) -> None:
    """Make a weight codes up to `largest` times a scale per channel that half precision holds, in place."""
    with torch.no_grad():
        peak = weight.abs().amax(dim=list(range(1, weight.dim())), keepdim=True)
        scale = (peak / largest).half().float()
        weight.copy_((weight / scale).round().clamp(-largest, largest) * scale)
    assert coded_of(weight.detach().numpy()) is not None


def network(kind: str) -> tuple[nn.Module, Contract]:
    torch.manual_seed(0)
    if kind == "conv":
        layers = [nn.Conv2d(8, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1, groups=16)]
        layers += [nn.Conv2d(16, 24, 3, padding=1), nn.Conv2d(24, 12, 3)]
        shape, layout = (1, 8, 9, 10), "NCHW"
        grids = [127, 127, 7]
    else:
        layers = [nn.Linear(64, 48), nn.Linear(48, 32), nn.Linear(32, 16)]
        shape, layout = (1, 64), ""
        grids = [127, 7]
    for layer, largest in zip(layers, grids, strict=False):
        put_on_grid(layer.weight, largest)
    ternarize(layers[-1].weight)
    net = nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1]).eval()
    out = tuple(net(torch.zeros(shape)).shape)
    made = TensorSpec(name="y", shape=out, layout=layout)
    return net, Contract(inputs=(TensorSpec(name="x", shape=shape, layout=layout),), outputs=(made,))


@pytest.mark.parametrize(("target", "kind"), FORMS)
def test_each_weight_has_the_fewest_bits_that_hold_it(target, kind, tmp_path) -> None:
    net, contract = network(kind)
    artifact = compile_to(tmp_path / "a", program_of(net, contract, target), target)
    every = {name: value for step in artifact.manifest.steps for name, value in step.options.items()}
    options = {name: count for name, count in every.items() if name in FORMS[target, kind]}
    assert options == FORMS[target, kind]
    assert worst_error(artifact, net, contract) <= (2e-2 if kind == "linear" else LIMITS[target])
    data = b"".join(path.read_bytes() for path in sorted((tmp_path / "a").rglob("*")) if path.is_file())
    for layer in net:
        if hasattr(layer, "weight"):
            codes = coded_of(layer.weight.detach().numpy())
            assert codes is None or codes.bits < 8 or np.abs(codes.codes).max() == 127
            assert layer.weight.detach().numpy().tobytes() not in data
