"""Ternary weights in `.pte` files: what XNNPACK's part holds is trits × scale bit for bit, and it is executed."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from ternary_networks import (
    LAYERS,
    compile_to,
    network,
    options_of,
    program_of,
    tensor_of,
    ternarize,
    worst_error,
)
from torch import nn

from edge.contract import TensorSpec
from edge.errors import Refused
from edge.runtimes._pte import read_plan

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of ExecuTorch and torchao
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
TARGET = "executorch-xnnpack"
IN_8_BITS = 2e-2  # of the largest value: activations with 8-bit codes


def graph_of(payload, scratch: Path) -> dict:
    """Return the XNNPACK graph of a delegate's payload, read by ExecuTorch's own schema."""
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader
    from executorch.exir._serialize._flatbuffer import _flatc_decompile

    header = XNNHeader.from_bytes(payload.data[: XNNHeader.EXPECTED_LENGTH])
    graph, schema = scratch / "schema.bin", scratch / "schema.fbs"
    graph.write_bytes(payload.data[header.flatbuffer_offset :][: header.flatbuffer_size])
    schema.write_text(resources.files("executorch.backends.xnnpack.serialization").joinpath("schema.fbs").read_text())
    _flatc_decompile(str(scratch), str(schema), str(graph), ["--raw-binary"])
    return json.loads(re.sub(r"(: -?)inf\b", r"\g<1>Infinity", (scratch / "schema.json").read_text()))


def decode(path: Path, scratch: Path) -> dict[str, list[np.ndarray]]:
    """Return the weights that XNNPACK's part of a file holds in codes as float32 (O, …, I), by their type."""
    scratch.mkdir()
    (payload,) = read_plan(path).delegates
    graph = graph_of(payload, scratch)
    blobs = [payload.named.get(entry.get("named_key", ""), b"") for entry in graph["constant_data"]]
    weights: dict[str, list[np.ndarray]] = {}
    for value in (entry["xvalue_union"] for entry in graph["xvalues"]):
        tensor = value.get("tensor_value", {})
        if not tensor.get("constant_buffer_idx"):
            continue
        kind = tensor["datatype"].removeprefix("xnn_datatype_")
        codes, shape = np.frombuffer(blobs[tensor["constant_buffer_idx"]], np.uint8), tensor["dims"]
        if kind == "qcint4":  # two a byte, the first in the lower half, 0 being 8; rows begin with a byte
            halves = np.stack([codes & 15, codes >> 4], axis=-1).reshape(shape[0], -1)[:, : shape[1]]
            codes = halves.astype(np.int8) - 8
        facts = value["quant_params"]
        assert facts.get("channel_dim", 0) == 0
        scale = np.frombuffer(blobs[facts["scale_buffer_idx"]], np.float32)
        weight = codes.view(np.int8).reshape(shape[0], -1).astype(np.float32) * scale[:, None]
        weights.setdefault(kind, []).append(weight.reshape(shape))
    return weights


def as_in_torch(weight: np.ndarray) -> bytes:
    return np.ascontiguousarray(np.moveaxis(weight, -1, 1)).tobytes()


@pytest.mark.parametrize("name", sorted(set(LAYERS) - {"depthwise"}))
def test_the_file_holds_exactly_the_ternary_weights_and_computes_with_them(name, tmp_path):
    net, contract = network(name)
    program = program_of(net, contract, TARGET)
    artifact = compile_to(tmp_path / "a", program, TARGET)
    form, kind = ("linear_int4", "qcint4") if "linear" in name else ("convolution_int8", "qcint8")
    found = decode(tmp_path / "a" / "model.pte", tmp_path / "s")
    assert {kind: 1} == {kind: len(weights) for kind, weights in found.items()}
    wanted = tensor_of(program).dequantize()
    assert as_in_torch(found[kind][0]) == wanted.tobytes()
    assert options_of(artifact)[form] == options_of(artifact)["float"] == 1
    assert "int8" in options_of(artifact)["activations"]
    assert worst_error(artifact, net, contract) <= IN_8_BITS
    assert artifact.manifest.delegation.rejected == ()
    assert wanted.tobytes() not in (tmp_path / "a" / "model.pte").read_bytes()  # nor as floats beside the codes


