"""Calibration inputs: augmented cuts of real photographs, the same at every run."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from convert.calibration import INPUTS, augment, calibration_inputs
from convert.export import export
from convert.load import load
from convert.prepare import prepare
from convert.program import Model
from convert.reference import read_reference
from edge.artifact import Source
from edge.contract import Contract, TensorSpec
from edge.errors import Refused


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
