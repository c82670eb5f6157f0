"""Poses: inside the limits of joints, mirrored rightly, and carried by bones as anatomy says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.train.data.postures import ANGLES, COLUMN, HIGH, LOW, limited, mirrored, postures, sample_poses
from edge.train.data.skeleton import _about, _halfway, _towards


def test_every_posture_is_read_and_lies_within_the_limits():
    known = postures()
    assert len(known) >= 18
    for posture in known:
        assert posture.keys.shape[1] == len(ANGLES)
        assert np.array_equal(limited(posture.keys), posture.keys)


@given(seed=st.integers(0, 2**31), count=st.integers(1, 40))
def test_random_poses_keep_to_the_limits(seed, count):
    poses = sample_poses(np.random.default_rng(seed), count)
    assert poses.shape == (count, len(ANGLES))
    assert (poses >= LOW).all()
    assert (poses <= HIGH).all()
    assert np.array_equal(limited(poses), poses)


def test_equal_seeds_give_equal_poses_and_others_do_not():
    first, again, other = (sample_poses(np.random.default_rng(seed), 5) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_poses_vary():
    poses = sample_poses(np.random.default_rng(0), 500)
    assert poses[:, COLUMN["l_knee_bend"]].std() > 25
    assert poses[:, COLUMN["r_shoulder_raise"]].std() > 35
    assert np.abs(poses[:, COLUMN["root_bend"]]).max() > 80  # some lie


def test_a_mirror_twice_is_the_pose():
    poses = sample_poses(np.random.default_rng(1), 20)
    assert np.array_equal(mirrored(mirrored(poses)), poses)
    assert np.array_equal(mirrored(poses)[:, COLUMN["l_elbow_bend"]], poses[:, COLUMN["r_elbow_bend"]])
    assert np.array_equal(mirrored(poses)[:, COLUMN["trunk_turn"]], -poses[:, COLUMN["trunk_turn"]])


def test_a_thigh_cannot_be_raised_far_backwards():
    pose = np.zeros((1, len(ANGLES)))
    pose[0, COLUMN["l_hip_raise"]], pose[0, COLUMN["l_hip_plane"]] = 90, 180
    assert limited(pose)[0, COLUMN["l_hip_raise"]] == 22


def test_a_cycle_ends_where_it_begins():
    walking = next(posture for posture in postures() if posture.name == "walking")
    first, last = walking.between(np.array([0.0, 1.0]))
    assert np.array_equal(first, last)
    assert np.array_equal(walking.between(np.array([0.25]))[0], walking.keys[1])


@given(
    st.lists(st.floats(-3, 3), min_size=3, max_size=3).filter(
        lambda v: np.linalg.norm(v) > 0.1 and v[2] < 0.9 * np.linalg.norm(v)
    )
)
def test_the_smallest_rotation_takes_a_direction_to_another(vector):
    down = np.array([0.0, 0.0, -1.0])
    turn = _towards(np.array([vector]), down)[0]
    assert np.allclose(turn @ (np.array(vector) / np.linalg.norm(vector)), down, atol=1e-6)
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-6)


@pytest.mark.parametrize(("order", "vector", "expected"), [
    ((0.0, 0.0, np.pi / 2), (0, 0, 1), (0, -1, 0)),  # bending brings the head to the front, −y
    ((0.0, np.pi / 2, 0.0), (0, 0, 1), (1, 0, 0)),  # leaning to the left
    ((np.pi / 2, 0.0, 0.0), (0, -1, 0), (1, 0, 0)),  # turning to the left
])  # fmt: skip
def test_rotations_have_the_signs_that_the_angles_names_say(order, vector, expected):
    turn = _about(*(np.array([value]) for value in order))[0]
    assert np.allclose(turn @ np.array(vector, float), expected, atol=1e-9)


def test_halfway_between_two_rotations_lies_in_the_middle():
    zero = np.zeros(1)
    middle = _halfway(_about(zero), _about(np.array([1.0])))
    assert np.allclose(middle, _about(np.array([0.5])), atol=1e-6)
