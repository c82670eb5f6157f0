"""Ternary weights for the kit's operators in ONNX Runtime: the shipped bytes are trits × scale, and are executed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ternary_networks import Twice, compile_to, network, options_of, program_of, tensor_of, ternarize, worst_error
from torch import nn

from convert.ternary import ternary_layers
from edge.errors import MissingError, Refused, TargetError
from edge.runtimes import open_session
from edge.runtimes._taps import read_taps
from edge.runtimes.onnx_ternary import DOMAIN
from quant.kernels.wrappers import onnxruntime_library
from quant.ternary import unpack

try:
    onnxruntime_library()
except MissingError as error:
    pytest.skip(str(error), allow_module_level=True)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`isinstance\\(treespec, LeafSpec\\)` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the exporter's dependencies
]
TARGET = "onnx-ternary"
EXACT, IN_8_BITS = 1e-6, 2e-2  # of the largest value: float32 sums, and activations with 8-bit codes
LINEAR = {
    "linear": (lambda: nn.Linear(320, 96), ()),
    "without bias": (lambda: nn.Linear(323, 90, bias=False), ()),
    "rows": (lambda: nn.Linear(320, 96), (1, 5, 320)),
}
CONV = {
    "1x1": lambda: nn.Conv2d(8, 64, 1),
    "3x3": lambda: nn.Conv2d(8, 64, 3, padding=1),
    "strided": lambda: nn.Conv2d(8, 61, 3, stride=(2, 1), bias=False),
    "padded": lambda: nn.Conv2d(8, 64, 3, padding=(2, 1)),
    "dilated": lambda: nn.Conv2d(8, 64, 3, dilation=(2, 3), padding=(2, 3)),
}


def shipped(folder):
    """Return the operators of the kit in a file with the tensors that their packed bytes hold."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(folder / "model.onnx")
    constants = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
    own = [node for node in model.graph.node if node.domain == DOMAIN]
    return model, [(node, unpack(constants[node.input[1]].tobytes())) for node in own]


def check_lossless(folder, program):
    model, ((node, tensor),) = shipped(folder)
    wanted = tensor_of(program)
    assert tensor.dequantize().tobytes() == wanted.dequantize().tobytes()
    assert not [entry for entry in model.graph.initializer if list(entry.dims) == list(wanted.shape)]
    return node


@pytest.mark.parametrize("name", LINEAR)
def test_a_product_ships_its_packed_bytes_and_computes_with_them(name, tmp_path):
    layer, shape = LINEAR[name]
    net, contract = network(name, layer(), shape=shape)
    program = program_of(net, contract, TARGET)
    artifact = compile_to(tmp_path, program, TARGET)
    assert check_lossless(tmp_path, program).op_type == "TernaryLinear"
    assert options_of(artifact) == {
        "kind": "ternary", "TernaryLinear_t5": 1, "float": 1, "ternary_layers": 1,
        "activations": "int8 a row at run time in TernaryLinear",
    }  # fmt: skip
    assert worst_error(artifact, net, contract) <= IN_8_BITS
    assert artifact.manifest.needs.min_runtime == (
        "ONNX Runtime 1.18 with libternary_onnxruntime registered (SessionOptions.register_custom_ops_library)"
    )


def convolution(name):
    """Return a network of `network`; a single tap has 64 inputs, since fewer are smaller as 2 bits."""
    net, contract = network(name, CONV[name]())
    if name == "1x1":
        net = nn.Sequential(nn.Conv2d(8, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 1)).eval()
        ternarize(net[2].weight)
    return net, contract


@pytest.mark.parametrize("name", CONV)
def test_a_convolution_ships_its_packed_bytes_and_computes_with_them(name, tmp_path, monkeypatch):
    net, contract = convolution(name)
    program = program_of(net, contract, TARGET)
    artifact = compile_to(tmp_path, program, TARGET)
    assert check_lossless(tmp_path, program).op_type == "TernaryConv2d"
    assert options_of(artifact)["TernaryConv2d_t5"] == 1
    assert options_of(artifact)["activations"] == "int8 an image at run time in TernaryConv2d"
    for threads in ("1", "2"):
        monkeypatch.setenv("EDGE_THREADS", threads)
        assert worst_error(artifact, net, contract) <= IN_8_BITS


