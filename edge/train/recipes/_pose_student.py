"""What computes in the recipe pose-student."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from convert.load import load
from convert.prepare import run_eager
from edge.contract import Contract
from edge.tasks import TASKS, Region
from edge.tasks._landmarks import SIGMAS, oks
from edge.train.data.augment import Augmentation, person_region
from edge.train.data.sample import ABSENT, SEEN, Sample
from edge.train.recipes import Setting
from edge.train.recipes._people import SampleStream, people, pixels_to_inputs
from edge.train.study import Batch, Learner, Metrics, Study
from edge.zoo import MODELS
from edge.zoo._efficientnet_lite import pretrained_weights
from edge.zoo._pose_student import CELLS, LANDMARKS, SIDE, STRIDE, PoseStudent, load_imagenet

_MODEL, _REFERENCES = "pose-student", ("blazepose-lite", "blazepose-heavy")
_SPREAD = 1.25  # of the heatmaps' peaks, in cells
_MARGIN = 1.3  # of the region around a person, times the longer side of the keypoints' box
_SLOW = 0.3  # of the learning rate, for what ImageNet has taught already
_WEIGHTS = {"heatmap": 20.0, "place": 10.0, "depth": 2.0, "world": 2.0, "states": 0.2, "presence": 0.2}
_LEAST = 1e-6
Points = NDArray[Any]
Place = Callable[[Sample, Region], Points]


class PoseLearner(Learner[PoseStudent]):
    """Compare landmarks with labels, each as far as it is known and as sure as it is."""

    def __init__(self, network: PoseStudent, contract: Contract) -> None:
        super().__init__()
        self.network = network
        assert contract.preprocess is not None
        self._rule = contract.preprocess

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of a batch as `edge.train.data.sample.collate` makes it; a picture of nobody has no state.

        Lengths are compared as shares of the picture's side.
        """
        outputs = self.network(pixels_to_inputs(batch["image"], self._rule))
        found = outputs["landmarks"].unflatten(1, (LANDMARKS, 5)).float()
        world = outputs["world"].unflatten(1, (LANDMARKS, 3)).float()
        inside = batch["states"] > ABSENT
        sure = batch["confidence"] * inside
        person = inside.any(dim=1)
        metric = (batch["world_known"] & person).float()[:, None, None]
        targets = heatmap_targets(batch["keypoints"], sure)
        losses = {
            "heatmap": F.binary_cross_entropy_with_logits(
                outputs["heatmap"].float(), targets, weight=4.0 * targets + 1.0
            ),
            "place": _mean((found[..., :2] - batch["keypoints"]).abs() / SIDE, sure[..., None]),
            "depth": _mean((found[..., 2:3] - depth_pixels(batch)).abs() / SIDE, metric),
            "world": _mean((world - batch["world"]).abs(), metric),
            "states": _states_loss(found, batch["states"], person),
            "presence": _log_loss(outputs["presence"][:, 0].float(), person.float()),
        }
        return {name: _WEIGHTS[name] * value for name, value in losses.items()}


def _log_loss(probability: Tensor, target: Tensor) -> Tensor:
    """Return the mean cross-entropy of probabilities; torch's own refuses mixed precision."""
    sure = probability.clamp(_LEAST, 1.0 - _LEAST)
    return -(target * sure.log() + (1.0 - target) * (1.0 - sure).log()).mean()


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    weights = weights.expand_as(values)
    return (values * weights).sum() / weights.sum().clamp_min(1.0)


def _states_loss(found: Tensor, states: Tensor, person: Tensor) -> Tensor:
    """Return how far logits of visibility and presence are from the states, where there is a person."""
    targets = torch.stack([states == SEEN, states > ABSENT], dim=2).float()
    errors = F.binary_cross_entropy_with_logits(found[..., 3:], targets, reduction="none")
    return _mean(errors, person.float()[:, None, None])


def heatmap_targets(keypoints: Tensor, sure: Tensor) -> Tensor:
    """Return Gaussians (N, K, cells, cells) around keypoints (N, K, 2) in pixels, each as high as it is sure (N, K)."""
    cells = (keypoints + 0.5) / STRIDE - 0.5
    axis = torch.arange(CELLS, device=keypoints.device, dtype=keypoints.dtype)
    x, y = (torch.exp(-((axis - cells[..., i, None]) ** 2) / (2.0 * _SPREAD**2)) for i in (0, 1))
    return sure[..., None, None] * y[..., :, None] * x[..., None, :]


