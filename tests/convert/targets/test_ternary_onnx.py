"""Ternary weights in ONNX files: what is in the file is trits × scale bit for bit, and it is executed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ternary_networks import LAYERS, Twice, compile_to, network, options_of, program_of, tensor_of, worst_error
from torch import nn

from convert.targets._onnx_ternary_forms import block_of, blocked
from edge.errors import Refused
from quant.ternary import TernaryTensor, ternary_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`isinstance\\(treespec, LeafSpec\\)` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the exporter's dependencies
]
EXACT, IN_8_BITS = 1e-6, 2e-2  # of the largest value: float32 sums, and activations with 8-bit codes
TARGET = "onnx-cpu"


def decode(path) -> dict[str, list[np.ndarray]]:
    """Return the weights that an ONNX file holds in codes, by the operator that reads them, as float32."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    constants = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
    found: dict[str, list[np.ndarray]] = {}
    for node in model.graph.node:
        facts = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
        if node.op_type == "MatMulNBits":
            codes, scales = constants[node.input[1]], constants[node.input[2]]
            rows, blocks = scales.shape
            assert codes.shape == (rows, blocks, facts["block_size"] // 4)
            trits = (codes[..., None] >> np.array([0, 2, 4, 6], np.uint8) & 3).astype(np.int8) - 2
            weight = trits.reshape(rows, blocks, -1).astype(np.float32) * scales[..., None]
            found.setdefault(node.op_type, []).append(weight.reshape(rows, -1)[:, : facts["K"]])
        elif node.op_type == "DequantizeLinear":
            codes, scale = (constants[name] for name in node.input)
            shape = [-1 if axis == facts["axis"] else 1 for axis in range(codes.ndim)]
            weight = codes.astype(np.int8).astype(np.float32) * scale.reshape(shape)
            found.setdefault(node.op_type, []).append(np.moveaxis(weight, facts["axis"], 0))
    return found


@pytest.mark.parametrize("name", LAYERS)
def test_the_file_holds_exactly_the_ternary_weights_and_computes_with_them(name, tmp_path):
    import onnx

    net, contract = network(name)
    program = program_of(net, contract, TARGET)
    artifact = compile_to(tmp_path, program, TARGET)
    form = "MatMulNBits" if "linear" in name else "DequantizeLinear"
    (weight,) = decode(tmp_path / "model.onnx")[form]
    assert np.ascontiguousarray(weight).tobytes() == tensor_of(program).dequantize().tobytes()
    assert options_of(artifact)[f"{form}_int2"] == options_of(artifact)["ternary_layers"] == 1
    assert options_of(artifact)["float"] == 1
    assert worst_error(artifact, net, contract) <= (IN_8_BITS if "linear" in name else EXACT)
    kinds = {entry.data_type for entry in onnx.load(tmp_path / "model.onnx").graph.initializer}
    assert (onnx.TensorProto.INT2 in kinds) == (form == "DequantizeLinear")
    assert artifact.manifest.needs.min_runtime == "ONNX Runtime 1.31"


@pytest.mark.parametrize("columns", [4, 31, 64, 100, 128, 130, 300])
def test_products_of_any_width_are_exact_but_for_the_codes_of_activations(columns):
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper

    rng = np.random.default_rng(columns)
    tensor = TernaryTensor(rng.integers(-1, 2, (33, columns)), rng.uniform(0.01, 1, 33))
    block = block_of(columns)
    given = rng.normal(size=(5, columns)).astype(np.float32)
    wanted = given.astype(np.float64) @ tensor.dequantize().T
    constants = [numpy_helper.from_array(array, name) for array, name in zip(blocked(tensor, block), "bs", strict=True)]
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [5, columns])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [5, 33])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    for level, limit in ((0, EXACT), (4, IN_8_BITS)):
        facts = {"K": columns, "N": 33, "bits": 2, "block_size": block, "accuracy_level": level}
        node = helper.make_node("MatMulNBits", ["x", "b", "s"], ["y"], domain="com.microsoft", **facts)
        model = helper.make_model(
            helper.make_graph([node], "g", [x], [y], constants), opset_imports=opsets, ir_version=10
        )
        (found,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": given})
        assert np.abs(found - wanted).max() <= limit * np.abs(wanted).max()


def test_products_of_many_rows_keep_their_shape(tmp_path):
    net, contract = network("linear", shape=(1, 5, 24))
    program = program_of(net, contract, TARGET)
    artifact = compile_to(tmp_path, program, TARGET)
    (weight,) = decode(tmp_path / "model.onnx")["MatMulNBits"]
    assert np.ascontiguousarray(weight).tobytes() == tensor_of(program).dequantize().tobytes()
    assert worst_error(artifact, net, contract) <= IN_8_BITS


def test_a_row_is_one_block_or_blocks_of_128():
    assert [block_of(columns) for columns in (1, 32, 33, 64, 65, 128, 129, 4096)] == [32, 32, 64, 64] + [128] * 4


def test_blocks_without_fast_kernels_are_refused():
    tensor = ternary_of(np.eye(4))
    for block in (16, 256):
        with pytest.raises(Refused, match=f"blocks of {block}; expected 32, 64 or 128"):
            blocked(tensor, block)


def test_a_program_without_ternary_weights_is_refused(tmp_path):
    net, contract = network("linear")
    torch.nn.init.normal_(net[2].weight)
    with pytest.raises(Refused, match="net has no ternary weight.*nearest is int8"):
        compile_to(tmp_path, program_of(net, contract, TARGET), TARGET)


def test_a_weight_that_two_operators_share_is_stored_once(tmp_path):
    body, contract = network("conv 3x3", nn.Conv2d(8, 8, 3, padding=1))
    net = Twice(body).eval()
    artifact = compile_to(tmp_path, program_of(net, contract, TARGET), TARGET)
    assert [len(weights) for weights in decode(tmp_path / "model.onnx").values()] == [1]
    assert options_of(artifact)["DequantizeLinear_int2"] == 2
    assert worst_error(artifact, net, contract) <= EXACT


def test_one_number_a_channel_is_no_ternary_weight(tmp_path):
    net, contract = network("conv 1x1", nn.Conv2d(8, 8, 1, groups=8))
    with pytest.raises(Refused, match="no ternary weight"):
        compile_to(tmp_path, program_of(net, contract, TARGET), TARGET)
