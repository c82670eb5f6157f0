"""`.pte` files with the kit's own operators: they hold the packed bytes of trits × scale, and are executed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ternary_networks import (
    LAYERS,
    Twice,
    compile_to,
    network,
    options_of,
    program_of,
    tensor_of,
    worst_error,
)
from torch import nn

from edge.errors import Refused
from quant.ternary import pack

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of ExecuTorch and torchao
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
TARGET = "executorch-ternary"
IN_8_BITS = 2e-2  # of the largest value: activations with 8-bit codes
TAKEN = sorted(set(LAYERS) - {"depthwise", "grouped", "transposed"})


def check(folder: Path, net: nn.Module, contract, operator: str, count: int = 1) -> None:
    """Compile, find the packed weight in the file once, and compare what it computes with PyTorch."""
    program = program_of(net, contract, TARGET)
    tensor = tensor_of(program) if count == 1 else None
    artifact = compile_to(folder, program, TARGET)
    data = (folder / "model.pte").read_bytes()
    if tensor is not None:
        assert data.count(pack(tensor, "t5")) == 1
        assert tensor.dequantize().tobytes() not in data  # nor as floats beside it
    assert options_of(artifact)[operator] == count
    assert artifact.manifest.delegation.rejected == ()
    assert artifact.manifest.delegation.by_backend["ternary"] >= 1
    assert "libternary_executorch" in artifact.manifest.needs.min_runtime
    assert worst_error(artifact, net, contract) <= IN_8_BITS


@pytest.mark.parametrize("name", TAKEN)
def test_the_file_holds_exactly_the_packed_weights_and_computes_with_them(name, tmp_path) -> None:
    net, contract = network(name)
    check(tmp_path, net, contract, "ternary_linear" if "linear" in name else "ternary_conv2d")


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(8, 12, 3, stride=2, padding=(1, 2), dilation=(2, 1), bias=False),
        nn.Conv2d(8, 12, (2, 3), padding="same"),
        nn.Conv2d(8, 12, 3, padding="valid"),
    ],
)
def test_convolutions_of_every_padding(layer, tmp_path) -> None:
    net, contract = network("", layer)
    check(tmp_path, net, contract, "ternary_conv2d")


def test_linear_layers_of_many_rows_and_of_odd_ones(tmp_path) -> None:
    net, contract = network("linear", nn.Linear(27, 9), shape=(1, 5, 27))
    check(tmp_path, net, contract, "ternary_linear")


def test_a_weight_that_two_operators_share_is_stored_once(tmp_path) -> None:
    body, contract = network("linear", nn.Linear(24, 24))
    net = Twice(body).eval()
    check(tmp_path, net, contract, "ternary_linear", 2)
    weight = pack(tensor_of_first(net, contract), "t5")
    assert (tmp_path / "model.pte").read_bytes().count(weight) == 1


def tensor_of_first(net: nn.Module, contract):
    from convert.ternary import ternary_layers

    return ternary_layers(program_of(net, contract, TARGET))[0].tensor


@pytest.mark.parametrize("name", ["depthwise", "grouped", "transposed"])
def test_a_program_whose_ternary_weights_no_operator_takes_is_refused(name, tmp_path) -> None:
    net, contract = network(name)
    with pytest.raises(Refused, match="no ternary weight of net belongs to one.*executorch-xnnpack"):
        compile_to(tmp_path, program_of(net, contract, "onnx-cpu"), TARGET)


def test_a_program_without_ternary_weights_is_refused(tmp_path) -> None:
    net, contract = network("linear")
    torch.nn.init.normal_(net[2].weight)
    with pytest.raises(Refused, match="net has no ternary weight.*nearest is int8"):
        compile_to(tmp_path, program_of(net, contract, TARGET), TARGET)
