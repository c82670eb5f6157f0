"""Verification itself: what passes, what does not, and what is said of it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import convert.verify
from convert.header import Header, write_header
from convert.reference import Reference, Sample, read_reference, write_samples
from convert.verify import compare_arrays, limits_for, relayout, verify
from edge.artifact import Artifact, Manifest, Needs, Source
from edge.contract import Contract, TensorSpec
from edge.errors import Unexecutable
from edge.zoo import DEFAULT_LIMITS, MODELS, Limits

X = TensorSpec(name="x", shape=(1, 2))
Y = TensorSpec(name="y", shape=(1, 2))
CONTRACT = Contract(inputs=(X,), outputs=(Y,))
LIMITS = Limits(relative=1e-3)
SOURCE = Source(sha256="0" * 64)
floats = hnp.arrays(np.float32, (1, 3, 4), elements=st.floats(-1e3, 1e3, width=32))


@given(floats)
def test_a_tensor_equals_itself(array):
    result = compare_arrays("y", array, array, LIMITS)
    assert result.max_abs == 0
    assert result.psnr_db == 200.0
    assert result.cosine == pytest.approx(1.0)


@given(floats, st.floats(1e-3, 10))
def test_the_largest_error_is_found(array, error):
    changed = array.astype(np.float64)
    changed[0, 1, 2] += error
    assert compare_arrays("y", changed, array.astype(np.float64), LIMITS).max_abs == pytest.approx(error, rel=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_count_as_the_largest_error(bad):
    result = compare_arrays("y", np.array([1.0, bad]), np.array([1.0, 2.0]), LIMITS)
    assert result.max_abs > 1e300
    assert result.psnr_db == 0


@given(hnp.arrays(np.float32, (1, 3, 4, 5)))
def test_layouts_go_there_and_back(array):
    there = relayout(array, "NCHW", "NHWC")
    assert there.shape == (1, 4, 5, 3)
    np.testing.assert_array_equal(relayout(there, "NHWC", "NCHW"), array)
    assert relayout(array, "", "NHWC") is array


class Answers:
    """A session that answers what it was told to."""

    mode = "native"

    def __init__(self, value):
        self.value = value

    def run(self, inputs):
        return {"y": np.asarray(self.value, np.float32)}


def verdict(monkeypatch, opener, limits=DEFAULT_LIMITS["fp32"]):
    monkeypatch.setattr(convert.verify, "open_session", opener)
    inputs, outputs = {"x": np.zeros((1, 2), np.float32)}, {"y": np.array([[1.0, 2.0]], np.float32)}
    reference = Reference(Header("m", CONTRACT, SOURCE, ()), (Sample(None, None, inputs, outputs),))
    manifest = Manifest(
        model="m", task="tensors", target="t-cpu", precision="fp32", files=(), inputs=(X,), outputs=(Y,), steps=(),
        source=SOURCE, needs=Needs(min_runtime="any"),
    )  # fmt: skip
    return verify(Artifact(Path(), manifest), reference, limits)


def test_the_same_numbers_pass(monkeypatch):
    parity = verdict(monkeypatch, lambda _: Answers([[1.0, 2.0]]))
    assert parity.passed
    assert parity.mode == "native"
    assert parity.inputs == "random: 1"
    assert parity.task is None


@pytest.mark.parametrize("value", [[[1.0, 2.01]], [[1.0, np.nan]], [[2.0, 1.0]]])
def test_other_numbers_do_not_pass_and_say_why(monkeypatch, value):
    parity = verdict(monkeypatch, lambda _: Answers(value))
    assert not parity.passed
    assert parity.reason.startswith("output y: max abs error")


def test_with_a_psnr_limit_a_small_rms_error_passes(monkeypatch):
    parity = verdict(monkeypatch, lambda _: Answers([[1.0, 2.01]]), Limits(relative=1e-3, psnr_db=30.0))
    assert parity.passed
    assert parity.outputs[0].limit_psnr_db == 30.0
    assert not verdict(monkeypatch, lambda _: Answers([[1.0, 2.5]]), Limits(relative=1e-3, psnr_db=30.0)).passed


def test_what_cannot_be_executed_is_unverified_never_passed(monkeypatch):
    def refuse(_):
        raise Unexecutable("model.mlpackage", ["2 × scatter: no such operator here"])

    parity = verdict(monkeypatch, refuse)
    assert parity.mode == "unverified"
    assert not parity.passed
    assert "scatter" in parity.reason


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("precision", sorted(DEFAULT_LIMITS))
def test_every_model_has_limits_for_every_precision(name, precision):
    assert 0 < limits_for(name, precision).relative <= 1  # 1 where outputs are ids, and only the task judges


def test_samples_are_read_back_as_they_were_written(tmp_path):
    inputs, outputs = {"x": np.ones((1, 2), np.float32)}, {"y": np.zeros((1, 2), np.int64)}
    write_header(tmp_path, Header("m", CONTRACT, SOURCE, ()))
    write_samples(tmp_path, [Sample(None, None, inputs, outputs)] * 2)
    found = read_reference(tmp_path)
    assert found.header.contract == CONTRACT
    assert len(found.samples) == 2
    np.testing.assert_array_equal(found.samples[1].outputs["y"], outputs["y"])
