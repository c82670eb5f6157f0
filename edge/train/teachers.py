"""Several teachers at once: projectors that are thrown away, teachers that sit out, and pupils that see less.

Sources: Sariyildiz et al., "UNIC: Universal Classification Models via Multi-teacher Distillation" (ECCV 2024,
arXiv:2408.05088) for standardised features, expendable projectors and teacher dropping; Peng et al., "A Unified View of
Masked Image Modeling" (2022, arXiv:2210.10615) for a teacher's features of what the student cannot see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_MOMENTUM = 0.01  # of the running statistics of a teacher's features
_LEAST = 1e-6


class Standardised(nn.Module):
    """Bring a teacher's features (N, C, H, W) to mean 0 and variance 1 in every channel, by running statistics.

    Teachers whose numbers are large would outweigh the others.
    """

    mean: Tensor
    variance: Tensor
    seen: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, features: Tensor) -> Tensor:
        """Return the standardised features; in training, the statistics follow."""
        if self.training:
            self._follow(features)
        scale = (self.variance + _LEAST).rsqrt()
        return (features - self.mean[:, None, None]) * scale[:, None, None]

    @torch.no_grad()
    def _follow(self, features: Tensor) -> None:
        self.seen += 1
        share = max(_MOMENTUM, 1.0 / float(self.seen))
        self.mean.lerp_(features.mean(dim=(0, 2, 3)), share)
        self.variance.lerp_(features.var(dim=(0, 2, 3), unbiased=False), share)


class Projector(nn.Module):
    """Turn a student's features into a teacher's: only training needs it, so that the student may have its own."""

    def __init__(self, channels: int, teacher: int, hidden: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.GELU(), nn.Conv2d(hidden, teacher, 1))

    def forward(self, features: Tensor, size_hw: tuple[int, int]) -> Tensor:
        """Return (N, teacher, H, W) of features (N, channels, h, w)."""
        resized = F.interpolate(features, size=size_hw, mode="bilinear", align_corners=False)
        projected: Tensor = self.layers(resized)
        return projected


def feature_distance(found: Tensor, target: Tensor) -> Tensor:
    """Return 1 − cosine over channels plus smooth L1, a mean per picture (N,), of features (N, C, H, W)."""
    cosine = 1.0 - F.cosine_similarity(found, target, dim=1).mean(dim=(1, 2))
    return cosine + F.smooth_l1_loss(found, target, reduction="none").mean(dim=(1, 2, 3))


def drop_teachers(distances: Tensor, share: float) -> Tensor:
    """Return which teachers (N, T) each picture learns from, 1 or 0, given its distances (N, T) to them.

    The teacher that a picture is farthest from stays, each other sits out with a probability: the student cannot please
    the easy ones alone. No gradient passes.
    """
    with torch.no_grad():
        kept = (torch.rand_like(distances) >= share).to(distances.dtype)
        return kept.scatter(1, distances.argmax(dim=1, keepdim=True), 1.0)


def mask_patches(pictures: Tensor, share: float, patch: int) -> tuple[Tensor, Tensor]:
    """Return pictures (N, C, H, W) with a share of their square patches at 0, and where they are (N, 1, H, W): 1 or 0.

    Every picture loses the same number of patches, at random places. Sides need not be multiples of the patch's.
    """
    count, _, height, width = pictures.shape
    rows, columns = -(-height // patch), -(-width // patch)
    hidden = round(share * rows * columns)
    order = torch.rand(count, rows * columns, device=pictures.device).argsort(dim=1)
    mask = (order < hidden).to(pictures.dtype).reshape(count, 1, rows, columns)
    mask = mask.repeat_interleave(patch, 2).repeat_interleave(patch, 3)[..., :height, :width]
    return pictures * (1.0 - mask), mask


@dataclass(frozen=True, slots=True)
class Teacher:
    """A teacher's features: what computes them from pictures (N, 3, H, W) in 0…1, and how many channels they have.

    `level` is which of the student's features is compared with them.
    """

    name: str
    features: Callable[[Tensor], Tensor]
    channels: int
    level: int = -1


class ManyTeachers(nn.Module):
    """Compare a student's features with several teachers' through projectors of their own."""

    def __init__(self, teachers: Sequence[Teacher], student_channels: Sequence[int], *, dropped: float = 0.5) -> None:
        super().__init__()
        self._teachers, self._dropped = tuple(teachers), dropped
        self.projectors = nn.ModuleList(
            [Projector(student_channels[teacher.level], teacher.channels) for teacher in teachers]
        )
        self.standardised = nn.ModuleList([Standardised(teacher.channels) for teacher in teachers])

    def forward(self, pictures: Tensor, features: Sequence[Tensor]) -> Mapping[str, Tensor]:
        """Return each teacher's loss, of whole pictures (N, 3, H, W) in 0…1 and the student's features.

        Teachers that sit out count as 0, so that every projector has a part in the gradient on all devices.
        """
        distances = torch.stack(
            [
                self._distance(place, teacher, pictures, features[teacher.level])
                for place, teacher in enumerate(self._teachers)
            ],
            dim=1,
        )
        kept = drop_teachers(distances, self._dropped) if self.training else torch.ones_like(distances)
        losses = (distances * kept).sum(dim=0) / kept.sum(dim=0).clamp_min(1.0)
        return {teacher.name: loss for teacher, loss in zip(self._teachers, losses, strict=True)}

    def _distance(self, place: int, teacher: Teacher, pictures: Tensor, features: Tensor) -> Tensor:
        with torch.no_grad():
            target = teacher.features(pictures)
        target = self.standardised[place](target.float())
        found = self.projectors[place](features, (target.shape[2], target.shape[3]))
        return feature_distance(found.float(), target)
