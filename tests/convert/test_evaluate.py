"""Evaluations: a metric over pictures with its interval, and what the eager model expects in them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.build import Build, compile_in_child
from convert.evaluate import evaluate_in_child, evenly, summarize
from convert.expect import expectations
from convert.keys import ModelRequest
from edge.errors import InputError, Refused, UsageError
from edge.packed import pack, unpack
from edge.pipeline import prepare_request
from edge.samples import photographs, sample_photos
from edge.tasks import TASKS, Region
from edge.tasks._detection import Detection, Detections
from edge.tasks.pose import Pose
from edge.tasks.segmentation import Segmentation
from edge.tasks.tensors import TensorResult

POSE = Pose(
    0.75, np.ones((33, 3)) / 3, np.ones(33), np.zeros(33), np.ones((33, 3)), Region(1.5, 2.0, 3.0, 0.5), np.eye(2)
)
RESULTS = [
    POSE,
    Detections((Detection(0.5, np.arange(4.0), np.ones((4, 2))),)),
    Segmentation(np.ones((2, 3), np.uint8), ("a", "b"), np.full((2, 3), 0.25, np.float32)),
    TensorResult({"x": np.zeros((1, 3), np.int64)}),
]


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_results_are_packed_bit_by_bit(result: object) -> None:
    copy = unpack(pack(result), type(result))
    assert type(copy) is type(result)
    assert pack(copy) == pack(result)
    assert copy.to_json() == result.to_json()  # type: ignore[attr-defined]


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_an_interval_holds_its_value(scores: list[float]) -> None:
    found = summarize(TASKS["pose-landmarks"], np.array(scores)[:, None], min(scores), "numbers")
    assert found.count == len(scores)
    assert found.value == pytest.approx(np.mean(scores))
    assert found.ci95[0] - 1e-12 <= found.value <= found.ci95[1] + 1e-12
    assert found.worst <= found.value + 1e-12


def test_intervals_shrink_with_more_pictures_and_are_repeatable() -> None:
    generator = np.random.default_rng(0)
    few, many = generator.uniform(0.9, 1, (10, 1)), generator.uniform(0.9, 1, (400, 1))
    task = TASKS["pose-landmarks"]
    wide, narrow = (summarize(task, rows, float(rows.min()), "") for rows in (few, many))
    assert wide.ci95[1] - wide.ci95[0] > 3 * (narrow.ci95[1] - narrow.ci95[0])
    assert summarize(task, few, float(few.min()), "") == wide


def test_segmentation_is_summed_over_pictures_as_in_voc() -> None:
    task = TASKS["segmentation"]
    maps = [(np.array([[0, 0, 1]]), np.array([[0, 1, 1]])), (np.array([[0, 2, 2]]), np.array([[0, 2, 2]]))]
    pairs = [(Segmentation(a.astype(np.uint8), ()), Segmentation(b.astype(np.uint8), ())) for a, b in maps]
    rows = np.stack([task.measure(result, reference) for result, reference in pairs])
    assert task.total(rows) == pytest.approx(np.mean([2 / 3, 1 / 2, 1.0]))
    assert task.total(rows) == task.compare_all(pairs)


@settings(deadline=None)
@given(st.integers(1, 200))
def test_every_beginning_is_spread_over_the_set(count: int) -> None:
    order = list(evenly(range(count)))  # type: ignore[arg-type]
    assert sorted(order) == list(range(count))
    taken = sorted(order[: max(2, count // 4)])
    gaps = np.diff([-1, *taken, count])
    assert gaps.max() <= 4 * count / len(taken) + 2


@pytest.mark.slow
def test_an_artifact_is_evaluated_on_pictures(tmp_path: Path) -> None:
    prepared = prepare_request(ModelRequest(model="selfie-segmentation"), tmp_path / "p", tmp_path / "log", print)
    artifact, log = tmp_path / "artifact", tmp_path / "log"
    compile_in_child(Build(target="onnx-cpu", precision="fp16"), prepared.folder, artifact, log)
    pictures = photographs().evaluation[::12]
    found = evaluate_in_child(artifact, prepared.folder, pictures, "a few", log)
    assert (found.data, found.metric) == ("a few", "mean IoU")
    assert 1 <= found.count <= len(pictures)
    assert 0.99 <= found.ci95[0] <= found.value <= found.ci95[1] <= 1
    assert found.worst <= found.value
    again = evaluate_in_child(artifact, prepared.folder, pictures, "a few", log, budget_s=0.0)
    assert again.count == min(8, found.count)
    with pytest.raises(Refused, match="finds nothing in any of the 1 pictures of cups"):
        evaluate_in_child(artifact, prepared.folder, sample_photos()[1:2], "cups", log)


@pytest.mark.slow
def test_pictures_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    prepared = prepare_request(ModelRequest(model="selfie-segmentation"), tmp_path / "p", tmp_path / "log", print)
    damaged = tmp_path / "damaged.png"
    shutil.copy(sample_photos()[1], damaged)
    damaged.write_bytes(damaged.read_bytes()[:4000])
    with pytest.raises(InputError, match=r"damaged\.png"):
        expectations(prepared.folder, [damaged], tmp_path / "log")


def test_models_without_pictures_are_not_evaluated(tmp_path: Path) -> None:
    from convert.header import Header, write_header
    from edge.artifact import Source
    from edge.contract import Contract, TensorSpec

    contract = Contract(inputs=(TensorSpec(name="x", shape=(1, 4)),), outputs=(TensorSpec(name="y", shape=(1, 4)),))
    write_header(tmp_path, Header("numbers", contract, Source(sha256="0"), ()))
    with pytest.raises(UsageError, match="numbers does not take one colour picture"):
        expectations(tmp_path, [], tmp_path / "log")


def test_calibration_and_evaluation_pictures_are_apart(tmp_path: Path) -> None:
    found = photographs()
    assert len(found.calibration) >= 24
    assert len(found.evaluation) >= 60
    cameras = [{path.name.split("camera")[1][0] for path in paths if "camera" in path.name} for paths in
               (found.calibration, found.evaluation)]  # fmt: skip
    assert cameras == [{"1", "2"}, {"3", "4"}]
