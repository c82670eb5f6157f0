"""Results over time: one person followed through a video, landmarks smoothed, masks blended with the last ones.

The same steps as in the apps: the region comes from the last frame, and the detector runs only while nobody is
followed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.smoothing import LandmarkSmoother
from edge.tasks import Image, Region
from edge.tasks._landmarks import LANDMARK_NAMES, Pose, nobody
from edge.tasks._people import KEYPOINT_NAMES, SEEN, People
from edge.tasks._tracking import RegionTracker

MASK_RATIO = 0.7  # of the last mask where the model is least sure, as in MediaPipe's pose graphs


@dataclass(frozen=True, slots=True)
class Tracked:
    """What one frame shows: the pose as it is drawn, as the model gave it, and whether the detector had to run."""

    pose: Pose
    raw: Pose
    detected: bool


class PoseTracker:
    """Follow one person: `find` looks for somebody in a whole picture, `place` puts landmarks into a region.

    Without a `smoother` poses stay as the model gives them. Landmarks in pixels are smoothed; world coordinates and
    masks are not.
    """

    def __init__(
        self,
        find: Callable[[Image], Region | None],
        place: Callable[[Image, Region], Pose],
        smoother: LandmarkSmoother | None = None,
    ) -> None:
        self._find, self._place, self._smoother = find, place, smoother
        self._tracker = RegionTracker()

    def look(self, image: Image, time_ns: int) -> Tracked:
        """Return the person in the next frame; a pose of score 0 where nobody is, and then the detector runs again."""
        detected = self._tracker.region is None
        if detected:
            if self._smoother is not None:
                self._smoother.reset()
            self._tracker.begin(self._find(image))
        region = self._tracker.region
        if region is None:
            return Tracked(nobody(), nobody(), detected)
        raw = self._place(image, region)
        self._tracker.follow(raw)
        return Tracked(self._smoothed(raw, time_ns, region) if raw.found else raw, raw, detected)

    def _smoothed(self, pose: Pose, time_ns: int, region: Region) -> Pose:
        if self._smoother is None:
            return pose
        points = self._smoother.smooth(pose.points, pose.visibility, time_ns, scale=region.side)
        return dataclasses.replace(pose, points=points)


class PersonTracker:
    """Follow the one person of a keypoint model: `place` looks into a region, or at the whole picture for None.

    Each result says where to look in the next picture; nobody there, or nothing said, and the whole picture is looked
    at. Without a `smoother` keypoints stay as the model gives them.
    """

    def __init__(
        self, place: Callable[[Image, Region | None], People], smoother: LandmarkSmoother | None = None
    ) -> None:
        self._place, self._smoother = place, smoother
        self.region: Region | None = None

    def look(self, image: Image, time_ns: int) -> People:
        """Return the person in the next frame, or nobody."""
        raw = self._place(image, self.region)
        self.region = raw.next_region
        if self._smoother is None:
            return raw
        if not raw.found:
            self._smoother.reset()
            return raw
        # The square around a person is left out when it would be as large as the picture.
        scale = float(max(image.shape[:2])) if raw.next_region is None else raw.next_region.side
        person = raw.items[0]
        points = np.pad(person.keypoints, ((0, 0), (0, 1)))  # no depth
        smooth = self._smoother.smooth(points, person.scores, time_ns, scale=scale)[:, :2]
        return dataclasses.replace(raw, items=(dataclasses.replace(person, keypoints=smooth),))


def pose_smoother() -> LandmarkSmoother:
    """Return the filter of a pose's landmarks with the apps' settings."""
    return LandmarkSmoother(len(LANDMARK_NAMES))


def keypoint_smoother() -> LandmarkSmoother:
    """Return the same filter for a person's keypoints, of which the sure ones are smoothed."""
    return LandmarkSmoother(len(KEYPOINT_NAMES), least_visible=SEEN)


class MaskSmoother:
    """Blend each mask with the last blended one, the more the less sure the model is.

    The share of the last mask is ratio · H², where H is the entropy in bits of the new probability: 1 at ½, 0 at 0 and
    at 1. MediaPipe's SegmentationSmoothingCalculator approximates the same by a polynomial.
    """

    def __init__(self, ratio: float = MASK_RATIO) -> None:
        if not 0 <= ratio <= 1:
            raise InputError(f"a ratio of {ratio:g}; expected a share, from 0 (no smoothing) to 1")
        self._ratio = ratio
        self._last: NDArray[np.float32] | None = None

    def reset(self) -> None:
        """Forget the last mask, as after a cut."""
        self._last = None

    def smooth(self, probability: NDArray[Any]) -> NDArray[np.float32]:
        """Return the blended probabilities, of the same shape; a first mask, or one of another shape, stays as it is.

        What is not a number takes the last value.
        """
        new = np.asarray(probability, np.float32)
        if self._last is None or self._last.shape != new.shape:
            self._last = np.nan_to_num(new)
        else:
            known = np.where(np.isnan(new), np.float32(0.5), np.clip(new, 0, 1))
            share = np.where(np.isnan(new), np.float32(1), np.float32(self._ratio) * uncertainty(known))
            self._last = np.asarray(known + (self._last - known) * share, np.float32)
        return self._last.copy()


def uncertainty(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the squared entropy in bits of probabilities in 0…1."""
    from scipy.special import entr

    bits = (entr(probability) + entr(1 - probability)) / np.log(2)
    return np.asarray(bits**2, np.float32)
