"""Moments that two cameras saw, found by one in what the other saw."""

import numpy as np
import pytest

from edge.train.recipes import _recorded_views as views
from edge.train.recipes._recorded_views import moment_hits, poses_3d_hits


def turned(poses, angle):
    rotation = np.array([[np.cos(angle), 0.0, np.sin(angle)], [0.0, 1.0, 0.0], [-np.sin(angle), 0.0, np.cos(angle)]])
    return poses @ rotation.T


def test_the_same_poses_from_two_sides_are_found():
    first = np.random.default_rng(0).normal(size=(6, 13, 3))
    assert poses_3d_hits(np.stack([first, 3.0 * turned(first, 1.0) + 5.0])) == {"moment@1": 1.0, "moment@3": 1.0}


def test_a_hit_is_the_querys_own_moment():
    # The right one is second from the first camera, and nearest from the second.
    ring = np.roll(np.eye(6), 1, axis=1)
    found = moment_hits(lambda query, _: np.eye(6) + 2.0 * (query == 0) * ring)
    assert found == {"moment@1": pytest.approx(0.5), "moment@3": 1.0}


def test_only_moments_that_both_cameras_saw(monkeypatch, tmp_path):
    """A teacher that finds nobody in one frame of the second camera."""
    names = ["single-camera3-002.png", "single-camera3-008.png", "single-camera4-002.png"]

    class Labelled:
        paths = tuple(tmp_path / name for name in names)

        def __getitem__(self, place):
            class Sample:
                keypoints = np.full((33, 2), place)
                world = np.full((33, 3), place)

            return Sample()

    shown = []
    monkeypatch.setattr(views, "label_pictures", lambda paths, progress: shown.extend(paths) or Labelled())
    moments = views.recorded_moments()
    assert moments.image.shape == (2, 1, 13, 2)
    assert moments.world.shape == (2, 1, 13, 3)
    assert moments.image[:, 0, 0, 0].tolist() == [0, 2]
    assert len(shown) == 40
    assert {path.name[:14] for path in shown} == {"single-camera3", "single-camera4"}
