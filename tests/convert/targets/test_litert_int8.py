"""Quantized LiteRT files against eager PyTorch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from npu_networks import Small, small_program

from convert.delegation import Placement, operator_nodes
from convert.targets._litert_activations import Rewritten
from convert.targets._litert_bias import mean_shift
from convert.targets._litert_int8 import Activation, _choose
from convert.targets._litert_origin import FileOperator, place_operators, read_operators, results_of
from convert.targets._litert_precision import to_quantized
from convert.targets._litert_recipes import STATIC
from convert.targets.litert import litert_cpu
from edge.errors import Refused
from quant.recipe import Recipe

LIMIT_DB = {"int8": 28.0, "mixed": 28.0, "w8a16": 38.0, "int8-dynamic": 28.0, "w8": 38.0, "w4": 18.0}
slow = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


def test_ranges_by_extremes_and_by_their_mean():
    entry = Activation()
    entry.add(np.linspace(-1, 1, 4000, dtype=np.float32))
    entry.add(np.array([0.0, 40.0], np.float32))
    assert _choose(entry, "min-max", 8) == (-1.0, 40.0)
    assert _choose(entry, "mean of extremes", 8) == (-0.5, 20.5)


def test_shift_of_a_depthwise_and_a_grouped_convolution():
    means = np.float32([1, 2])
    depthwise = np.ones((1, 3, 3, 4), np.float32)  # two results a channel
    assert mean_shift("DEPTHWISE_CONV_2D", depthwise, means).tolist() == [9, 9, 18, 18]
    grouped = np.ones((4, 1, 1, 1), np.float32)
    assert mean_shift("CONV_2D", grouped, means).tolist() == [1, 1, 2, 2]


def test_ranges_of_rewritten_activations():
    made = Rewritten(b"", {"gate": (0.0, 1.0)}, {"share": ("x", 1 / 6), "lost": ("y", 1.0)})
    assert made.complete({"x": (-3.0, 6.0)}) == {"x": (-3.0, 6.0), "share": (-0.5, 1.0), "gate": (0.0, 1.0)}


def test_results_of_an_operator_that_was_fused_and_that_constants_are_named_after():
    operators = [
        FileOperator(0, "CONV_2D", ("a",), ("relu", "conv2d")),
        FileOperator(1, "CONV_2D", ("b",), ("relu_1", "relu", "conv2d_1")),  # shares a constant with the first
    ]
    assert results_of(operators, {"conv2d"}) == {"a"}
    assert results_of(operators, {"relu"}) == {"a"}
    assert results_of(operators, {"conv2d_1"}) == {"b"}


def test_without_pictures_it_is_refused():
    program = replace(small_program(), calibration=())
    with pytest.raises(Refused, match="--data"):
        to_quantized(program, "int8")


@pytest.mark.parametrize(("precision", "message"), [("mixed", "no such operator"), ("int8", "keeps no operators")])
def test_kept_names_that_mean_nothing_are_refused(precision, message):
    program = replace(small_program(), recipe=Recipe(kept=("conv9",)))
    with pytest.raises(Refused, match=message):
        to_quantized(program, precision)


def run_file(content: bytes, image: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    run = interpreter.get_signature_runner()
    return run(image=image)["mask"]


def psnr(content: bytes, program, turned: bool = False) -> float:
    """Return the PSNR of a file's answers on the calibration pictures against the eager network, in dB."""
    errors, values = [], []
    for given in program.calibration:
        with torch.no_grad():
            expected = Small().eval()(torch.from_numpy(given["image"])).numpy()
        got = run_file(content, given["image"].transpose(0, 2, 3, 1) if turned else given["image"])
        errors.append(np.mean(((got.transpose(0, 3, 1, 2) if turned else got) - expected) ** 2))
        values.append(expected)
    return float(20 * np.log10(np.ptp(values) / np.sqrt(np.mean(errors))))


class TestFiles:
    pytestmark = slow

    @pytest.mark.parametrize("precision", ["int8", "w8a16"])
    def test_file_for_npus_computes_the_model(self, precision):
        program = small_program()
        content, steps = to_quantized(program, precision)
        assert psnr(content, program, turned=True) > LIMIT_DB[precision]
        assert steps[-1].options["recipe"] == STATIC[precision]

    @pytest.mark.parametrize("precision", LIMIT_DB)
    def test_file_for_cpu_cores_computes_the_model(self, precision, tmp_path: Path):
        program = small_program()
        if precision == "mixed":
            program = replace(program, recipe=Recipe(kept=("conv2d",)))
        compiled = litert_cpu(program, precision, tmp_path)
        content = (tmp_path / "model.tflite").read_bytes()
        assert psnr(content, program) > LIMIT_DB[precision]
        left = {entry.op for entry in compiled.rejected}
        if precision in ("int8", "mixed", "int8-dynamic", "w8"):
            assert not left  # XNNPACK takes the whole file
        if precision == "w8a16":
            assert "CONV_2D" in left
        kinds = [operator.kind for operator in read_operators(content, program)]
        assert ("HARD_SWISH" in kinds) == (precision != "int8" and precision != "mixed")

    def test_kept_operators_stay_in_float(self):
        from convert.targets._litert_origin import read_model

        program = small_program()
        names = [node.name for node in operator_nodes(program) if "conv2d" in node.name]
        plain, _ = to_quantized(program, "mixed")
        program = replace(program, recipe=Recipe(kept=(names[-1],)))
        mixed, steps = to_quantized(program, "mixed")
        assert steps[-1].options["float_operators"] == 1

        def float_results(content):
            tensors = read_model(content).subgraphs[0].tensors
            made = [op for op in read_operators(content, program) if op.kind == "CONV_2D"]
            floats = {tensor.name.decode() for tensor in tensors if tensor.type == 0}
            return [op.origins for op in made if floats & set(op.outputs)]

        assert float_results(plain) == []
        assert [names[-1] in origins for origins in float_results(mixed)] == [True]
        assert psnr(mixed, program, turned=True) > psnr(plain, program, turned=True) - 0.5

    @pytest.mark.parametrize("observer", ["min-max", "entropy"])
    def test_an_observer_is_obeyed(self, observer):
        program = replace(small_program(), recipe=Recipe(observer=observer))
        content, steps = to_quantized(program, "int8")
        assert steps[-1].options["ranges"] == observer
        assert psnr(content, program, turned=True) > 20

    def test_every_operator_is_found_in_the_file(self):
        program = small_program()
        content, _ = to_quantized(program, "int8")
        operators = read_operators(content, program)
        named = {name for operator in operators for name in operator.origins}
        heavy = {node.name for node in operator_nodes(program) if "conv" in node.name or "sigmoid" in node.name}
        assert heavy <= named
        assert all(not operator.origins for operator in operators if operator.kind in ("QUANTIZE", "DEQUANTIZE"))
        last = next(operator for operator in reversed(operators) if operator.kind == "LOGISTIC")
        left = {last.index: Placement("cpu", "LiteRT", "no sigmoid")}
        placed = place_operators(program, operators, Placement("npu", "NPU"), left)
        assert {name for name, where in placed.items() if where.unit == "cpu"} == {"sigmoid"}
