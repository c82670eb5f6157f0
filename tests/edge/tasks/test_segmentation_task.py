"""Segmentation: classes, palette, IoU and drawing."""

from __future__ import annotations

import json
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.errors import ContractError
from edge.tasks import TASKS
from edge.tasks._overlay import palette
from edge.tasks.segmentation import Segmentation, iou, mean_iou

FEW = settings(max_examples=40, deadline=None)
TASK = TASKS["segmentation"]
PHOTO = np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)
MAPS = arrays.arrays(np.uint8, (6, 7), elements=st.integers(0, 4))


def _contract(channels: int, layout: Literal["NCHW", "NHWC"], decoder: str, labels: tuple[str, ...] = ()) -> Contract:
    def image(name: str, count: int, height: int, width: int) -> TensorSpec:
        shape = (1, count, height, width) if layout == "NCHW" else (1, height, width, count)
        return TensorSpec(name=name, shape=shape, layout=layout)

    return Contract(
        inputs=(image("image", 3, 20, 30),),
        outputs=(image("mask", channels, 10, 15),),
        task="segmentation",
        preprocess=Preprocess(size=(20, 30)),
        postprocess=Postprocess(decoder=decoder, settings={"threshold": 0.4}),
        labels=labels,
    )


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_probability_becomes_a_mask_of_the_picture(layout: Literal["NCHW", "NHWC"]) -> None:
    contract = _contract(1, layout, "probability", ("person",))
    inputs, frame = TASK.prepare(PHOTO, contract)
    assert inputs["image"].shape == contract.inputs[0].shape
    mask = np.tile(np.linspace(0, 1, 15, dtype=np.float32), (10, 1)).reshape(contract.outputs[0].shape)
    result = TASK.decode({"mask": mask}, contract, frame)
    assert result.classes.shape == (60, 90)
    assert result.probability.max() == 1
    columns = np.minimum(np.arange(90) / 6 / 14, 1)  # mask pixel i lies at picture pixel 6·i
    assert np.allclose(result.probability[30], columns, atol=1e-6)
    assert np.array_equal(result.classes[30], columns > 0.4)
    assert json.loads(json.dumps(result.to_json()))["classes"][0]["label"] == "person"
    drawn = TASK.draw(PHOTO, result)
    assert drawn.shape == PHOTO.shape
    assert np.array_equal(drawn[:, :20], PHOTO[:, :20])  # far outside the mask nothing changes


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_logits_become_the_largest_class(layout: Literal["NCHW", "NHWC"]) -> None:
    contract = _contract(3, layout, "logits", ("background", "cat", "dog"))
    logits = np.zeros((1, 3, 10, 15), np.float32)
    logits[0, 1, :, 5:] = 9
    logits[0, 2, :, 10:] = 18
    if layout == "NHWC":
        logits = logits.transpose(0, 2, 3, 1)
    result = TASK.decode({"mask": logits}, contract, TASK.prepare(PHOTO, contract)[1])
    assert result.classes[30, [0, 24, 36, 54, 66, 89]].tolist() == [0, 0, 1, 1, 2, 2]
    assert {item["label"] for item in result.to_json()["classes"]} == {"background", "cat", "dog"}
    assert not np.array_equal(TASK.draw(PHOTO, result), PHOTO)


def test_letterboxed_masks_come_back() -> None:
    contract = Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, 30, 30), layout="NCHW"),),
        outputs=(TensorSpec(name="mask", shape=(1, 1, 30, 30), layout="NCHW"),),
        task="segmentation",
        preprocess=Preprocess(size=(30, 30), resize="letterbox"),
    )
    frame = TASK.prepare(PHOTO, contract)[1]  # 90 × 60: bars of 5 rows above and below
    mask = np.zeros((1, 1, 30, 30), np.float32)
    mask[..., 5:15, :] = 1
    result = TASK.decode({"mask": mask}, contract, frame)
    assert result.classes[:27].all()
    assert not result.classes[30:].any()


def test_bad_contracts_are_named() -> None:
    contract = _contract(1, "NCHW", "depth")
    frame = TASK.prepare(PHOTO, contract)[1]
    mask = np.zeros((1, 1, 10, 15), np.float32)
    with pytest.raises(ContractError, match="no decoder 'depth'"):
        TASK.decode({"mask": mask}, contract, frame)
    with pytest.raises(ContractError, match="differ in size"):
        mean_iou(np.zeros((2, 2)), np.zeros((2, 3)))


@FEW
@given(a=MAPS, b=MAPS)
def test_iou_bounds_and_symmetry(a: np.ndarray, b: np.ndarray) -> None:
    assert 0 <= mean_iou(a, b) <= 1
    assert mean_iou(a, b) == mean_iou(b, a)
    assert mean_iou(a, a) == 1
    assert (mean_iou(a, b) == 1) == np.array_equal(a, b)
    assert iou(a > 0, b > 0) == iou(b > 0, a > 0)


def test_iou_by_hand() -> None:
    a = np.array([[0, 0, 1, 1]])
    b = np.array([[0, 1, 1, 1]])
    assert mean_iou(a, b) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert iou(np.zeros(3, bool), np.zeros(3, bool)) == 1


def test_palette_is_vocs() -> None:
    colours = palette(256)
    known = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)]  # background, aeroplane, bicycle, …
    assert [tuple(map(int, colour)) for colour in colours[:5]] == known
    assert tuple(map(int, colours[15])) == (192, 128, 128)  # person
    assert len({tuple(colour) for colour in colours.tolist()}) == 256


def test_many_classes_are_drawn_in_their_colours() -> None:
    classes = np.zeros((60, 90), np.uint8)
    classes[:, 30:60], classes[:, 60:] = 15, 3
    drawn = TASK.draw(np.full_like(PHOTO, 128), Segmentation(classes, ()))
    assert (drawn[:, :20] == 128).all()
    assert not Segmentation(classes, ()).empty
    assert Segmentation(np.zeros_like(classes), ()).empty
    assert len({tuple(drawn[30, x].tolist()) for x in (10, 45, 75)}) == 3


def test_plain_tensors_pass_through() -> None:
    task = TASKS["tensors"]
    contract = Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW"),),
        outputs=(TensorSpec(name="y", shape=(1, 4)),),
        preprocess=Preprocess(size=(8, 8)),
    )
    inputs, frame = task.prepare(PHOTO, contract)
    result = task.decode({"y": inputs["image"][:, :1, 0, :4]}, contract, frame)
    assert task.compare(result, result) == pytest.approx(1)
    assert result.to_json()["y"]["shape"] == [1, 1, 4]
    assert np.array_equal(task.draw(PHOTO, result), PHOTO)


def test_over_several_pictures_classes_are_summed_up_before_the_mean():
    first, second = np.array([[0, 0, 0, 0]], np.uint8), np.array([[0, 1, 1, 1]], np.uint8)
    off = np.array([[0, 0, 0, 1]], np.uint8)
    pairs = [(Segmentation(off, ()), Segmentation(first, ())), (Segmentation(second, ()), Segmentation(second, ()))]
    # class 0: 3 + 1 of 4 + 1; class 1: 0 + 3 of 1 + 3
    assert TASKS["segmentation"].compare_all(pairs) == pytest.approx((4 / 5 + 3 / 4) / 2)
