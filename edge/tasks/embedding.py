"""Pose embeddings: keypoints as a Gaussian, the probability that two of them show one pose, and retrieval.

Source: Sun et al., "View-Invariant Probabilistic Embedding for Human Pose" (ECCV 2020, arXiv:1912.01001). Keypoints are
x before y, as everywhere in the kit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract import Contract
from edge.errors import ContractError, InputError
from edge.tasks import Frame, Image, MeanOverPictures, Region, Tensors, task
from edge.tasks._geometry import output, prepare, rounded
from edge.tasks._landmarks import LANDMARK_NAMES, Pose

KEYPOINT_NAMES = (
    "nose", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip",
    "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP = 1, 2, 7, 8
TORSO_PAIRS = ((1, 2), (1, 7), (1, 8), (2, 7), (2, 8), (7, 8))  # of shoulders and hips
TORSO_2D = 0.5  # how long the longest of these is after normalisation
FIRST_RAW_SLOPE, FIRST_OFFSET = -0.65, -0.5  # of the matching probability, where a training begins
FIRST_SLOPE = math.exp(FIRST_RAW_SLOPE)  # elu(x) + 1 of a negative number
SAMPLES = 20  # of each Gaussian, compared with each of the other's
_DECODER = "gaussian"
_MOST_NUMBERS = 1 << 22  # distances in memory at a time
_LEAST = 1e-12

Points = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Gaussians:
    """Embeddings: `mean` and `sigma` (…, D), the standard deviations along the axes."""

    mean: NDArray[np.float32]
    sigma: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """Two embeddings match with the mean over pairs of samples of sigmoid(b − a · distance); a and b are learnt."""

    a: float = FIRST_SLOPE
    b: float = FIRST_OFFSET
    samples: int = SAMPLES
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.a > 0 and math.isfinite(self.a) and math.isfinite(self.b)) or self.samples < 1:
            raise ContractError(f"a = {self.a}, b = {self.b}, {self.samples} samples: a and samples are above 0")

    def __call__(self, queries: Gaussians, gallery: Gaussians) -> NDArray[np.float32]:
        """Return the probability (Q, G) that each query (Q, D) shows the same pose as each of the gallery (G, D).

        Samples are seeded by `seed` and the same for any number of embeddings.
        """
        first, second = _drawn(queries, self, 0), _drawn(gallery, self, 1)
        count, dimensions = self.samples, first.shape[2]
        others = np.ascontiguousarray(second.reshape(-1, dimensions).T)  # (D, G · samples)
        rows = max(1, _MOST_NUMBERS // max(1, count * others.shape[1]))
        result = np.empty((len(first), len(second)), np.float32)
        lengths = (others**2).sum(axis=0)
        for start in range(0, len(first), rows):
            part = first[start : start + rows].reshape(-1, dimensions)
            squares = (part**2).sum(axis=1)[:, None] + lengths - 2 * (part @ others)
            far = np.sqrt(np.maximum(squares, 0, out=squares), out=squares)
            close = 1 / (1 + np.exp(np.clip(self.a * far - self.b, -80, 80)))
            pairs = close.reshape(len(part) // count, count, len(second), count)
            result[start : start + rows] = pairs.mean(axis=(1, 3))
        return result


def _drawn(embeddings: Gaussians, matching: Matching, role: int) -> NDArray[np.float32]:
    """Return samples (N, samples, D)."""
    mean, sigma = np.atleast_2d(embeddings.mean), np.atleast_2d(embeddings.sigma)
    noise = np.random.default_rng((matching.seed, role)).standard_normal((matching.samples, mean.shape[1]))
    return np.asarray(mean[:, None] + sigma[:, None] * noise, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """One pose's Gaussian, `mean` and `sigma` (D,), and how it is matched with others."""

    mean: NDArray[np.float32]
    sigma: NDArray[np.float32]
    matching: Matching

    def to_json(self) -> dict[str, Any]:
        """Return mean and sigma as plain JSON values."""
        return {"mean": rounded(self.mean, 5), "sigma": rounded(self.sigma, 5)}

    def probability(self, other: Embedding) -> float:
        """Return the probability that both show the same pose, whatever the view."""
        return float(self.matching(self._alone(), other._alone())[0, 0])

    def _alone(self) -> Gaussians:
        return Gaussians(self.mean[None], self.sigma[None])


