"""Quantised values and weights in ML programs: the interpreter against the operator reference's formulas in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import TargetError
from edge.runtimes._mil import Function, Interpreter
from edge.runtimes._mil.ops_compressed import (
    constexpr_affine_dequantize,
    constexpr_blockwise_shift_scale,
    constexpr_lut_to_dense,
    dequantize,
    quantize,
)
from edge.runtimes._mil.program import Named, Operation, Reference
from edge.runtimes._mil.values import TensorType

FLOAT, INTEGER = TensorType("fp16", (4,)), TensorType("int8", (4,))


@given(
    values=st.lists(st.floats(-1e3, 1e3, width=16), min_size=1, max_size=20),
    scale=st.floats(2**-10, 8, width=16),
    zero_point=st.integers(-128, 127),
)
def test_quantize_rounds_half_to_even_and_clips(values: list[float], scale: float, zero_point: int) -> None:
    array = np.array(values, np.float32)
    found = quantize(
        torch.from_numpy(array), torch.tensor(scale), "int8", zero_point=torch.tensor(zero_point, dtype=torch.int8)
    )
    expected = np.clip(np.rint(array / np.float32(scale)) + zero_point, -128, 127).astype(np.int8)
    np.testing.assert_array_equal(found.numpy(), expected)
    back = dequantize(found, torch.tensor(scale), torch.tensor(zero_point, dtype=torch.int8))
    np.testing.assert_allclose(back.numpy(), np.float32(scale) * (expected.astype(np.float32) - zero_point), rtol=1e-6)


def test_ties_go_to_the_even_code_and_unsigned_codes_are_unsigned() -> None:
    values = torch.tensor([0.5, 1.5, 2.5, -0.5, 300.0, -300.0])
    one = torch.tensor(1.0)
    assert quantize(values, one, "int8").tolist() == [0, 2, 2, 0, 127, -128]
    shifted = quantize(values, one, "uint8", zero_point=torch.tensor(10, dtype=torch.uint8))
    assert shifted.tolist() == [10, 12, 12, 10, 255, 0]


def test_an_axis_has_a_scale_for_each_of_its_elements() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    scale, zero = np.array([1, 2, 4], np.float32), np.array([0, 5, -7], np.int8)
    found = quantize(torch.from_numpy(values), torch.from_numpy(scale), "int8", torch.from_numpy(zero), torch.tensor(1))
    np.testing.assert_array_equal(found.numpy(), np.rint(values / scale[:, None]) + zero[:, None])


def test_constants_are_decompressed_as_the_formulas_say() -> None:
    generator = np.random.default_rng(0)
    data = generator.integers(-128, 128, (6, 4, 3, 3)).astype(np.int8)
    scale = generator.uniform(0.01, 1, 6).astype(np.float16)
    zeros = torch.zeros(6, dtype=torch.int8)
    found = constexpr_affine_dequantize(torch.from_numpy(data), zeros, torch.from_numpy(scale), torch.tensor(0))
    wide = scale.astype(np.float32).reshape(6, 1, 1, 1)
    np.testing.assert_array_equal(found.numpy(), (data * wide).astype(np.float16))

    blocks = generator.uniform(0.01, 1, (6, 2, 1, 1)).astype(np.float32)
    found = constexpr_blockwise_shift_scale(torch.from_numpy(data), torch.from_numpy(blocks))
    np.testing.assert_array_equal(found.numpy(), data * blocks.repeat(2, axis=1))

    indices = generator.integers(0, 16, (6, 4, 3, 3)).astype(np.uint8)
    palettes = generator.normal(size=(3, 1, 1, 1, 16, 1)).astype(np.float16)  # one for two output channels
    found = constexpr_lut_to_dense(torch.from_numpy(indices), torch.from_numpy(palettes))
    expected = np.stack([palettes[channel // 2, 0, 0, 0, indices[channel], 0] for channel in range(6)])
    np.testing.assert_array_equal(found.numpy(), expected)


def rounding() -> Function:
    """x → quantize → dequantize → relu, in fp16."""
    scale, zero = torch.tensor(0.5, dtype=torch.float16), torch.tensor(3, dtype=torch.int8)
    return Function(
        inputs=(Named("x", FLOAT),),
        operations=(
            Operation(
                "quantize",
                "q",
                {"input": (Reference("x"),), "scale": (scale,), "zero_point": (zero,), "output_dtype": ("int8",)},
                {},
                (Named("q", INTEGER),),
                False,
            ),
            Operation(
                "dequantize",
                "d",
                {"input": (Reference("q"),), "scale": (scale,), "zero_point": (zero,)},
                {},
                (Named("d", FLOAT),),
                False,
            ),
            Operation("relu", "y", {"x": (Reference("d"),)}, {}, (Named("y", FLOAT),), False),
        ),
        outputs=("y",),
    )


def test_a_pair_in_a_program_keeps_fp16_around_the_integers() -> None:
    x = torch.tensor([0.2, 0.3, -1.0, 100.0], dtype=torch.float16)
    assert Interpreter(rounding(), "tiny").run({"x": x})["y"].tolist() == [0.0, 0.5, 0.0, 62.0]


def test_a_walk_takes_all_inputs_through_one_operation_before_the_next() -> None:
    inputs = [{"x": torch.full((4,), float(value), dtype=torch.float16)} for value in (1, 2)]
    seen: list[tuple[str, list[float]]] = []

    def visit(operation: Operation, found: list[tuple[torch.Tensor, ...]]) -> None:
        seen.append((operation.name, [float(results[0][0]) for results in found]))
        if operation.name == "d":
            for results in found:
                results[0].add_(1)  # what is written here goes on

    outputs = Interpreter(rounding(), "tiny").walk(inputs, visit)
    assert seen == [("q", [5, 7]), ("d", [1, 2]), ("y", [2, 3])]
    assert [float(entry["y"][0]) for entry in outputs] == [2, 3]


def test_integers_of_another_type_than_declared_are_an_error() -> None:
    function = rounding()
    arguments = {**function.operations[0].arguments, "output_dtype": ("uint8",)}
    wrong = Operation("quantize", "q", arguments, {}, (Named("q", INTEGER),), False)
    broken = Function(function.inputs, (wrong, *function.operations[1:]), function.outputs)
    with pytest.raises(TargetError, match="int8"):
        Interpreter(broken, "tiny").run({"x": torch.zeros(4, dtype=torch.float16)})
