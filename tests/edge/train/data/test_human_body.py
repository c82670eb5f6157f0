"""The body by itself: bones that hold together, limbs that move as angles' names say, parts on their own sides."""

import numpy as np
import pytest

from edge.errors import StoreError
from edge.train.data.body import PARTS
from edge.train.data.keypoints import MIRROR, NAMES
from edge.train.data.makehuman import read_rig
from edge.train.data.phenotypes import sample_phenotypes
from edge.train.data.postures import ANGLES, COLUMN, sample_poses

pytestmark = pytest.mark.slow


def test_heads_of_bones_move_as_their_parents_say(body):
    generator = np.random.default_rng(0)
    heads, _ = body.joints(sample_phenotypes(generator, 6))
    transforms = body.skeleton.place(sample_poses(generator, 6), heads)
    posed = (transforms.turn @ heads[..., None])[..., 0] + transforms.shift
    for bone, parent in enumerate(body.skeleton.parents):
        if parent >= 0:
            carried = (transforms.turn[:, parent] @ heads[:, bone, :, None])[..., 0] + transforms.shift[:, parent]
            assert np.allclose(posed[:, bone], carried, atol=1e-4), body.skeleton.bones[bone]
    assert np.allclose(np.linalg.det(transforms.turn), 1.0, atol=1e-3)


def stand(body, **angles):
    """Return the keypoints by name of a body of average shape, standing but for some angles."""
    pose = np.zeros((1, len(ANGLES)))
    for name, value in angles.items():
        pose[0, COLUMN[name]] = value
    heads, anchors = body.joints(sample_phenotypes(np.random.default_rng(3), 1))
    points = body.keypoints(anchors, body.skeleton.place(pose, heads))[0]
    return dict(zip(NAMES, points, strict=True))


def test_a_standing_body_is_symmetric_upright_and_looks_forwards(body):
    at = stand(body)
    points = np.array([at[name] for name in NAMES])
    assert np.abs(points - points[MIRROR] * (-1, 1, 1)).max() < 0.012
    assert at["nose"][2] > at["left_shoulder"][2] > at["left_hip"][2] > at["left_knee"][2] > at["left_ankle"][2]
    assert at["nose"][1] < at["left_ear"][1] - 0.05
    assert at["left_shoulder"][0] > 0.1 > -0.1 > at["right_shoulder"][0]
    assert at["left_foot_index"][1] < at["left_heel"][1] - 0.1
    assert abs(at["left_wrist"][0] - at["left_shoulder"][0]) < 0.05  # the arms hang down
    assert at["left_index"][1] < at["left_pinky"][1]  # palms to the thighs


@pytest.mark.parametrize(("angle", "point", "axis", "sign"), [
    ("l_elbow_bend", "left_wrist", 1, -1), ("l_shoulder_raise", "left_elbow", 1, -1),
    ("r_hip_raise", "right_knee", 1, -1), ("r_knee_bend", "right_ankle", 1, 1), ("trunk_bend", "nose", 1, -1),
    ("trunk_lean", "nose", 0, 1), ("neck_turn", "nose", 0, 1), ("l_ankle_bend", "left_foot_index", 2, 1),
    ("l_wrist_bend", "left_index", 0, -1), ("r_wrist_bend", "right_index", 0, 1),
    ("l_forearm_turn", "left_index", 0, -1), ("r_shoulder_twist", "right_index", 0, 1),
])  # fmt: skip
def test_angles_move_limbs_to_where_their_names_say(body, angle, point, axis, sign):
    before, after = stand(body), stand(body, **{angle: 40})
    assert sign * (after[point] - before[point])[axis] > 0.01


def test_an_arm_raised_sidewards_stretches_out_and_the_bones_keep_their_lengths(body):
    before, after = stand(body), stand(body, l_shoulder_raise=90, l_shoulder_plane=90)
    assert after["left_wrist"][0] > before["left_shoulder"][0] + 0.35
    for a, b in (("left_elbow", "left_wrist"), ("left_knee", "left_ankle")):
        lengths = [np.linalg.norm(at[a] - at[b]) for at in (before, after)]
        assert np.isclose(*lengths, rtol=0.03)


def test_every_part_of_the_body_has_faces_on_its_own_side(body):
    arrays = body.arrays
    middle = arrays.template[: body.size][arrays.faces].mean(axis=1)
    for number, name in enumerate(PARTS):
        if name == "background":
            continue
        those = middle[arrays.face_parts == number]
        assert len(those) > 100, name
        if name.startswith("left"):
            assert (those[:, 0] > -0.03).all(), name


def test_a_wheel_that_lacks_a_file_is_refused():
    def read(name):
        raise KeyError(name)

    with pytest.raises((KeyError, StoreError)):
        read_rig(read)