@pytest.mark.parametrize("name", ["depthwise", "grouped", "transposed", "odd linear"])
def test_weights_that_the_operators_cannot_take_have_the_forms_of_onnx_cpu(name, tmp_path):
    net, contract = network(name)
    program = program_of(net, contract, TARGET)
    artifact = compile_to(tmp_path, program, TARGET)
    model, own = shipped(tmp_path)
    assert not own
    assert DOMAIN not in {entry.domain for entry in model.opset_import}
    form = "MatMulNBits_int2" if isinstance(net[2], nn.Linear) else "DequantizeLinear_int2"
    assert options_of(artifact)[form] == 1
    assert worst_error(artifact, net, contract) <= (IN_8_BITS if form == "MatMulNBits_int2" else EXACT)
    assert artifact.manifest.needs.min_runtime == "ONNX Runtime 1.31"


def test_a_weight_takes_less_than_1_65_bits(tmp_path):
    net, contract = network("large", nn.Linear(1024, 256))
    program = program_of(net, contract, TARGET)
    compile_to(tmp_path, program, TARGET)
    model, ((node, tensor),) = shipped(tmp_path)
    (packed,) = [entry for entry in model.graph.initializer if entry.name == node.input[1]]
    assert 8 * len(packed.raw_data) / tensor.trits.size < 1.65


def test_a_weight_that_two_operators_share_is_stored_once(tmp_path):
    body, contract = network("shared", nn.Linear(320, 320))
    net = Twice(body).eval()
    artifact = compile_to(tmp_path, program_of(net, contract, TARGET), TARGET)
    model, own = shipped(tmp_path)
    assert len({node.input[1] for node, _ in own}) == 1
    assert options_of(artifact)["TernaryLinear_t5"] == len(own) == 2
    assert len([entry for entry in model.graph.initializer if entry.name.endswith("_packed")]) == 1
    assert worst_error(artifact, net, contract) <= IN_8_BITS


def test_several_forms_in_one_file(tmp_path):
    net, contract = network("mixed", nn.Conv2d(8, 64, 3, padding=1))
    depthwise = nn.Conv2d(64, 64, 3, padding=1, groups=64)
    with torch.no_grad():
        depthwise.weight.copy_(depthwise.weight.sign() * 0.5)
    net = nn.Sequential(*net, nn.ReLU(), depthwise).eval()
    program = program_of(net, contract, TARGET)
    assert len(ternary_layers(program)) == 2
    artifact = compile_to(tmp_path, program, TARGET)
    options = options_of(artifact)
    assert (options["TernaryConv2d_t5"], options["DequantizeLinear_int2"], options["float"]) == (1, 1, 1)
    assert artifact.manifest.needs.min_runtime.startswith("ONNX Runtime 1.31 with libternary_onnxruntime")
    assert worst_error(artifact, net, contract) <= IN_8_BITS


def test_every_value_of_the_file_can_be_seen(tmp_path):
    net, contract = network("taps", nn.Linear(320, 96))
    artifact = compile_to(tmp_path, program_of(net, contract, TARGET), TARGET)
    found = read_taps(artifact, {"x": np.ones((1, 320), np.float32)})
    assert found.operators == ("Gemm", "Relu", "TernaryLinear")
    assert len(found.taps) == 3
    assert found.notes == ()


def test_a_damaged_weight_is_no_result(tmp_path):
    net, contract = network("damaged", nn.Linear(320, 96))
    artifact = compile_to(tmp_path, program_of(net, contract, TARGET), TARGET)
    path = tmp_path / "model.onnx"
    content = bytearray(path.read_bytes())
    at = content.index(b"EDKT") + 64 + 4 * 96 + 100
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(TargetError, match=r"the checksum is wrong: the packed tensor was damaged; deploy it again"):
        open_session(artifact)


def test_activations_that_are_not_finite_are_refused(tmp_path):
    net, contract = network("nan", nn.Linear(320, 96))
    session = open_session(compile_to(tmp_path, program_of(net, contract, TARGET), TARGET))
    with pytest.raises(TargetError, match="TernaryLinear.*not finite"):
        session.run({"x": np.full((1, 320), np.inf, np.float32)})


def test_a_program_without_ternary_weights_is_refused(tmp_path):
    net, contract = network("linear")
    torch.nn.init.normal_(net[2].weight)
    with pytest.raises(Refused, match="net has no ternary weight.*nearest is int8"):
        compile_to(tmp_path, program_of(net, contract, TARGET), TARGET)
