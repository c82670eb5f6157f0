"""What computes in the recipe pr-vipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.tasks.embedding import Gaussians, Matching, normalize_keypoints
from edge.tasks.retrieval import cross_view_hits
from edge.train.data.teacher import TEACHER
from edge.train.data.views import PoseViews, ViewedPoses
from edge.train.plan import SourceRecord
from edge.train.pose_embedding import PoseEmbeddingLoss, normalize_2d
from edge.train.recipes import Setting
from edge.train.recipes._recorded_views import Moments, moment_hits, poses_3d_hits, recorded_moments
from edge.train.recipes._sources import FRAMES
from edge.train.recipes.pr_vipe import BODY, BODY_LICENCE
from edge.train.study import Batch, Learner, Metrics, Study
from edge.zoo import MODELS
from edge.zoo._pr_vipe import PrVipe

_NOISE = 0.01  # spread of what is added to keypoints, where the torso is ½: detectors are not exact
_SAMPLES = 10  # of each Gaussian in training; the published 20 cost four times as much, and half of a step
_HELD_OUT_SEED = 1 << 32  # added to the plan's: no training draws from there
_HELD_OUT, _HELD_OUT_VIEWS = 400, 3  # poses, cameras
_SMOKE_HELD_OUT = 12
_DEPTHS = (1, 10)


class PrVipeLearner(Learner[PrVipe]):
    """Embed two views of every pose of a batch and compare them with each other and with the other poses."""

    def __init__(self, network: PrVipe) -> None:
        super().__init__()
        self.network = network
        self._loss = PoseEmbeddingLoss(samples=_SAMPLES)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of views `image` (N, 2, 13, 2) of the poses `world` (N, 13, 3)."""
        views = normalize_2d(batch["image"])
        mean, sigma = self.network((views + _NOISE * torch.randn_like(views)).flatten(0, 1))
        matching = self.network.matching
        pose = batch["world"]
        return self._loss.parts(
            (mean[0::2], sigma[0::2]), (mean[1::2], sigma[1::2]), (pose, pose), (matching.a, matching.b)
        )


@dataclass(frozen=True, slots=True)
class TwoViews:
    """Give blocks of poses, each seen by two cameras."""

    seed: int

    def batch(self, places: Sequence[int]) -> Batch:
        """Return as many poses as there are places, by the first of them."""
        block = ViewedPoses(self.seed, block=len(places), views=2)[places[0]]
        return {"image": torch.from_numpy(block.image), "world": torch.from_numpy(block.world)}


def study(model: str, setting: Setting) -> Study:
    """Return what the training of one of the zoo's embeddings needs."""
    seed = setting.plan.seed
    build = MODELS[model].network
    assert build is not None
    network = build()
    assert isinstance(network, PrVipe)
    count = _SMOKE_HELD_OUT if setting.smoke else _HELD_OUT
    held_out = ViewedPoses(seed + _HELD_OUT_SEED, block=count, views=_HELD_OUT_VIEWS)[0]
    moments = None if setting.smoke else recorded_moments(setting.say)
    records = [
        SourceRecord(name=BODY, licence=BODY_LICENCE, training=0, held_out=count * _HELD_OUT_VIEWS, sha256=""),
    ]
    if moments is not None:
        records.append(SourceRecord(name=FRAMES.name, licence=FRAMES.licence, training=0,
                                    held_out=2 * moments.image.shape[1], sha256=""))  # fmt: skip
    return Study(
        learner=PrVipeLearner(network),
        stream=TwoViews(seed),
        evaluate=lambda module, device: _evaluate(module, device, held_out, moments),
        references=lambda _: _references(held_out, moments),
        data=tuple(records),
    )


def _evaluate(network: nn.Module, device: torch.device, held_out: PoseViews, moments: Moments | None) -> Metrics:
    matching = _matching(network)
    found = dict(hits(embed(network, held_out.image.swapaxes(0, 1), device), held_out, matching))
    if moments is not None:
        views = embed(network, moments.image, device)
        found |= moment_hits(lambda query, gallery: matching(views[query], views[gallery]))
    return found


def _references(held_out: PoseViews, moments: Moments | None) -> Metrics:
    found = {f"2D keypoints {name}": value for name, value in keypoint_hits(held_out).items()}
    if moments is not None:
        flat = [_flat(image) for image in moments.image]
        plain = moment_hits(lambda query, gallery: _nearness(flat[query], flat[gallery]))
        found |= {f"2D keypoints {name}": value for name, value in plain.items()}
        found |= {f"{TEACHER}'s 3D {name}": value for name, value in poses_3d_hits(moments.world).items()}
    return found


def embed(network: nn.Module, views: NDArray[Any], device: torch.device) -> list[Gaussians]:
    """Return the embeddings of the keypoints of V views (V, N, 13, 2), one entry a view."""
    found = []
    for view in views:
        points = torch.from_numpy(normalize_keypoints(view)).to(device)
        with torch.no_grad():
            mean, sigma = network(points)
        found.append(Gaussians(mean.float().cpu().numpy(), sigma.float().cpu().numpy()))
    return found


def _matching(network: nn.Module) -> Matching:
    assert isinstance(network, PrVipe)
    learnt = network.matching.settings()
    return Matching(a=learnt["a"], b=learnt["b"])


def hits(embeddings: list[Gaussians], views: PoseViews, similarity: Any) -> Metrics:
    """Return Hit@k over all pairs of views: whether the nearest poses of another view include the query's."""
    poses = [views.world] * len(embeddings)
    found = cross_view_hits(embeddings, poses, similarity, depths=_DEPTHS)
    return {f"Hit@{depth}": value for depth, value in found.items()}


def keypoint_hits(views: PoseViews) -> Metrics:
    """Return the same for the keypoints themselves, normalised: the baseline without a network."""
    return hits([_flat(view) for view in views.image.swapaxes(0, 1)], views, _nearness)


def _flat(view: NDArray[Any]) -> Gaussians:
    """Return keypoints (N, 13, 2), normalised, as embeddings that are sure."""
    points = normalize_keypoints(view).reshape(len(view), -1)
    return Gaussians(points, np.zeros_like(points))


def _nearness(queries: Gaussians, gallery: Gaussians) -> NDArray[Any]:
    return -np.asarray(np.linalg.norm(queries.mean[:, None] - gallery.mean[None], axis=2))
