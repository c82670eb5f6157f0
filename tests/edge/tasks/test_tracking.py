"""One person over time: the region follows, jitter goes, the person is lost and found again; masks are blended."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InputError
from edge.tasks import Region
from edge.tasks._landmarks import LANDMARK_NAMES, Pose, nobody
from edge.tasks.keypoints import People, Person
from edge.tasks.tracking import (
    MASK_RATIO,
    MaskSmoother,
    PersonTracker,
    PoseTracker,
    keypoint_smoother,
    pose_smoother,
    uncertainty,
)

PICTURE = np.zeros((100, 100, 3), np.uint8)
FRAME_NS = round(1e9 / 30)
SIZE = 100.0  # of the person, in pixels
RANDOM = np.random.default_rng(0)
BODY = RANDOM.uniform(0, SIZE, (len(LANDMARK_NAMES), 3))


def a_pose(points, score=0.9):
    ones = np.ones(len(LANDMARK_NAMES))
    follow = Region(float(points[0, 0]), float(points[0, 1]), SIZE)
    return Pose(score, points, ones, ones, np.zeros_like(points), next_region=follow)


class World:
    """What the models would see: a pose a frame, None where nobody is; counts what is asked."""

    def __init__(self, poses):
        self.poses, self.frame, self.found, self.regions = poses, -1, 0, []

    def find(self, image):
        self.found += 1
        pose = self.poses[self.frame]
        return None if pose is None else Region(0.0, 0.0, SIZE)

    def place(self, image, region):
        self.regions.append(region)
        pose = self.poses[self.frame]
        return nobody() if pose is None else pose

    def run(self, *, smooth=True, frame_ns=FRAME_NS):
        tracker = PoseTracker(self.find, self.place, pose_smoother() if smooth else None)
        seen = []
        for number in range(len(self.poses)):
            self.frame = number
            seen.append(tracker.look(PICTURE, number * frame_ns))
        return seen


def test_the_detector_runs_once_and_the_region_follows():
    world = World([a_pose(BODY + 3 * step) for step in range(10)])
    seen = world.run()
    assert world.found == 1
    assert [item.detected for item in seen] == [True] + [False] * 9
    assert [region.centre_x for region in world.regions[1:]] == pytest.approx(
        [BODY[0, 0] + 3 * step for step in range(9)]
    )


def test_a_lost_person_is_looked_for_until_found():
    poses = [a_pose(BODY)] * 3 + [None] * 4 + [a_pose(BODY + 40)] * 3
    world = World(poses)
    seen = world.run()
    assert [item.pose.found for item in seen] == [True] * 3 + [False] * 4 + [True] * 3
    # The landmarks say that the person has gone; from the next frame on the detector looks.
    assert [item.detected for item in seen] == [True] + [False] * 3 + [True] * 4 + [False] * 2
    assert np.array_equal(seen[7].pose.points, BODY + 40)  # the filter began anew: nothing drags


def test_a_pose_that_says_no_next_region_asks_the_detector():
    poses = [dataclasses.replace(a_pose(BODY), next_region=None)] * 3
    world = World(poses)
    assert all(item.detected for item in world.run())
    assert world.found == 3


def test_smoothing_takes_jitter_from_a_person_who_rests():
    noisy = [a_pose(BODY + RANDOM.normal(0, 1.0, BODY.shape)) for _ in range(120)]  # 1 % of the person's size
    seen = World(noisy).run()
    raw = np.stack([item.raw.points for item in seen[30:]])
    smooth = np.stack([item.pose.points for item in seen[30:]])
    steps_raw, steps_smooth = (np.abs(np.diff(values, axis=0)).mean() for values in (raw, smooth))
    assert steps_smooth < 0.5 * steps_raw
    assert smooth.std(axis=0).mean() < 0.85 * raw.std(axis=0).mean()
    assert np.array_equal(World(noisy).run(smooth=False)[50].pose.points, noisy[50].points)


@pytest.mark.parametrize("speed", [0.5, 1.0, 3.0])  # sizes of the person a second
def test_the_lag_of_a_moving_person_is_under_20_ms(speed):
    step = speed * SIZE / 30
    poses = [a_pose(BODY + step * frame * np.array([1.0, 0, 0])) for frame in range(60)]
    seen = World(poses).run()
    behind = np.mean([item.raw.points[:, 0] - item.pose.points[:, 0] for item in seen[30:]])
    lag_ms = behind / (speed * SIZE) * 1e3
    assert 0 <= lag_ms < 20


def test_nobody_at_all():
    world = World([None] * 5)
    assert not any(item.pose.found for item in world.run())
    assert world.found == 5
    assert world.regions == []


def somebody(points, *, sure=0.9, square=True):
    follow = Region(float(points[0, 0]), float(points[0, 1]), SIZE) if square else None
    return People((Person(sure, points, np.full(17, sure)),), follow)


def watch(results, *, smooth=True):
    """Return what a person's tracker makes of a model's results, and where the model looked."""
    regions, left = [], iter(results)

    def place(image, region):
        regions.append(region)
        return next(left)

    tracker = PersonTracker(place, keypoint_smoother() if smooth else None)
    return [tracker.look(PICTURE, number * FRAME_NS) for number in range(len(results))], regions


def test_a_persons_keypoints_say_where_to_look_next():
    points = BODY[:17, :2]
    results = [somebody(points), somebody(points + 3), People(()), somebody(points + 40), somebody(points + 43)]
    seen, regions = watch(results)
    assert regions == [None, results[0].next_region, results[1].next_region, None, results[3].next_region]
    assert [item.found for item in seen] == [True, True, False, True, True]
    assert np.array_equal(seen[3].items[0].keypoints, points + 40)  # the filter began anew
    assert watch(results, smooth=False)[0] == results


@pytest.mark.parametrize("square", [True, False])  # without one the person fills the picture
def test_keypoints_are_smoothed_as_landmarks_are(square):
    points = BODY[:17, :2]
    noisy = [somebody(points + RANDOM.normal(0, 1.0, points.shape), square=square) for _ in range(120)]
    seen, regions = watch(noisy)
    assert (regions[1] is not None) == square
    raw, smooth = (np.stack([item.items[0].keypoints for item in each[30:]]) for each in (noisy, seen))
    assert np.abs(np.diff(smooth, axis=0)).mean() < 0.5 * np.abs(np.diff(raw, axis=0)).mean()
    assert [item.next_region for item in seen] == [item.next_region for item in noisy]


def test_keypoints_that_the_model_guesses_stay_as_they_are():
    points = BODY[:17, :2]
    guessed = [somebody(points + step, sure=0.25) for step in range(5)]
    seen, _ = watch(guessed)
    assert all(np.array_equal(a.items[0].keypoints, b.items[0].keypoints) for a, b in zip(seen, guessed, strict=True))


def polynomial(p):
    """The approximation that MediaPipe computes with."""
    x = (p - 0.5) ** 2
    return 1 - np.minimum(1, x * (5.68842 + x * (-0.748699 + x * (-57.8051 + x * (291.309 + x * -624.717)))))


def test_the_uncertainty_is_mediapipes():
    p = np.linspace(0, 1, 1001, dtype=np.float32)
    assert np.abs(uncertainty(p) - polynomial(p)).max() < 2e-3
    assert uncertainty(np.float32([0, 0.5, 1])).tolist() == pytest.approx([0, 1, 0])


def test_masks_against_a_loop():
    masks = RANDOM.random((6, 5, 7)).astype(np.float32)
    smoother, last = MaskSmoother(), None
    for mask in masks:
        found = smoother.smooth(mask)
        expected = np.empty_like(mask)
        for place in np.ndindex(*mask.shape):
            new = float(mask[place])
            share = 0.0 if last is None else MASK_RATIO * float(polynomial(new))
            expected[place] = new + ((0 if last is None else float(last[place])) - new) * share
        assert np.allclose(found, expected, atol=2e-3)
        last = expected
        assert found is not mask


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=8))
def test_a_blend_lies_between_the_last_and_the_new(values):
    smoother = MaskSmoother()
    last = None
    for value in values:
        found = float(smoother.smooth(np.full((2, 2), value, np.float32))[0, 0])
        low, high = sorted((value, value if last is None else last))
        assert low - 1e-6 <= found <= high + 1e-6
        last = found


def test_sure_pixels_follow_at_once_and_unsure_ones_rest():
    smoother = MaskSmoother()
    smoother.smooth(np.array([[0.0, 0.5]]))
    found = smoother.smooth(np.array([[1.0, 0.5]]))
    assert found.tolist() == [[1.0, 0.5]]
    unsure = [smoother.smooth(np.array([[0.9, 0.5 + 0.1 * (-1) ** step]]))[0, 1] for step in range(20)]
    assert np.ptp(unsure[5:]) < 0.5 * 0.2


def test_other_sizes_nothing_known_and_numbers_that_are_none():
    smoother = MaskSmoother()
    smoother.smooth(np.ones((2, 2), np.float32))
    assert smoother.smooth(np.zeros((3, 2), np.float32)).tolist() == np.zeros((3, 2)).tolist()
    assert smoother.smooth(np.full((3, 2), np.nan)).tolist() == np.zeros((3, 2)).tolist()
    smoother.reset()
    assert smoother.smooth(np.full((3, 2), 0.5)).tolist() == np.full((3, 2), 0.5).tolist()
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="share"):
            MaskSmoother(wrong)
