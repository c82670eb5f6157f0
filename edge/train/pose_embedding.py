"""What Pr-VIPE learns by: triplets over matching probabilities, a prior on the Gaussians, and which poses are alike.

Source: section 3 of Sun et al., "View-Invariant Probabilistic Embedding for Human Pose" (ECCV 2020, arXiv:1912.01001),
with the numbers of google-research/poem. Keypoints are tensors of 13 points: 2D (N, 13, 2) in any unit, x before y, and
3D (N, 13, 3) in any unit, in the order of `edge.tasks.embedding.KEYPOINT_NAMES`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from edge.tasks.embedding import (
    LEFT_HIP,
    LEFT_SHOULDER,
    RIGHT_HIP,
    RIGHT_SHOULDER,
    SAMPLES,
    TORSO_2D,
    TORSO_PAIRS,
)
from edge.tasks.retrieval import SAME_POSE

_LEAST = 1e-12
_SMOOTHING = 0.1  # of the matching probability in training: it stays in 0.05…0.95


def normalize_2d(points: Tensor) -> Tensor:
    """Move keypoints (…, 13, 2) to the middle of the hips, and scale the torso's longest side to ½."""
    starts, ends = (list(side) for side in zip(*TORSO_PAIRS, strict=True))
    longest = (points[..., starts, :] - points[..., ends, :]).norm(dim=-1).amax(dim=-1)
    scale = TORSO_2D / longest.clamp_min(_LEAST)
    normal: Tensor = (points - _middle(points, LEFT_HIP, RIGHT_HIP)) * scale[..., None, None]
    return normal


def normalize_3d(points: Tensor) -> Tensor:
    """Move 3D keypoints (…, 13, 3) to the middle of the hips, and scale mid-shoulder to mid-hip to 1."""
    hips, shoulders = _middle(points, LEFT_HIP, RIGHT_HIP), _middle(points, LEFT_SHOULDER, RIGHT_SHOULDER)
    normal: Tensor = (points - hips) / (shoulders - hips).norm(dim=-1, keepdim=True).clamp_min(_LEAST)
    return normal


def _middle(points: Tensor, left: int, right: int) -> Tensor:
    return points[..., [left, right], :].mean(dim=-2, keepdim=True)


def procrustes_mpjpe(target: Tensor, source: Tensor) -> Tensor:
    """Return the mean distance (…) of points (…, K, 3) after the source is rotated, scaled and moved onto the target.

    Leading axes broadcast; no reflection. `edge.tasks._procrustes` holds the same in numpy, with sources.
    """
    to, fro = target - target.mean(dim=-2, keepdim=True), source - source.mean(dim=-2, keepdim=True)
    left, values, right = torch.linalg.svd(fro.mT @ to)
    last = torch.where(torch.linalg.det(left @ right) < 0, -1.0, 1.0).to(values)
    signs = torch.cat([torch.ones_like(values[..., :-1]), last[..., None]], dim=-1)
    rotation = (left * signs[..., None, :]) @ right
    scale = (values * signs).sum(dim=-1) / fro.square().sum(dim=(-2, -1)).clamp_min(_LEAST)
    apart: Tensor = (scale[..., None, None] * (fro @ rotation) - to).norm(dim=-1).mean(dim=-1)
    return apart


def np_mpjpe(first: Tensor, second: Tensor) -> Tensor:
    """Return NP-MPJPE (…) of 3D poses (…, 13, 3), in lengths of the torso; leading axes broadcast."""
    return procrustes_mpjpe(normalize_3d(first), normalize_3d(second))


def draw_samples(mean: Tensor, sigma: Tensor, count: int = SAMPLES, generator: torch.Generator | None = None) -> Tensor:
    """Return samples (N, count, D) of Gaussians with mean and sigma (N, D), with gradients to both."""
    shape = (mean.shape[0], count, mean.shape[1])
    noise = torch.randn(shape, generator=generator, device=mean.device, dtype=mean.dtype)
    return mean[:, None] + sigma[:, None] * noise


def matching_distances(first: Tensor, second: Tensor, a: Tensor, b: Tensor, *, smoothing: float = _SMOOTHING) -> Tensor:
    """Return −log of the matching probability (…) of two sets of samples (…, K, D); leading axes broadcast.

    The probability is the mean over pairs of samples of (1 − s) · sigmoid(b − a · distance) + s / 2.
    """
    squares = (
        first.square().sum(-1)[..., :, None] + second.square().sum(-1)[..., None, :] - 2 * (first @ second.mT)
    ).clamp_min(_LEAST)  # the root has no gradient at 0
    likely = torch.sigmoid(b - a * squares.sqrt())
    return -((1 - smoothing) * likely + smoothing / 2).mean(dim=(-2, -1)).log()


def triplet_ratio_loss(positive: Tensor, others: Tensor, negative: Tensor, *, margin: float = math.log(2)) -> Tensor:
    """Return the mean of the active triplets' max(0, D⁺ + margin − D⁻); 0 without any.

    `positive` (N,) are the anchors' distances to their positives, `others` (N, M) to candidates, of which those with
    `negative` (N, M) show another pose. D⁻ is the nearest of them that is farther than the positive (semi-hard), as in
    Schroff et al., "FaceNet" (2015); an anchor without one has no part. The margin log 2 asks that the positive's
    probability be twice the negative's.
    """
    semi_hard = negative & (others > positive[:, None])
    nearest = others.masked_fill(~semi_hard, math.inf).amin(dim=1)
    losses = F.relu(positive + margin - nearest)  # 0 where none is semi-hard
    active = (losses > 0).sum().clamp_min(1)
    return losses.sum() / active


def gaussian_prior(mean: Tensor, sigma: Tensor) -> Tensor:
    """Return the mean over the batch of the Kullback-Leibler divergence of N(mean, sigma²) (N, D) from N(0, 1)."""
    divergence = 0.5 * (sigma.square() + mean.square() - 1) - sigma.clamp_min(_LEAST).log()
    return divergence.sum(dim=-1).mean()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseEmbeddingLoss:
    """Add up the triplet ratio loss, the positives' mean distance and the prior, with the published weights."""

    positive_weight: float = 0.005
    prior_weight: float = 0.001
    margin: float = math.log(2)
    other_pose: float = SAME_POSE  # least NP-MPJPE of a negative
    samples: int = SAMPLES

    def parts(
        self,
        anchor: tuple[Tensor, Tensor],
        positive: tuple[Tensor, Tensor],
        poses: tuple[Tensor, Tensor],
        matching: tuple[Tensor, Tensor],
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Return the weighted losses of N pairs of views by name; their sum is what a training lowers.

        `anchor` and `positive` are mean and sigma (N, 16) of two views of each pose, `poses` their 3D keypoints
        (N, 13, 3), and `matching` the learnt a (above 0) and b. Negatives are the other pairs' positives.
        """
        first, second = (draw_samples(*view, self.samples, generator) for view in (anchor, positive))
        distances = matching_distances(first[:, None], second[None], *matching)
        with torch.no_grad():
            negative = np_mpjpe(poses[0][:, None], poses[1][None]) >= self.other_pose
        paired = distances.diagonal()
        both = [torch.cat(side) for side in zip(anchor, positive, strict=True)]
        return {
            "triplet": triplet_ratio_loss(paired, distances, negative, margin=self.margin),
            "positive": self.positive_weight * paired.mean(),
            "prior": self.prior_weight * gaussian_prior(both[0], both[1]),
        }
