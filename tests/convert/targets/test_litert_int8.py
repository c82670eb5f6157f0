"""Static quantization of LiteRT files against eager PyTorch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from npu_networks import Small, small_program

from convert.delegation import Placement, operator_nodes
from convert.targets._litert_aot import to_quantized
from convert.targets._litert_int8 import RECIPES, Seen, _choose, _shift
from convert.targets._litert_origin import place_operators, read_operators
from edge.errors import Refused

LIMIT_DB = {"int8": 28.0, "w8a16": 38.0}


def test_ranges_ignore_a_stray_value():
    values = np.concatenate([np.linspace(-1, 1, 4000, dtype=np.float32), np.float32([40.0])])
    seen = Seen(lows=[-1.0], highs=[40.0], values=[values], means=[])
    assert _choose(seen, "extremes") == (-1.0, 40.0)
    assert _choose(seen, "absolute")[1] < 20


def test_shift_of_a_depthwise_and_a_grouped_convolution():
    means = np.float32([1, 2])
    depthwise = np.ones((1, 3, 3, 4), np.float32)  # two results a channel
    assert _shift("DEPTHWISE_CONV_2D", depthwise, means).tolist() == [9, 9, 18, 18]
    grouped = np.ones((4, 1, 1, 1), np.float32)
    assert _shift("CONV_2D", grouped, means).tolist() == [1, 1, 2, 2]


def test_without_pictures_it_is_refused():
    program = replace(small_program(), calibration=())
    with pytest.raises(Refused, match="--data"):
        to_quantized(program, "int8")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("precision", RECIPES)
def test_quantized_file_computes_the_model(precision):
    from ai_edge_litert.interpreter import Interpreter

    program = small_program()
    content, steps = to_quantized(program, precision)
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    run = interpreter.get_signature_runner()
    for given in program.calibration:
        with torch.no_grad():
            expected = Small().eval()(torch.from_numpy(given["image"])).numpy()
        got = run(image=given["image"].transpose(0, 2, 3, 1))["mask"].transpose(0, 3, 1, 2)
        psnr = 20 * np.log10(np.ptp(expected) / np.sqrt(np.mean((got - expected) ** 2)))
        assert psnr > LIMIT_DB[precision]
    assert steps[-1].options["recipe"] == RECIPES[precision]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_every_operator_is_found_in_the_file():
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
