"""The body against what anny itself computes (tests/golden/anny.json, made by scripts/record_anny.py)."""

import json
from pathlib import Path

import numpy as np
import pytest

from edge.train.data.keypoints import COCO_NAMES, NAMES
from edge.train.data.makehuman import VARIATIONS
from edge.train.data.phenotypes import between
from edge.train.data.skeleton import Transforms

pytestmark = pytest.mark.slow
GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "anny.json").read_text())
_SPANS = ((0, 13380), (14598, 14742), (18002, 18722), (18722, 19150))  # body, eyes, skirt, hair


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


def places():
    """Return where the golden vertices, numbered as in base.obj, stand in the kit's mesh."""
    kept = np.concatenate([np.arange(start, end) for start, end in _SPANS])
    return np.searchsorted(kept, GOLDEN["vertices"])


@pytest.fixture(params=range(len(GOLDEN["bodies"])))
def golden(request):
    return GOLDEN["bodies"][request.param]


def test_bodies_at_rest_are_annys(body, golden):
    shaped = body.shape(shares(golden["phenotype"], golden["races"]))
    assert np.abs(shaped.vertices[places()] - golden["rest"]).max() < 1e-4


def test_posed_bodies_and_keypoints_are_annys(body, golden):
    shaped = body.shape(shares(golden["phenotype"], golden["races"]))
    matrices = np.array([golden["transforms"][name] for name in body.skeleton.bones], np.float32)[None]
    transforms = Transforms(matrices[..., :3], matrices[..., 3])
    assert np.abs(body.skin(shaped.vertices, transforms)[places()] - golden["posed"]).max() < 2e-4
    found = body.keypoints(shaped.anchors[None], transforms)[0]
    expected = np.array([golden["keypoints"][name] for name in COCO_NAMES])
    assert np.abs(found[[NAMES.index(name) for name in COCO_NAMES]] - expected).max() < 2e-4
