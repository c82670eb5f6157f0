"""What computes in the recipe person-segmentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from convert.load import load
from convert.prepare import run_eager
from edge.contract import Contract
from edge.images import warp_plane
from edge.tasks import TASKS, Image
from edge.tasks._geometry import letterbox_matrix
from edge.tasks.segmentation import Segmentation, iou
from edge.train.data.augment import Augmentation
from edge.train.data.sample import Sample
from edge.train.data.teacher import TEACHER, open_teacher
from edge.train.recipes import Setting
from edge.train.recipes._people import SampleStream, people, pixels_to_inputs
from edge.train.study import Batch, Learner, Metrics, Study
from edge.zoo import MODELS
from edge.zoo._person_segmentation import PersonSegmenter

_MODEL, _REFERENCE = "person-segmentation", "selfie-segmentation"
_SMOKE_SIDE = 64
Predict = Callable[[Image], NDArray[np.bool_]]


class SegmentationLearner(Learner[PersonSegmenter]):
    """Compare masks with labels."""

    def __init__(self, network: PersonSegmenter, contract: Contract) -> None:
        super().__init__()
        self.network = network
        assert contract.preprocess is not None
        self._rule = contract.preprocess

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of `mask` (N, H, W) in 0…1, where `mask_known` (N,)."""
        logits = self.network.logits(pixels_to_inputs(batch["image"], self._rule))[:, 0]
        known = batch["mask_known"].to(logits.dtype)
        count = known.sum().clamp_min(1.0)
        entropy = F.binary_cross_entropy_with_logits(logits, batch["mask"], reduction="none").mean(dim=(1, 2))
        return {
            "cross-entropy": (entropy * known).sum() / count,
            "dice": (dice_loss(torch.sigmoid(logits), batch["mask"]) * known).sum() / count,
        }


def dice_loss(probability: Tensor, mask: Tensor, smooth: float = 1.0) -> Tensor:
    """Return 1 − Dice (N,) of probabilities and masks (N, H, W): Milletari et al., "V-Net" (2016, arXiv:1606.04797).

    With squares in the denominator; `smooth` pixels keep empty masks finite.
    """
    both = (probability * mask).sum(dim=(1, 2))
    sizes = probability.square().sum(dim=(1, 2)) + mask.square().sum(dim=(1, 2))
    return 1.0 - (2.0 * both + smooth) / (sizes + smooth)


def study(setting: Setting) -> Study:
    """Return what a training needs."""
    contract = MODELS[_MODEL].contract
    side = _SMOKE_SIDE if setting.smoke else contract.inputs[0].size_hw[0]
    # The whole picture is segmented: people are farther off and less central than behind a detector. They take up from
    # a quarter of the picture's side to all of it; a network that saw large ones alone takes small ones for background.
    how = Augmentation(size_hw=(side, side), margin=2.0, shift=0.25, scale=2.0, rotation=0.35)
    data = people(setting, how, wanted=_one_person)
    held_out = {"frames": data.frames, "rendered": data.rendered}

    def evaluate(network: nn.Module, device: torch.device) -> Metrics:
        return mask_ious(held_out, lambda image: predict(network, contract, image, device))

    def references(device: torch.device) -> Metrics:
        mean = mean_mask(
            [sample.mask for samples in held_out.values() for sample in samples if sample.mask is not None]
        )
        found = {f"mean mask {name}": value for name, value in mask_ious(held_out, lambda i: fitted(mean, i)).items()}
        if not setting.smoke:
            other = load(_REFERENCE)
            found |= {f"{_REFERENCE} {name}": value
                      for name, value in mask_ious(held_out, lambda i: _segment(other, i)).items()}  # fmt: skip
            found |= teacher_ious({"rendered": data.rendered})  # the frames' masks are its own
        return found

    return Study(
        learner=SegmentationLearner(PersonSegmenter(), contract),
        stream=SampleStream(data.training),
        evaluate=evaluate,
        references=references,
        data=data.records,
    )


def _one_person(path: Path) -> bool:
    """Say whether a picture of the kit shows one person: the teacher masks one, others would count as background."""
    return not path.name.startswith("multi")


def mask_ious(held_out: dict[str, tuple[Sample, ...]], predicted: Predict) -> Metrics:
    """Return the mean over each set's pictures of the intersection over union of the person's mask."""
    found = {}
    for name, samples in held_out.items():
        values = [iou(predicted(sample.image), np.asarray(sample.mask) > 0.5) for sample in samples]
        found[f"IoU {name}"] = float(np.mean(values))
    return found


def predict(network: nn.Module, contract: Contract, image: Image, device: torch.device) -> NDArray[np.bool_]:
    """Return the mask (H, W) that a network finds in a picture, decoded as the task does."""
    task = TASKS[contract.task]
    inputs, frame = task.prepare(image, contract)
    with torch.no_grad():
        mask = network(torch.from_numpy(inputs[contract.inputs[0].name]).to(device))["mask"]
    return _classes(task.decode({"mask": mask.float().cpu().numpy()}, contract, frame))


def teacher_ious(held_out: dict[str, tuple[Sample, ...]]) -> Metrics:
    """Return how well the teacher's masks agree with what is true."""
    teacher = open_teacher(TEACHER)

    def outline(image: Image) -> NDArray[np.bool_]:
        pose = teacher(image)
        return pose.mask > 0.5 if pose.found and pose.mask is not None else np.zeros(image.shape[:2], bool)

    return {f"{TEACHER} {name}": value for name, value in mask_ious(held_out, outline).items()}


def _segment(teacher: Any, image: Image) -> NDArray[np.bool_]:
    task = TASKS[teacher.contract.task]
    inputs, frame = task.prepare(image, teacher.contract)
    return _classes(task.decode(run_eager(teacher, teacher.contract, inputs), teacher.contract, frame))


def _classes(result: Any) -> NDArray[np.bool_]:
    assert isinstance(result, Segmentation)
    return result.classes > 0


def mean_mask(masks: Sequence[NDArray[Any]], side: int = 64) -> NDArray[np.bool_]:
    """Return where people mostly are, (side, side): the baseline that does not look at the picture.

    The threshold is the one of the largest mean overlap with the very masks that it is measured on, which favours it.
    """
    fitted_masks = np.stack(
        [warp_plane(mask, letterbox_matrix(mask.shape, (side, side)), (side, side)) for mask in masks]
    )
    mean, truth = fitted_masks.mean(axis=0), fitted_masks > 0.5
    thresholds = np.linspace(0.05, 0.95, 19) * mean.max()
    scores = [np.mean([iou(mean > threshold, mask) for mask in truth]) for threshold in thresholds]
    return np.asarray(mean > thresholds[int(np.argmax(scores))])


def fitted(mask: NDArray[np.bool_], image: Image) -> NDArray[np.bool_]:
    """Return a letterboxed mask (side, side) at a picture's size."""
    size_hw = image.shape[0], image.shape[1]
    scale = max(size_hw) / mask.shape[0]
    rows, columns = (
        np.clip(((np.arange(size) + 0.5 - (size - max(size_hw)) / 2) / scale).astype(np.intp), 0, mask.shape[0] - 1)
        for size in size_hw
    )
    return np.asarray(mask[rows[:, None], columns[None, :]])
