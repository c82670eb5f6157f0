"""The order of quantized versions: the task's metric decides before the outputs do."""

from __future__ import annotations

import numpy as np

from convert.nearness import nearness
from edge.contract import Contract, Postprocess, Preprocess, TensorSpec

CONTRACT = Contract(
    task="segmentation",
    inputs=(TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW"),),
    outputs=(TensorSpec(name="mask", shape=(1, 1, 8, 8), layout="NCHW"),),
    preprocess=Preprocess(size=(8, 8)),
    postprocess=Postprocess(decoder="probability"),
    labels=("background", "bright"),
)


def _answers(low: float, high: float) -> list[dict[str, np.ndarray]]:
    mask = np.full((1, 1, 8, 8), low, np.float32)
    mask[..., 2:6] = high
    return [{"mask": mask}]


def test_a_small_error_that_changes_the_result_is_farther_than_a_large_one_that_does_not() -> None:
    expected = _answers(0.45, 0.95)
    flipped, shifted = _answers(0.55, 0.95), _answers(0.1, 0.7)
    assert nearness(expected, flipped) > nearness(expected, shifted)  # by the outputs alone
    assert nearness(expected, flipped, CONTRACT) < nearness(expected, shifted, CONTRACT)


def test_equal_results_are_ordered_by_the_outputs() -> None:
    expected = _answers(0.1, 0.9)
    near, far = _answers(0.12, 0.9), _answers(0.3, 0.9)
    assert nearness(expected, near, CONTRACT) > nearness(expected, far, CONTRACT)


def test_a_picture_in_which_nothing_is_found_does_not_count() -> None:
    nothing = _answers(0.1, 0.1)
    assert nearness(nothing, _answers(0.2, 0.2), CONTRACT) < nearness(nothing, nothing, CONTRACT)
