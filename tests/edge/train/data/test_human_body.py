"""The body against what anny itself computes (tests/golden/anny.json, made by scripts/record_anny.py)."""

import json
from pathlib import Path

import numpy as np
import pytest

from edge.errors import StoreError
from edge.train.data.body import PARTS, Body
from edge.train.data.keypoints import COCO_NAMES, MIRROR, NAMES
from edge.train.data.makehuman import GROUPS, VARIATIONS, read_rig
from edge.train.data.phenotypes import between, sample_phenotypes
from edge.train.data.postures import ANGLES, COLUMN, sample_poses
from edge.train.data.skeleton import Transforms

pytestmark = pytest.mark.slow
GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "anny.json").read_text())
_STARTS = {"helper-l-eye": 14598, "helper-r-eye": 14670, "helper-hair": 18722, "helper-skirt": 18002}


def shares(phenotype, races):
    """Anny counts ages from newborn, −1/3, in thirds; the kit's begin with the child."""
    parts = {
        "race": np.array([races]) / sum(races),
        "gender": between(np.array([phenotype["gender"]]), 2),
        "age": between(np.array([(phenotype["age"] - 1 / 3) / (2 / 3)]), 3),
        **{name: between(np.array([phenotype[name]]), len(VARIATIONS[name])) for name in
           ("muscle", "weight", "height", "proportions")},
    }  # fmt: skip
    return np.concatenate([parts[feature] for feature in VARIATIONS], axis=1)[0]


def places(body: Body):
    """Return where the golden vertices, numbered as in base.obj, stand in the kit's mesh."""
    numbers, faces, groups = np.array(GOLDEN["vertices"]), body.arrays.faces, body.arrays.face_groups
    found = numbers.copy()
    for group, start in _STARTS.items():
        own = np.unique(faces[groups == GROUPS.index(group)])
        those = (numbers >= start) & (numbers < start + len(own))
        found[those] = own[numbers[those] - start]
    return found


@pytest.fixture(params=range(len(GOLDEN["bodies"])))
def golden(request):
    return GOLDEN["bodies"][request.param]


def test_bodies_at_rest_are_annys(body, golden):
    shaped = body.shape(shares(golden["phenotype"], golden["races"]))
    assert np.abs(shaped.vertices[places(body)] - golden["rest"]).max() < 1e-4


def test_posed_bodies_and_keypoints_are_annys(body, golden):
    shaped = body.shape(shares(golden["phenotype"], golden["races"]))
    matrices = np.array([golden["transforms"][name] for name in body.skeleton.bones], np.float32)[None]
    transforms = Transforms(matrices[..., :3], matrices[..., 3])
    assert np.abs(body.skin(shaped.vertices, transforms)[places(body)] - golden["posed"]).max() < 2e-4
    found = body.keypoints(shaped.anchors[None], transforms)[0]
    expected = np.array([golden["keypoints"][name] for name in COCO_NAMES])
    assert np.abs(found[[NAMES.index(name) for name in COCO_NAMES]] - expected).max() < 2e-4


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