@pytest.mark.parametrize("columns", [24, 27])
def test_linear_layers_of_many_rows_and_of_odd_ones(columns, tmp_path):
    net, contract = network("linear", nn.Linear(columns, 9), shape=(1, 5, columns))
    program = program_of(net, contract, TARGET)
    artifact = compile_to(tmp_path / "a", program, TARGET)
    (weight,) = decode(tmp_path / "a" / "model.pte", tmp_path / "s")["qcint4"]
    assert weight.shape == (9, columns + columns % 2)
    assert not weight[:, columns:].any()
    assert as_in_torch(weight[:, :columns]) == tensor_of(program).dequantize().tobytes()
    assert worst_error(artifact, net, contract) <= IN_8_BITS


class Chain(nn.Module):
    """A float layer, a ReLU and then others, which may repeat."""

    def __init__(self, body, *more):
        super().__init__()
        self.first, self.relu, self.last = body
        self.more = nn.ModuleList(more)

    def forward(self, x):
        x = self.last(self.relu(self.first(x)))
        for layer in self.more or [self.last]:
            x = layer(x)
        return x


def test_depthwise_convolutions_stay_in_float_beside_others(tmp_path):
    second = nn.Conv2d(8, 12, 1)
    ternarize(second.weight)
    body, contract = network("depthwise")
    net = Chain(body, second).eval()
    contract = msgspec.structs.replace(contract, outputs=(TensorSpec(name="y", shape=(1, 12, 9, 10), layout="NCHW"),))
    artifact = compile_to(tmp_path / "a", program_of(net, contract, TARGET), TARGET)
    assert {"convolution_int8": 1, "float": 2, "ternary_layers": 2}.items() <= options_of(artifact).items()
    found = decode(tmp_path / "a" / "model.pte", tmp_path / "s")
    assert [weight.shape for weight in found["qcint8"]] == [(12, 1, 1, 8)]
    assert worst_error(artifact, net, contract) <= IN_8_BITS


def test_linear_layers_over_images_beside_convolutions(tmp_path):
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.across, self.down = nn.Linear(10, 10), nn.Linear(10, 7)
            self.conv = nn.Conv2d(8, 12, 3, padding=1)
            for layer in (self.across, self.down, self.conv):
                ternarize(layer.weight)

        def forward(self, x):
            return self.down(torch.relu(self.conv(self.across(x))))

    net = Mixed().eval()
    _, contract = network("conv 1x1")
    contract = msgspec.structs.replace(contract, outputs=(TensorSpec(name="y", shape=(1, 12, 9, 7)),))
    artifact = compile_to(tmp_path / "a", program_of(net, contract, TARGET), TARGET)
    # ExecuTorch would fail at run time with codes in a convolution behind a linear layer.
    assert {"linear_int4": 2, "float": 1, "ternary_layers": 3}.items() <= options_of(artifact).items()
    assert artifact.manifest.delegation.rejected == ()
    assert worst_error(artifact, net, contract) <= IN_8_BITS


def test_a_weight_that_two_operators_share_is_stored_once(tmp_path):
    body, contract = network("linear", nn.Linear(24, 24))
    net = Chain(body).eval()
    artifact = compile_to(tmp_path / "a", program_of(net, contract, TARGET), TARGET)
    assert options_of(artifact)["linear_int4"] == 2
    codes = set(map(as_in_torch, decode(tmp_path / "a" / "model.pte", tmp_path / "s")["qcint4"]))
    assert len(codes) == 1
    assert worst_error(artifact, net, contract) <= IN_8_BITS


@pytest.mark.parametrize("layer", [nn.Conv2d(8, 8, 3, groups=8), nn.ConvTranspose2d(8, 1, 2, stride=2)])
def test_a_program_whose_ternary_weights_xnnpack_takes_as_floats_only_is_refused(layer, tmp_path):
    net, contract = network("", layer)
    with pytest.raises(Refused, match="no ternary weight of net belongs to one"):
        compile_to(tmp_path, program_of(net, contract, "onnx-cpu"), TARGET)


def test_a_program_without_ternary_weights_is_refused(tmp_path):
    net, contract = network("linear")
    torch.nn.init.normal_(net[2].weight)
    with pytest.raises(Refused, match="net has no ternary weight.*nearest is int8"):
        compile_to(tmp_path, program_of(net, contract, TARGET), TARGET)
