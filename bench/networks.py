"""Weights for the torchvision families, whose published files cannot be had offline: trained on photographs.

A few minutes of training on augmented cuts of photographs, whose labels are the selfie model's masks: a person, a cat
and a cup. Such a network knows nothing else, but it has what random weights do not have and quantization meets in
practice: the ranges of a trained network, and classes with sharp borders and clear margins.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from convert.load import load
from convert.prepare import run_eager
from edge.images import read_image
from edge.tasks import TASKS
from edge.zoo import MODELS, device_models

PERSON = 15
CLASSES = {"astronaut.png": PERSON, "chelsea.png": 8, "coffee.png": 5}  # person, cat, bottle in VOC's numbering
STEPS, BATCH, SIDE, LEARNING_RATE = 220, 4, 192, 3e-3
TRAINED = ("deeplabv3-mobilenet-v3-large", "lraspp-mobilenet-v3-large")  # for the page of quantization


def models_with_weights() -> tuple[str, ...]:
    """Return the models that are meant for a device and can have weights here that are not random."""
    return tuple(name for name in device_models() if MODELS[name].weight_status != "yours" or name in TRAINED)


def trained_network(name: str, photos: Sequence[Path], *, steps: int = STEPS) -> nn.Module:
    """Return a zoo network in eval mode that segments the photographs; those not named in CLASSES show people."""
    entry = MODELS[name]
    if entry.files or entry.network is None:
        raise ValueError(f"{name} has weights of its own")
    torch.manual_seed(0)
    network = entry.network().train()
    pictures = [_labelled(path, name) for path in photos]
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        cuts = [_cut(*pictures[(step * BATCH + i) % len(pictures)], generator) for i in range(BATCH)]
        images, labels = torch.stack([cut[0] for cut in cuts]), torch.stack([cut[1] for cut in cuts])
        loss = F.cross_entropy(network(images)["out"], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    _measure_batch_norms(network, pictures, generator)
    return network.eval()


def _measure_batch_norms(network: nn.Module, pictures: list[tuple[Tensor, Tensor]], generator: torch.Generator) -> None:
    """Take the statistics anew: the family's momentum of 0.01 has not forgotten the first steps yet."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain mean over batches
    with torch.no_grad():
        for _ in range(16):
            network(torch.stack([_cut(*pictures[i % len(pictures)], generator)[0] for i in range(BATCH)]))


def _labelled(path: Path, name: str) -> tuple[Tensor, Tensor]:
    """Return a picture as the network's input and the class of each of its pixels."""
    contract = MODELS[name].contract
    task = TASKS[contract.task]
    picture = read_image(path)
    inputs, frame = task.prepare(picture, contract)
    mask = _foreground(picture)
    rows = np.linspace(0, mask.shape[0] - 1, frame.tensor_hw[0]).astype(int)
    columns = np.linspace(0, mask.shape[1] - 1, frame.tensor_hw[1]).astype(int)
    small = mask[rows][:, columns]
    labels = torch.from_numpy(np.where(small, CLASSES.get(path.name, PERSON), 0)).long()
    return torch.from_numpy(inputs[contract.inputs[0].name][0]), labels


def _foreground(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    model = load("selfie-segmentation", None)
    task = TASKS[model.contract.task]
    inputs, frame = task.prepare(picture, model.contract)
    classes = task.decode(run_eager(model, model.contract, inputs), model.contract, frame).classes
    return np.asarray(classes == 1)


def _cut(image: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a random square of a picture, mirrored half of the time and relit, with its labels."""
    side = int(torch.randint(SIDE * 2 // 3, image.shape[-1] + 1, (), generator=generator))
    top, left = (int(torch.randint(0, size - side + 1, (), generator=generator)) for size in image.shape[-2:])
    part, names = (whole[..., top : top + side, left : left + side] for whole in (image, labels))
    part = F.interpolate(part[None], size=(SIDE, SIDE), mode="bilinear", align_corners=False)[0]
    names = F.interpolate(names[None, None].float(), size=(SIDE, SIDE), mode="nearest")[0, 0].long()
    if torch.rand((), generator=generator) < 0.5:
        part, names = part.flip(-1), names.flip(-1)
    scale, shift = 0.8 + 0.4 * torch.rand(2, generator=generator)
    return part * scale + (shift - 1), names
