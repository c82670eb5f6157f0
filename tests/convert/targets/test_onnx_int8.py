"""Quantized ONNX files for CPU cores against eager PyTorch."""

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from npu_networks import Small, small_program
from onnx import helper, numpy_helper

from convert.compile import compile_program
from convert.export import export
from convert.program import Model
from convert.targets._onnx_cpu_quantize import separate_norms
from convert.targets._onnx_quantize import Plan, choose_ranges
from convert.targets._onnx_weights import round_weights
from convert.targets.onnx import onnx_cpu
from edge.artifact import Source
from edge.contract import Contract, TensorSpec
from edge.errors import Refused
from edge.runtimes import open_session
from quant.recipe import Recipe

LIMIT_DB = {"int8": 28.0, "mixed": 28.0, "w8a16": 38.0, "int8-dynamic": 25.0, "w8": 38.0, "w4": 18.0}
slow = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


def convolution(channels: int, outputs: int, groups: int = 1) -> tuple[onnx.ModelProto, np.ndarray]:
    """Return a model of one convolution and a sigmoid, and its weights."""
    weight = np.random.default_rng(0).standard_normal((outputs, channels // groups, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], name="conv", group=groups),
        helper.make_node("Sigmoid", ["y"], ["z"], name="sigmoid"),
    ]
    given = helper.make_tensor_value_info("x", 1, [1, channels, 8, 8])
    made = helper.make_tensor_value_info("z", 1, [1, outputs, 6, 6])
    graph = helper.make_graph(nodes, "g", [given], [made], [numpy_helper.from_array(weight, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), weight


def open_model(model: onnx.ModelProto):
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("bits", "channels", "groups", "limit"), [(8, 8, 1, 0.02), (8, 8, 8, 0.02), (4, 8, 1, 0.2), (4, 32, 1, 0.2)]
)
def test_rounded_weights_compute_nearly_the_same(bits, channels, groups, limit):
    model, weight = convolution(channels, 8, groups)
    image = np.random.default_rng(1).standard_normal((1, channels, 8, 8)).astype(np.float32)
    (expected,) = open_model(model).run(["z"], {"x": image})
    before = model.ByteSize()
    assert round_weights(model, bits) == 1
    (got,) = open_model(model).run(["z"], {"x": image})
    assert np.abs(got - expected).mean() < limit
    assert model.ByteSize() < before
    restored = [node for node in model.graph.node if node.op_type == "DequantizeLinear"]
    assert [node.output[0] for node in restored] == ["w"]
    assert weight.nbytes > 4 * sum(entry.ByteSize() for entry in model.graph.initializer) / 3


def test_an_observer_chooses_every_range_and_nothing_exceeds_where_a_sigmoid_saturates():
    model, _ = convolution(8, 8)
    inputs = [{"x": np.random.default_rng(i).standard_normal((1, 8, 8, 8)).astype(np.float32)} for i in range(3)]
    ranges = choose_ranges(model, inputs, Plan(bits=8, observer="percentile"))
    assert set(ranges) == {"x", "y", "z"}
    assert ranges["y"] == (-8.0, 8.0)
    assert set(choose_ranges(model, inputs, Plan(bits=8))) == {"y"}


@pytest.mark.parametrize(("precision", "message"), [("mixed", "no such operator"), ("w8", "keeps no operators")])
def test_kept_names_that_mean_nothing_are_refused(precision, message, tmp_path):
    program = replace(small_program(), recipe=Recipe(kept=("conv9",)))
    with pytest.raises(Refused, match=message):
        onnx_cpu(program, precision, tmp_path)


def test_layer_norms_that_share_weights_get_their_own():
    norms = [helper.make_node("LayerNormalization", [x, "w", "b"], [y], name=y) for x, y in ("xy", "yz", "zs")]
    last = helper.make_node("Mul", ["s", "w"], ["out"])
    given, made = (helper.make_tensor_value_info(name, 1, [2, 4]) for name in ("x", "out"))
    shared = [numpy_helper.from_array(np.full(4, value, np.float32), name) for name, value in (("w", 2), ("b", 1))]
    graph = helper.make_graph([*norms, last], "g", [given], [made], shared)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    rows = np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32)
    (expected,) = open_model(model).run(["out"], {"x": rows})
    assert separate_norms(model) == 4
    assert len({name for node in norms for name in node.input[1:]}) == 2  # make_graph copied them
    assert len({name for node in model.graph.node[:3] for name in node.input[1:]}) == 6
    assert np.array_equal(open_model(model).run(["out"], {"x": rows})[0], expected)
    assert separate_norms(model) == 0


class TestFiles:
    pytestmark = slow

    def test_equal_layer_norms_open_as_phones_compute(self, tmp_path):
        """What a network has before it is trained."""
        module = torch.nn.Sequential(torch.nn.LayerNorm(8), torch.nn.Linear(8, 8), torch.nn.LayerNorm(8)).eval()
        contract = Contract(inputs=(TensorSpec(name="x", shape=(1, 4, 8)),))
        program = export(Model("norms", module, contract, Source(sha256="")))
        calibration = tuple({"x": np.random.default_rng(i).random((1, 4, 8), np.float32)} for i in range(2))
        artifact = compile_program(replace(program, calibration=calibration), "onnx-cpu", "int8", tmp_path / "a")
        assert open_session(artifact).run(calibration[0])["output_0"].shape == (1, 4, 8)

    @pytest.mark.parametrize("precision", LIMIT_DB)
    def test_file_computes_the_model(self, precision, tmp_path):
        program = small_program()
        if precision == "mixed":
            program = replace(program, recipe=Recipe(kept=("conv2d",)))
        compiled = onnx_cpu(program, precision, tmp_path)
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.x64quantprecision", "1")
        options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), options)
        errors, values = [], []
        for given in program.calibration:
            with torch.no_grad():
                values.append(Small().eval()(torch.from_numpy(given["image"])).numpy())
            errors.append(np.mean((session.run(["mask"], given)[0] - values[-1]) ** 2))
        assert 20 * np.log10(np.ptp(values) / np.sqrt(np.mean(errors))) > LIMIT_DB[precision]
        kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
        fused = {"int8": 3, "mixed": 2}.get(precision, 0)
        assert kinds["QLinearConv"] == fused
        assert kinds["ConvInteger"] + kinds["ConvIntegerFusion"] == (3 if precision == "int8-dynamic" else 0)
        assert compiled.steps[-1].options

    def test_without_pictures_it_is_refused(self, tmp_path):
        with pytest.raises(Refused, match="--data"):
            onnx_cpu(replace(small_program(), calibration=()), "int8", tmp_path)
