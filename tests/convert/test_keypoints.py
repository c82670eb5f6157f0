"""Pictures for a model of keypoints: the person's go in, and pictures without anybody are left out."""

import numpy as np
import pytest
from embed_artifacts import make_artifact

from convert import keypoints
from convert.calibration import INPUTS, calibrate_on
from convert.header import Header, write_header
from convert.infer import _shown
from convert.prepare import make_samples
from edge.artifact import Source
from edge.errors import InputError, MissingError, Refused
from edge.images import write_image
from edge.tasks._landmarks import Pose, nobody
from edge.zoo import MODELS

CONTRACT = MODELS["pr-vipe"].contract
POINTS = np.random.default_rng(0).normal(size=(33, 3)) * 30 + 100


@pytest.fixture
def pictures(tmp_path):
    """Two pictures, of which the dark one shows nobody."""
    for name, shade in (("a.png", 200), ("b.png", 0)):
        write_image(tmp_path / name, np.full((40, 60, 3), shade, np.uint8))
    return [tmp_path / "a.png", tmp_path / "b.png"]


@pytest.fixture
def someone(monkeypatch):
    """Put a pose into every bright picture."""
    ones = np.ones(33)
    pose = Pose(0.9, POINTS, ones, ones, np.zeros((33, 3)))
    monkeypatch.setattr(keypoints, "find_pose", lambda image: pose if image.mean() > 100 else nobody())


def test_only_contracts_of_embeddings_take_keypoints():
    takers = {name for name, entry in MODELS.items() if keypoints.takes_keypoints(entry.contract)}
    assert takers == {"pr-vipe", "pr-vipe-small"}


def test_a_sample_for_each_picture_with_a_person(someone, pictures):
    (sample,) = make_samples(CONTRACT, "pr-vipe", pictures)
    assert sample.image == pictures[0]
    assert sample.inputs["keypoints"].shape == (1, 13, 2)
    assert sample.frame.image_hw == (40, 60)
    random = make_samples(CONTRACT, "pr-vipe", pictures[1:])  # nobody anywhere
    assert [item.image for item in random] == [None, None]


def test_without_the_models_that_find_people_inputs_are_random(monkeypatch, pictures):
    def missing(image):
        raise MissingError("no network")

    monkeypatch.setattr(keypoints, "find_pose", missing)
    assert [item.image for item in make_samples(CONTRACT, "pr-vipe", pictures)] == [None, None]


def test_ranges_are_measured_on_keypoints(someone, pictures, tmp_path):
    folder = tmp_path / "prepared"
    folder.mkdir()
    write_header(folder, Header("pr-vipe", CONTRACT, Source(sha256=""), ()))
    calibrate_on(folder, pictures)
    with np.load(folder / "calibration.npz") as found:
        assert INPUTS <= len(found["keypoints"]) <= INPUTS + 1
        assert found["keypoints"].shape[1:] == (1, 13, 2)
    with pytest.raises(Refused, match="people"):
        calibrate_on(folder, pictures[1:])


def test_a_run_on_a_picture(someone, pictures, tmp_path):
    artifact = make_artifact(tmp_path / "artifact", "pr-vipe")
    inputs, _, pose = _shown(artifact, np.full((40, 60, 3), 200, np.uint8))
    assert inputs["keypoints"].dtype == np.float32
    assert pose.found
    with pytest.raises(InputError, match="nobody was found"):
        _shown(artifact, np.zeros((40, 60, 3), np.uint8))


@pytest.mark.slow
def test_a_real_photograph(photos):
    (sample,) = keypoints.keypoint_samples(CONTRACT, photos[:2])  # a person, and a cup
    points = sample.inputs["keypoints"][0]
    assert np.abs(points[[7, 8]].mean(axis=0)).max() < 1e-5
    assert points[0, 1] < points[1, 1]  # the nose is above the shoulders
