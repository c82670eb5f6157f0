"""Ternary weights in LiteRT files: what is in the file is trits × scale bit for bit, and it is executed."""

from __future__ import annotations

import numpy as np
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
    ternarize,
    worst_error,
)
from torch import nn

from convert.targets._litert_ternary import check_executed, packed
from edge.errors import Refused

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the converter's dependencies
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
TARGET = "litert-cpu"
EXACT, IN_8_BITS = 1e-6, 2e-2  # of the largest value: float32 sums, and activations with 8-bit codes
BITS = {19: 2, 17: 4, 9: 8}  # by the format's number of the type


def decode(path) -> dict[str, list[np.ndarray]]:
    """Return the weights that a file holds in codes as float32, output channels first, by operator and type."""
    from ai_edge_litert.tools import flatbuffer_utils

    from convert.targets._litert_origin import kind_of

    model = flatbuffer_utils.read_model(str(path))
    graph = model.subgraphs[0]
    found: dict[str, list[np.ndarray]] = {}
    for operator in graph.operators:
        for entry in (graph.tensors[index] for index in operator.inputs if index >= 0):
            if entry.type not in BITS:
                continue
            bits, shape = BITS[entry.type], [int(size) for size in entry.shape]
            data = np.asarray(model.buffers[entry.buffer].data, np.uint8)
            raw = data[:, None] >> np.arange(0, 8, bits, dtype=np.uint8) & ((1 << bits) - 1)
            signed = raw.astype(np.int16) - (raw >= 1 << (bits - 1)) * (1 << bits)
            codes = signed.reshape(-1)[: int(np.prod(shape))].reshape(shape)
            axis, scale = entry.quantization.quantizedDimension, np.asarray(entry.quantization.scale, np.float32)
            assert not np.any(entry.quantization.zeroPoint)
            weight = codes.astype(np.float32) * scale.reshape([-1 if i == axis else 1 for i in range(len(shape))])
            name = f"{kind_of(model.operatorCodes[operator.opcodeIndex])}_int{bits}"
            found.setdefault(name, []).append(np.moveaxis(weight, axis, 0))
    return found


def in_order(weight: np.ndarray) -> np.ndarray:
    """Return a convolution's weight (out, h, w, in) or (out, 1, h, w) of a depthwise one as torch orders it."""
    return weight if weight.ndim < 4 or weight.shape[1] == 1 else np.moveaxis(weight, -1, 1)


@pytest.mark.parametrize("name", LAYERS)
def test_the_file_holds_exactly_the_ternary_weights_and_computes_with_them(name, tmp_path):
    net, contract = network(name)
    program = program_of(net, contract, TARGET)
    artifact = compile_to(tmp_path, program, TARGET)
    product = "linear" in name or name == "conv 1x1"
    form = "FULLY_CONNECTED_int2" if product else "DEQUANTIZE_int8"
    found = decode(tmp_path / "model.tflite")
    assert list(found) == [form]
    wanted = tensor_of(program).dequantize()
    weight = in_order(found[form][0]).reshape(wanted.shape)
    assert np.ascontiguousarray(weight).tobytes() == wanted.tobytes()
    assert options_of(artifact) == {
        "kind": "ternary", form: 1, "float": 1, "ternary_layers": 1,
        **({"activations": "int8 a row at run time in FULLY_CONNECTED"} if product else {}),
    }  # fmt: skip
    assert worst_error(artifact, net, contract) <= (IN_8_BITS if product else EXACT)
    assert artifact.manifest.needs.min_runtime == "LiteRT 2.3"
    assert artifact.manifest.delegation.rejected == ()  # XNNPACK takes every operator
    assert wanted.tobytes() not in (tmp_path / "model.tflite").read_bytes()  # nor as floats beside the codes


