"""Changed pictures: labels stay on what they name, mirrors swap sides, whatever is unknown stays unknown."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.train.data.augment import PLAIN, Augmentation, Augmented, augment_sample, person_region, warp_sample
from edge.train.data.body import PARTS
from edge.train.data.keypoints import COUNT, MIRROR, NAMES
from edge.train.data.sample import ABSENT, HIDDEN, SEEN, Sample, collate, unknown_world

pytest.importorskip("cv2")
SIZE = (80, 100)


def dotted(*, mask=True):
    """A picture whose keypoints are bright dots on black, spread over its middle."""
    generator = np.random.default_rng(0)
    points = generator.uniform((25, 20), (75, 60), (COUNT, 2)).astype(np.float32)
    image = np.zeros((*SIZE, 3), np.uint8)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    for x, y in points:
        blob = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 6.0)
        image = np.maximum(image, (blob[..., None] * 255).astype(np.uint8))
    body = ((columns > 20) & (columns < 80) & (rows > 15) & (rows < 65)).astype(np.float32)
    world = np.column_stack([(points - 50) / 40, np.zeros(COUNT)]).astype(np.float32)
    return Sample(
        image=image, keypoints=points, states=np.full(COUNT, SEEN, np.int8), confidence=np.ones(COUNT, np.float32),
        world=world, mask=body if mask else None, parts=(body * 5).astype(np.uint8) if mask else None,
    )  # fmt: skip


GEOMETRIC = replace(
    Augmentation(), contrast=0, brightness=0, saturation=0, tint=0, blurred=0, noise=0, compressed=0, occluded=0,
    size_hw=(120, 120),
)  # fmt: skip


@settings(deadline=None)
@given(seed=st.integers(0, 2**31))
def test_keypoints_stay_on_their_dots(seed):
    changed = augment_sample(dotted(), np.random.default_rng(seed), GEOMETRIC)
    for (x, y), state in zip(changed.keypoints, changed.states, strict=True):
        if state != ABSENT and 2 < x < 117 and 2 < y < 117:
            assert changed.image[round(float(y)), round(float(x)), 0] > 120


def test_a_mirror_swaps_left_and_right_in_points_world_and_parts():
    sample = dotted()
    mirror = np.array([[-1.0, 0.0, SIZE[1] - 1.0], [0.0, 1.0, 0.0]])
    found = warp_sample(sample, mirror, SIZE)
    assert np.array_equal(found.image, sample.image[:, ::-1])
    assert np.allclose(found.keypoints[MIRROR], sample.keypoints * (-1, 1) + (SIZE[1] - 1, 0), atol=1e-4)
    assert np.allclose(found.world[MIRROR], sample.world * (-1, 1, 1), atol=1e-5)
    assert set(np.unique(found.parts)) == {0, PARTS.index("right_upper_arm")}
    assert np.allclose(warp_sample(found, mirror, SIZE).keypoints, sample.keypoints, atol=1e-4)


def test_a_quarter_turn_turns_the_world_with_the_picture():
    sample = dotted()
    quarter = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 79.0]])  # new (x, y) shows old (y, 79 − x)
    found = warp_sample(sample, quarter, (100, 80))
    assert np.allclose(
        found.keypoints, np.column_stack([79 - sample.keypoints[:, 1], sample.keypoints[:, 0]]), atol=1e-3
    )
    assert np.allclose(found.world[:, :2], np.column_stack([-sample.world[:, 1], sample.world[:, 0]]), atol=1e-5)


def test_what_a_cut_leaves_out_is_absent():
    cut = np.array([[1.0, 0.0, 50.0], [0.0, 1.0, 40.0]])
    found = warp_sample(dotted(), cut, (30, 30))
    outside = (found.keypoints < -0.5).any(axis=1) | (found.keypoints > 29.5).any(axis=1)
    assert outside.any()
    assert (found.states[outside] == ABSENT).all()
    assert (found.states[~outside] == SEEN).all()


def test_an_index_is_the_same_again_and_plain_changes_nothing_but_the_cut():
    augmented = Augmented([dotted()] * 4, Augmentation(size_hw=(64, 64)), seed=5)
    assert np.array_equal(augmented[3].image, augmented[3].image)
    assert not np.array_equal(augmented[2].image, augmented[3].image)
    plain = Augmented([dotted()] * 2, replace(PLAIN, size_hw=(64, 64)), seed=5)
    assert np.array_equal(plain[0].image, plain[1].image)
    assert (plain[0].states == SEEN).all()


def test_an_occluder_hides_what_it_covers():
    how = replace(PLAIN, occluded=1.0, size_hw=(64, 64))
    hidden = [augment_sample(dotted(), np.random.default_rng(seed), how) for seed in range(12)]
    assert any((sample.states == HIDDEN).any() for sample in hidden)
    for sample in hidden:
        places = np.rint(sample.keypoints).astype(int)
        covered = sample.states == HIDDEN
        assert (sample.mask[places[covered, 1], places[covered, 0]] == 0).all()


def test_unknown_labels_stay_unknown():
    sample = replace(
        dotted(mask=False), states=np.zeros(COUNT, np.int8), world=unknown_world(),
        confidence=np.zeros(COUNT, np.float32),
    )  # fmt: skip
    assert person_region(sample, 1.3).side == 100
    found = augment_sample(sample, np.random.default_rng(0), Augmentation(size_hw=(48, 48)))
    assert found.mask is None
    assert np.isnan(found.world).all()
    assert (found.states == ABSENT).all()
    batch = collate([found, augment_sample(dotted(), np.random.default_rng(0), Augmentation(size_hw=(48, 48)))])
    assert batch["mask_known"].tolist() == batch["world_known"].tolist() == [False, True]
    assert batch["image"].shape == (2, 3, 48, 48)
    assert np.isfinite(batch["world"]).all()


def test_a_person_without_keypoints_is_cut_by_the_mask():
    sample = replace(dotted(), states=np.zeros(COUNT, np.int8))
    region = person_region(sample, 1.0)
    assert (region.centre_x, region.centre_y, region.side) == (50.0, 40.0, 58.0)


def test_names_and_their_mirrors():
    assert NAMES[MIRROR[NAMES.index("left_wrist")]] == "right_wrist"
    assert NAMES[MIRROR[NAMES.index("mouth_right")]] == "mouth_left"
    assert NAMES[MIRROR[NAMES.index("nose")]] == "nose"