@task("pose-embedding")
class PoseEmbedding(MeanOverPictures):
    """Embed a person's 13 keypoints; outputs `mean` and `sigma` (1, D), decoder `gaussian` with settings `a` and `b`.

    The input is made from keypoints (`pose_inputs`, `keypoint_inputs`), which another model finds in the picture.
    """

    metric = "Bhattacharyya coefficient"  # how much the two Gaussians overlap
    limit = 0.98
    needs_region = False
    result = Embedding

    def prepare(
        self, image: Image, contract: Contract, region: Region | None = None
    ) -> tuple[dict[str, NDArray[Any]], Frame]:
        """Raise ContractError for a contract without preprocessing: keypoints are embedded, not pictures."""
        return prepare(image, contract, region)

    def decode(self, outputs: Tensors, contract: Contract, frame: Frame | None = None) -> Embedding:
        """Return the Gaussian; the frame is not looked at, for nothing in it lies in the picture."""
        rule = contract.postprocess
        if rule is None or rule.decoder != _DECODER:
            raise ContractError(f"pose-embedding needs the decoder {_DECODER}")
        mean, sigma = (output(outputs, contract, name)[0].reshape(-1) for name in ("mean", "sigma"))
        if mean.shape != sigma.shape or not (np.isfinite(mean).all() and (sigma >= 0).all()):
            raise ContractError("mean and sigma must be finite and of one length, and sigma not negative")
        return Embedding(mean, sigma, matching_of(contract))

    def compare(self, result: Embedding, reference: Embedding) -> float:
        """Return how much both Gaussians overlap: 1 for equal ones."""
        return bhattacharyya(result, reference)

    def compare_all(self, pairs: Sequence[tuple[Embedding, Embedding]]) -> float:
        """Return the mean over the pairs."""
        return self.total(np.stack([self.measure(result, reference) for result, reference in pairs]))

    def draw(self, image: Image, result: Embedding) -> Image:
        """Return a copy of the picture: an embedding has no place in it."""
        return image.copy()


def matching_of(contract: Contract) -> Matching:
    """Return the contract's matching probability; raises ContractError for settings that are no numbers."""
    settings = contract.postprocess.settings if contract.postprocess else {}
    a, b = settings.get("a", FIRST_SLOPE), settings.get("b", FIRST_OFFSET)
    if not (isinstance(a, (int, float)) and isinstance(b, (int, float))):
        raise ContractError(f"postprocess.settings a = {a!r} and b = {b!r} must be numbers")
    return Matching(a=float(a), b=float(b))


def bhattacharyya(first: Embedding, second: Embedding) -> float:
    """Return ∫ √(p q) of two Gaussians without correlations; Bhattacharyya, Bull. Calcutta Math. Soc. 35 (1943)."""
    variances = [np.maximum(item.sigma.astype(np.float64) ** 2, _LEAST) for item in (first, second)]
    both = variances[0] + variances[1]
    shift = first.mean.astype(np.float64) - second.mean
    exponent = -0.25 * (shift**2 / both) + 0.5 * np.log(2 * np.sqrt(variances[0] * variances[1]) / both)
    return float(np.exp(exponent.sum()))


def select_keypoints(points: Points, names: Sequence[str]) -> NDArray[np.float64]:
    """Return the 13 keypoints (13, 2 or 3) of points that are named one by one, as COCO's or BlazePose's.

    Raises ContractError for names that are missing.
    """
    missing = [name for name in KEYPOINT_NAMES if name not in names]
    if missing or len(points) != len(names):
        raise ContractError(
            f"{len(points)} points with {len(names)} names; an embedding needs {', '.join(missing or KEYPOINT_NAMES)}"
        )
    return np.asarray(points, np.float64)[[list(names).index(name) for name in KEYPOINT_NAMES]]


def normalize_keypoints(points: Points) -> NDArray[np.float32]:
    """Move keypoints (…, 13, 2) to the middle of the hips, and scale the torso's longest side to ½.

    Source: the keypoint profile 2DSTD13 of google-research/poem. Raises InputError for points that are not finite, or
    whose shoulders and hips are all in one place.
    """
    points = np.asarray(points, np.float64)
    if points.shape[-2:] != (len(KEYPOINT_NAMES), 2):
        raise InputError(f"keypoints have shape {list(points.shape)}; expected 13 of (x, y) in the last two axes")
    if not np.isfinite(points).all():
        raise InputError("a keypoint is not a finite number; leave poses with missing points out")
    starts, ends = np.array(TORSO_PAIRS).T
    longest = np.linalg.norm(points[..., starts, :] - points[..., ends, :], axis=-1).max(axis=-1)
    if (longest <= 0).any():
        raise InputError("shoulders and hips lie in one place, so the pose has no size; leave it out")
    centre = points[..., [LEFT_HIP, RIGHT_HIP], :].mean(axis=-2, keepdims=True)
    return np.asarray((points - centre) * (TORSO_2D / longest)[..., None, None], np.float32)


def keypoint_inputs(points: Points, contract: Contract) -> dict[str, NDArray[np.float32]]:
    """Turn one person's 13 keypoints (13, 2) in pixels into the contract's input."""
    spec = contract.inputs[0]
    normal = normalize_keypoints(points)
    if int(np.prod(spec.shape)) != normal.size:
        raise ContractError(f"{spec.name} has shape {list(spec.shape)}; a pose embedding takes {normal.size} numbers")
    return {spec.name: normal.reshape(spec.shape)}


def pose_inputs(pose: Pose, contract: Contract) -> dict[str, NDArray[np.float32]]:
    """Turn a pose of 33 landmarks into the contract's input; raises InputError where nobody was found."""
    if not pose.found:
        raise InputError("the pose has no person in it, so there is nothing to embed")
    return keypoint_inputs(select_keypoints(pose.points[:, :2], LANDMARK_NAMES), contract)
