"""Where Core ML's pairs go, which codes they have, and what a bias gets back: on small programs without coremltools."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convert.targets._coreml_bias import Channels
from convert.targets._coreml_edit import quantize_channels
from convert.targets._coreml_plan import plan_pairs, sharing
from convert.targets._coreml_ranges import Codes, choose_codes, layer_limits
from edge.runtimes._mil.program import Function, Named, Operation, Reference
from edge.runtimes._mil.values import TensorType
from quant.observers import Seen

TYPE = TensorType("fp16", (1, 4, 8, 8))
NONE: frozenset[str] = frozenset()


def op(type: str, name: str, *read: str, **numbers: float) -> Operation:
    """An operation that reads `x` (and `y`), and constants."""
    values = {key: (torch.tensor(value, dtype=torch.float16),) for key, value in numbers.items()}
    given = {"values": tuple(map(Reference, read))} if type == "concat" else {
        key: (Reference(value),) for key, value in zip("xy", read, strict=False)
    }  # fmt: skip
    weight = {"weight": (torch.zeros(4, 4, 1, 1),)} if type.startswith("conv") and type != "concat" else {}
    return Operation(type, name, {**given, **weight, **values}, {}, (Named(name, TYPE),), False)


def program(*operations: Operation) -> Function:
    return Function((Named("image", TYPE),), operations, (operations[-1].name,))


def planned(function: Function, kept: frozenset[str] = NONE) -> dict[str, list[str]]:
    return {pair.value: [reader.name for reader in pair.readers] for pair in plan_pairs(function, kept)}


def test_pairs_surround_operations_and_the_head_stays_in_float() -> None:
    function = program(
        op("conv", "a", "image"), op("relu", "r", "a"), op("conv", "b", "r"), op("sigmoid", "s", "b"),
        op("mul", "m", "s", "r"), op("conv", "head", "m"), op("softmax", "out", "head"),
    )  # fmt: skip
    assert planned(function) == {"image": ["a"], "r": ["b", "m"], "s": ["m"], "m": ["head"]}


def test_kept_operations_neither_read_nor_leave_integers() -> None:
    function = program(op("conv", "a", "image"), op("conv", "b", "a"), op("conv", "c", "b"), op("conv", "d", "c"))
    assert planned(function) == {"image": ["a"], "a": ["b"], "b": ["c"], "c": ["d"]}
    assert planned(function, frozenset({"b"})) == {"image": ["a"], "b": ["c"], "c": ["d"]}
    assert planned(function, frozenset("abcd")) == {}


def test_a_sum_with_a_constant_is_no_sum_of_two_values() -> None:
    function = program(op("conv", "a", "image"), op("add", "s", "a", y=1.0), op("conv", "b", "s"))
    assert planned(function) == {"image": ["a"], "a": ["s"], "s": ["b"]}  # `a` leaves integers, `s` does not read any
    assert "s" not in planned(program(op("add", "s", "image", y=1.0), op("conv", "a", "s")))["s"]


def test_what_only_moves_shares_its_scale() -> None:
    function = program(
        op("conv", "a", "image"), op("pad", "p", "a"), op("conv", "b", "p"),
        op("concat", "j", "a", "b"), op("conv", "out", "j"),
    )  # fmt: skip
    pairs = plan_pairs(function, NONE)
    assert list(sharing(function, pairs)) == [("a", "p"), ("b", "j")]  # `a` is read elsewhere too
    seen = {pair.value: Seen() for pair in pairs}
    for index, name in enumerate(seen):
        seen[name].add(np.linspace(-1, 1 + index, 50))
    codes = choose_codes(function, pairs, seen, "min-max", {})
    assert codes["a"] == codes["p"]
    assert codes["b"] == codes["j"]
    assert codes["a"] != codes["b"]


def test_ranges_end_where_the_reader_saturates() -> None:
    function = program(
        op("conv", "a", "image"), op("thresholded_relu", "t", "a", alpha=-3.0),
        op("sigmoid_hard", "h", "t", alpha=1 / 6, beta=0.5), op("mul", "m", "t", "h"), op("conv", "out", "m"),
    )  # fmt: skip
    pairs = plan_pairs(function, NONE)
    seen = {pair.value: Seen() for pair in pairs}
    for entry in seen.values():
        entry.add(np.array([-50.0, 20.0]))
    codes = choose_codes(function, pairs, seen, "min-max", {})
    assert codes["a"].ends == pytest.approx((-3, 20), abs=0.1)
    assert codes["image"].ends == pytest.approx((-50, 20), abs=0.3)
    limits = layer_limits(function, ["a", "out"], codes, {})
    assert limits["a"] == codes["a"].ends or limits["a"] == pytest.approx((-3, 20), abs=0.1)
    assert limits["out"] == (-np.inf, np.inf)


@given(low=st.floats(-1e3, 0), high=st.floats(0, 1e3))
def test_codes_hold_zero_and_their_range(low: float, high: float) -> None:
    codes = Codes.over((low, high))
    least, most = codes.ends
    assert -128 <= codes.zero_point <= 127
    assert least <= 0 <= most
    assert np.float16(codes.scale) == codes.scale
    step = 0.51 * codes.scale + 1e-3 * (high - low)  # the zero point is rounded, and so is the scale
    assert least <= low + step
    assert most >= high - step


@pytest.mark.parametrize("axis", [0, 1])
def test_weights_are_within_half_a_step_of_their_channel(axis: int) -> None:
    weight = np.random.default_rng(0).normal(size=(6, 4, 3, 3)).astype(np.float16)
    codes, scale = quantize_channels(weight, axis)
    wide = scale.astype(np.float32).reshape([-1 if index == axis else 1 for index in range(4)])
    assert np.abs(codes).max() == 127
    assert (np.abs(codes * wide - weight.astype(np.float32)) <= 0.505 * wide).all()


def test_a_shift_counts_only_what_lies_inside() -> None:
    wanted = Channels(mean=torch.tensor([1.0, 1.0, 1.0]), inside=torch.tensor([1.0, 0.5, 0.0]))
    shift = wanted.shift(torch.tensor([0.5, 0.5, 0.5]))
    assert shift.tolist() == [0.5, 1.0, 0.0]
