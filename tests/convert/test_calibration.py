"""Calibration inputs: augmented cuts of real photographs, the same at every run."""

import re

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from convert.calibration import (
    INPUTS,
    augment,
    calibrate_on,
    calibrate_with,
    calibration_inputs,
    calibration_notes,
)
from convert.calibration_checks import check_activations, doubts
from convert.export import export
from convert.header import Header, write_header
from convert.load import load
from convert.prepare import prepare
from convert.program import Model
from convert.reference import read_reference
from edge.artifact import Source
from edge.contract import Contract, Preprocess, TensorSpec
from edge.errors import ContractError, Refused, UsageError


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_a_cut_lies_in_its_picture(height, width, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    cut = augment(image, np.random.default_rng(seed))
    assert cut.dtype == np.uint8
    assert all(1 <= size <= whole for size, whole in zip(cut.shape[:2], image.shape[:2], strict=True))
    np.testing.assert_array_equal(cut, augment(image, np.random.default_rng(seed)))


def test_a_model_without_pictures_is_refused_in_8_bits(tmp_path):
    from torch import nn

    contract = Contract(inputs=(TensorSpec(name="x", shape=(1, 6)),))
    model = Model("sums", nn.Linear(6, 2).eval(), contract, Source(sha256=""))
    prepare(model, [], tmp_path)
    assert calibration_inputs(tmp_path) == ()
    with pytest.raises(Refused, match=r"sums has no pictures .* --data DIR .* fp16 or fp32"):
        export(model).calibration_tensors()


def test_a_decoder_of_tokens_is_calibrated_on_random_ones(tmp_path):
    from edge.zoo._titok import Sizes, build_decoder
    from edge.zoo.titok import picture_contract

    sizes = Sizes(tokens=8, width=16, layers=1, heads=1, grid=1, codes=64, depth=4, legacy=False)
    contract = picture_contract(8, side=16, codes=64)
    prepare(Model("decoder", build_decoder(sizes).eval(), contract, Source(sha256="")), [], tmp_path)
    found = calibration_inputs(tmp_path)
    ids = np.concatenate([inputs["tokens"] for inputs in found])
    assert (ids.shape, ids.dtype) == ((INPUTS, 8), np.int32)
    assert 0 <= ids.min() < 8
    assert 56 < ids.max() < 64
    assert np.array_equal(ids, np.concatenate([inputs["tokens"] for inputs in calibration_inputs(tmp_path)]))


@pytest.mark.slow
def test_only_pictures_with_a_person_calibrate_a_model_of_people(tmp_path, photos):
    prepare(load("selfie-segmentation"), photos, tmp_path)
    reference = read_reference(tmp_path)
    assert [sample.frame is not None for sample in reference.samples] == [True, False, False]
    assert [sample.image.name for sample in reference.meaningful().samples] == ["picture0.png"]
    found = calibration_inputs(tmp_path)
    assert [inputs["image"].shape for inputs in found] == [(1, 3, 256, 256)] * INPUTS
    assert len({inputs["image"].tobytes() for inputs in found}) == INPUTS
    again = calibration_inputs(tmp_path)
    np.testing.assert_array_equal(found[-1]["image"], again[-1]["image"])


IMAGE = Contract(
    inputs=(TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW"),),
    preprocess=Preprocess(size=(8, 8), range=(0.0, 1.0), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
)  # values from -1 to 1


def pictures(count, low=-1.0, high=1.0):
    generator = np.random.default_rng(0)
    return [{"image": generator.uniform(low, high, (1, 3, 8, 8)).astype(np.float32)} for _ in range(count)]


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (pictures(3), "only 3 calibration inputs"),
        (pictures(9, 0, 255), "go from .* to 25.*; preprocessed pictures lie within -1 to 1"),
        (pictures(9, 0.0, 1 / 255), "were they preprocessed twice"),
        ([*pictures(8), {"image": np.zeros((1, 3, 8, 8), np.float32)}], "1 of 9 calibration inputs image are constant"),
        (pictures(1) * 9, "all calibration inputs are equal"),
    ],
    ids=["few", "not scaled", "scaled twice", "constant", "equal"],
)
def test_a_set_that_looks_wrong_is_doubted(inputs, text):
    assert re.search(text, "; ".join(doubts(IMAGE, inputs, pictures=len(inputs))))


def test_a_good_set_is_not_doubted():
    assert doubts(IMAGE, pictures(9), pictures=9) == ()


def test_own_inputs_are_kept_and_checked(tmp_path):
    write_header(tmp_path, Header("own", IMAGE, Source(sha256=""), ()))
    given = pictures(3)
    assert len(calibrate_with(tmp_path, iter(given))) == 1
    assert calibration_notes(tmp_path)[0].startswith("only 3")
    for kept, array in zip(calibration_inputs(tmp_path), given, strict=True):
        np.testing.assert_array_equal(kept["image"], array["image"])
    for wrong, text in (
        ([{"picture": given[0]["image"]}], r"named \['picture'\]; the contract has \['image'\]"),
        ([{"image": given[0]["image"][0]}], r"float32 \[3, 8, 8\]; the contract has float32 \[1, 3, 8, 8\]"),
        ([{"image": given[0]["image"] * np.float32(np.nan)}], "image holds NaN"),
    ):
        with pytest.raises(ContractError, match=text):
            calibrate_with(tmp_path, wrong)
    with pytest.raises(UsageError, match="are empty"):
        calibrate_with(tmp_path, [])


def test_whole_pictures_come_first_and_few_are_topped_up(tmp_path, photos):
    write_header(tmp_path, Header("own", IMAGE, Source(sha256=""), ()))
    assert "only 3" in calibrate_on(tmp_path, photos)[0]
    found = calibration_inputs(tmp_path)
    assert len(found) == INPUTS
    many = [photos[i % 3] for i in range(INPUTS + 4)]
    assert calibrate_on(tmp_path, many) == ()
    assert len(calibration_inputs(tmp_path)) == INPUTS + 4
    for i in range(3):
        np.testing.assert_array_equal(calibration_inputs(tmp_path)[i]["image"], found[i]["image"])


def test_an_operator_that_gives_nan_is_named():
    import dataclasses

    import torch
    from torch import nn

    class Masked(nn.Module):
        def forward(self, x):
            return torch.softmax(torch.log(x.clamp(min=0)), dim=1)  # log 0 = -inf, which softmax takes

    contract = Contract(inputs=(TensorSpec(name="x", shape=(1, 4)),))
    program = export(Model("masked", Masked().eval(), contract, Source(sha256="")))
    given = ({"x": np.array([[1.0, 0.0, 2.0, 3.0]], np.float32)},)
    with pytest.raises(ContractError, match="masked: operator log .* gives NaN or infinity"):
        check_activations(dataclasses.replace(program, calibration=given))