def depth_pixels(batch: Batch) -> Tensor:
    """Return z (N, K, 1) in pixels from the hips' middle, on the scale of x and y: metres times pixels a metre."""
    flat, metres = (
        points - points.mean(dim=1, keepdim=True) for points in (batch["keypoints"], batch["world"][..., :2])
    )
    scale = flat.square().sum(dim=(1, 2)).sqrt() / metres.square().sum(dim=(1, 2)).sqrt().clamp_min(1e-3)
    return batch["world"][..., 2:] * scale[:, None, None]


def study(setting: Setting) -> Study:
    """Return what a training needs."""
    contract = MODELS[_MODEL].contract
    network = PoseStudent()
    if not setting.smoke:
        load_imagenet(network.backbone, pretrained_weights())
    data = people(setting, Augmentation(size_hw=(SIDE, SIDE), margin=_MARGIN, scale=1.2))
    held_out = {"frames": data.frames, "rendered": data.rendered}

    def references(_: torch.device) -> Metrics:
        mean = mean_pose([sample for samples in held_out.values() for sample in samples])
        found = {f"mean pose {name}": v for name, v in pose_scores(held_out, lambda _, r: _unfit(mean, r)).items()}
        for name in () if setting.smoke else _REFERENCES:
            scores = pose_scores(held_out, _placer(name))
            found |= {f"{name} {metric}": value for metric, value in scores.items()}
        return found

    return Study(
        learner=PoseLearner(network, contract),
        stream=SampleStream(data.training),
        evaluate=lambda module, device: pose_scores(held_out, _run(module, contract, device)),
        references=references,
        rate_of=lambda name: _SLOW if name.startswith("network.backbone.") and not setting.smoke else 1.0,
        data=data.records,
    )


def pose_scores(held_out: dict[str, tuple[Sample, ...]], place: Place) -> Metrics:
    """Return each set's mean OKS over the points that are seen, in the upright square around the labelled person."""
    found = {}
    for name, samples in held_out.items():
        values = []
        for sample in samples:
            seen, inside = sample.states == SEEN, sample.states > ABSENT
            points = sample.keypoints[inside] if inside.any() else sample.keypoints
            area = float(np.prod(np.ptp(points, axis=0)))
            placed = place(sample, person_region(sample, _MARGIN))
            values.append(oks(placed, sample.keypoints.astype(np.float64), area, sigmas=SIGMAS, counted=seen))
        found[f"OKS {name}"] = float(np.mean(values))
    return found


def _run(network: nn.Module, contract: Contract, device: torch.device) -> Place:
    """Return what places a network's landmarks in a picture, decoded as the task does."""
    task = TASKS[contract.task]

    def place(sample: Sample, region: Region) -> Points:
        inputs, frame = task.prepare(sample.image, contract, region)
        with torch.no_grad():
            outputs = network(torch.from_numpy(inputs[contract.inputs[0].name]).to(device))
        named = {name: value.float().cpu().numpy() for name, value in outputs.items()}
        points: Points = task.decode(named, contract, frame).points[:, :2]  # type: ignore[attr-defined]
        return points

    return place


def _placer(name: str) -> Place:
    """Return what places the landmarks of a model of the zoo."""
    model = load(name)
    task = TASKS[model.contract.task]

    def place(sample: Sample, region: Region) -> Points:
        inputs, frame = task.prepare(sample.image, model.contract, region)
        outputs = run_eager(model, model.contract, inputs)
        points: Points = task.decode(outputs, model.contract, frame).points[:, :2]  # type: ignore[attr-defined]
        return points

    return place


def mean_pose(samples: Sequence[Sample]) -> Points:
    """Return the mean place (33, 2) of keypoints in 0…1 of the person's region: the baseline that does not look.

    It is of the very pictures that it is measured on, which favours it.
    """
    places = []
    for sample in samples:
        region = person_region(sample, _MARGIN)
        places.append((sample.keypoints - (region.centre_x, region.centre_y)) / region.side)
    return np.asarray(np.mean(places, axis=0), np.float64)


def _unfit(mean: Points, region: Region) -> Points:
    return np.asarray(mean * region.side + np.array([region.centre_x, region.centre_y]))