@pytest.mark.parametrize(("columns", "bits"), [(26, 4), (27, 8)])
def test_rows_that_do_not_fill_bytes_get_more_bits(columns, bits, tmp_path):
    net, contract = network("linear", nn.Linear(columns, 9), shape=(1, 5, columns))
    program = program_of(net, contract, TARGET)
    artifact = compile_to(tmp_path, program, TARGET)
    (weight,) = decode(tmp_path / "model.tflite")[f"FULLY_CONNECTED_int{bits}"]
    assert weight.tobytes() == tensor_of(program).dequantize().tobytes()
    assert worst_error(artifact, net, contract) <= IN_8_BITS


@pytest.mark.parametrize(
    ("kind", "bits", "columns", "reason"),
    [
        ("CONV_2D", 2, 64, "NaN from 2-bit codes"),
        ("CONV_2D", 4, 64, "takes no 4-bit codes in CONV_2D"),
        ("DEPTHWISE_CONV_2D", 4, 9, "takes no 4-bit codes in DEPTHWISE_CONV_2D"),
        ("DEQUANTIZE", 2, 64, "takes no 2-bit codes in DEQUANTIZE"),
        ("FULLY_CONNECTED", 2, 30, "no product of 2-bit codes in rows of 30; expected a multiple of 4"),
        ("FULLY_CONNECTED", 4, 31, "multiple of 2"),
    ],
)
def test_forms_that_litert_computes_wrong_or_slowly_are_refused(kind, bits, columns, reason):
    with pytest.raises(Refused, match=reason):
        check_executed(kind, bits, columns)


def test_what_is_executed_passes():
    for bits in (2, 4, 8):
        check_executed("FULLY_CONNECTED", bits, 8)
    check_executed("DEQUANTIZE", 8, 27)


def test_codes_are_packed_from_the_lowest_bits():
    codes = np.array([1, -1, 0, -1, 1], np.int8)
    assert packed(codes, 2).tolist() == [0b11001101, 0b01]
    assert packed(codes, 4).tolist() == [0xF1, 0xF0, 0x01]
    assert packed(codes, 8).tolist() == [1, 255, 0, 255, 1]


def test_a_strided_1x1_convolution_stays_one(tmp_path):
    net, contract = network("conv 1x1", nn.Conv2d(8, 12, 1, stride=2))
    artifact = compile_to(tmp_path, program_of(net, contract, TARGET), TARGET)
    assert list(decode(tmp_path / "model.tflite")) == ["DEQUANTIZE_int8"]
    assert worst_error(artifact, net, contract) <= EXACT


def test_a_weight_that_two_operators_share_is_stored_once(tmp_path):
    body, contract = network("conv 3x3", nn.Conv2d(8, 8, 3, padding=1))
    net = Twice(body).eval()
    artifact = compile_to(tmp_path, program_of(net, contract, TARGET), TARGET)
    assert {form: len(weights) for form, weights in decode(tmp_path / "model.tflite").items()} == {"DEQUANTIZE_int8": 1}
    assert options_of(artifact)["DEQUANTIZE_int8"] == 2
    assert worst_error(artifact, net, contract) <= EXACT


def test_a_program_without_ternary_weights_is_refused(tmp_path):
    net, contract = network("linear")
    torch.nn.init.normal_(net[2].weight)
    with pytest.raises(Refused, match="net has no ternary weight.*nearest is int8"):
        compile_to(tmp_path, program_of(net, contract, TARGET), TARGET)


def test_a_normalisation_s_scale_is_taken_out_of_the_product_behind_it(tmp_path):
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.norm, self.linear = nn.LayerNorm(24), nn.Linear(24, 12)
            nn.init.uniform_(self.norm.weight, -2, 2)
            nn.init.uniform_(self.norm.bias, -1, 1)
            ternarize(self.linear.weight)

        def forward(self, x):
            return self.linear(self.norm(x))

    net = Normed().eval()
    _, contract = network("linear", shape=(1, 5, 24))
    program = program_of(net, contract, TARGET)
    artifact = compile_to(tmp_path / "a", program, TARGET)
    assert options_of(artifact)["FULLY_CONNECTED_int2"] == 1
    trits = tensor_of(program).trits
    assert packed(trits, 2).tobytes() in (tmp_path / "a" / "model.tflite").read_bytes()
    assert worst_error(artifact, net, contract) <= IN_8_BITS
