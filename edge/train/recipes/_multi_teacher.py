"""What computes in the recipe multi-teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convert.export import flatten
from convert.load import load
from edge.contract import Contract
from edge.train.data.augment import Augmentation, Augmented
from edge.train.data.mix import mix, shuffled
from edge.train.data.people import People
from edge.train.data.sample import SyntheticSamples
from edge.train.plan import SourceRecord
from edge.train.recipes import Setting
from edge.train.recipes._people import SHARES, EmptyRooms, SampleStream, kept, pixels_to_inputs, unlabelled
from edge.train.recipes._sources import RENDERED, ROOMS
from edge.train.study import Batch, Learner, Metrics, Study, frozen
from edge.train.teachers import ManyTeachers, Teacher, mask_patches
from edge.zoo import MODELS
from edge.zoo._efficientnet_lite import CHANNELS, normalised, pretrained_weights
from edge.zoo._efficientnet_lite import build as build_features
from edge.zoo._mobilenet_v3 import SMALL
from edge.zoo._person_segmentation import PersonSegmenter

_MODEL = "person-segmentation"
_SIDE, _SMOKE_SIDE = 192, 64
_HIDDEN, _PATCH = 0.4, 16  # of a picture's patches the student does not see; pixels
_DEEP = 2  # which of EfficientNet-Lite0's features: stride 16
_HELD_OUT_SEED = 1 << 32
_HELD_OUT, _SMOKE_HELD_OUT = 48, 4
_RIDGE = 1e-2  # of the mean variance
_GRID = 6  # places a side that are compared in the evaluation


class MultiTeacherLearner(Learner[PersonSegmenter]):
    """Show the student masked pictures and the teachers whole ones."""

    def __init__(self, network: PersonSegmenter, teachers: Sequence[Teacher], contract: Contract) -> None:
        super().__init__()
        self.network = network
        assert contract.preprocess is not None
        self._rule = contract.preprocess
        self.teachers = ManyTeachers(teachers, (SMALL.low_channels, SMALL.deep_channels))
        network.network.classifier.requires_grad_(False)  # no teacher says anything about it

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the teachers' losses of pictures `image` (N, 3, H, W) of 8 bits."""
        masked, _ = mask_patches(pixels_to_inputs(batch["image"], self._rule), _HIDDEN, _PATCH)
        features = self.network.network.backbone(masked)
        return dict(self.teachers(batch["image"].float() / 255.0, features))


def study(setting: Setting) -> Study:
    """Return what a training needs."""
    seed, contract = setting.plan.seed, MODELS[_MODEL].contract
    side = _SMOKE_SIDE if setting.smoke else _SIDE
    lite = frozen(build_features(None if setting.smoke else pretrained_weights()))
    teachers, modules = [Teacher("efficientnet-lite0", lambda x: lite(normalised(x))[_DEEP], CHANNELS[_DEEP])], [lite]
    for name, output, channels in (("selfie-segmentation", 0, 1), ("blazepose-lite", 3, 39)):
        if not setting.smoke:
            module = frozen(load(name).module)
            modules.append(module)
            teachers.append(Teacher(name, _answers(module, name, output), channels))
    frames, records = unlabelled(setting)
    how = Augmentation(size_hw=(side, side), margin=1.6, shift=0.2, scale=1.6)
    sources = (
        SyntheticSamples(People(seed, size_hw=(side, side))),
        shuffled(kept(frames), seed),
        EmptyRooms(seed, (side, side)),
    )
    held = Augmented(SyntheticSamples(People(seed + _HELD_OUT_SEED, size_hw=(side, side))), how, seed + _HELD_OUT_SEED)
    count = _SMOKE_HELD_OUT if setting.smoke else _HELD_OUT
    pictures = SampleStream(held).batch(range(count))["image"]
    network = PersonSegmenter()

    def evaluate(module: nn.Module, device: torch.device) -> Metrics:
        assert isinstance(module, PersonSegmenter)
        assert contract.preprocess is not None
        with torch.no_grad():
            deep = module.network.backbone(pixels_to_inputs(pictures.to(device), contract.preprocess))[-1]
            whole = pictures.to(device).float() / 255.0
            return {f"R² {teacher.name}": explained(deep, teacher.features(whole)) for teacher in teachers}

    untrained = PersonSegmenter().eval()
    made = [
        SourceRecord(name=source.name, licence=source.licence, training=0, held_out=held_out, sha256="")
        for source, held_out in ((RENDERED, count), (ROOMS, 0))
    ]
    return Study(
        learner=MultiTeacherLearner(network, teachers, contract),
        stream=SampleStream(Augmented(mix(sources, SHARES, seed), how, seed)),
        evaluate=evaluate,
        references=lambda device: {
            f"random weights {name}": value for name, value in evaluate(untrained.to(device), device).items()
        },
        frozen=tuple(modules),
        data=(*records, *made),
    )


def _answers(module: nn.Module, name: str, output: int) -> Callable[[Tensor], Tensor]:
    """Return one output of a model of the zoo for each picture in 0…1; imported graphs take one at a time."""
    rule = MODELS[name].contract.preprocess
    assert rule is not None
    assert rule.range == (0.0, 1.0)

    def run(pictures: Tensor) -> Tensor:
        resized = F.interpolate(pictures, size=rule.size, mode="bilinear", align_corners=False)
        return torch.cat([flatten(module(picture[None]))[output] for picture in resized])

    return run


def explained(features: Tensor, target: Tensor) -> float:
    """Return R² of a linear map from features to a teacher's, (N, C, H, W) each, at a grid of places.

    It is fitted by ridge regression on the first half of the pictures and measured on the second one.
    """
    half = features.shape[0] // 2
    rows = [
        F.adaptive_avg_pool2d(each.float(), _GRID).permute(0, 2, 3, 1).flatten(1, 2).double()
        for each in (features, target)
    ]
    (x, unseen_x), (y, unseen_y) = ((each[:half].flatten(0, 1), each[half:].flatten(0, 1)) for each in rows)
    x_mean, y_mean = x.mean(dim=0), y.mean(dim=0)
    gram = (x - x_mean).T @ (x - x_mean)
    ridge = (
        _RIDGE * gram.diagonal().mean().clamp_min(1e-12) * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    )
    linear = torch.linalg.solve(gram + ridge, (x - x_mean).T @ (y - y_mean))
    left = (unseen_y - y_mean - (unseen_x - x_mean) @ linear).square().sum()
    whole = (unseen_y - unseen_y.mean(dim=0)).square().sum().clamp_min(1e-12)
    return float(1.0 - left / whole)
