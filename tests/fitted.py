"""Weights for the torchvision families, whose published files cannot be had offline: fitted to photographs.

Seeded random convolutions, batch-norm statistics measured on augmented photographs, and a classifier solved by ridge
regression onto four kinds of pixels (brightness and colour clusters). The network then segments pictures with clear
margins and has the ranges of a real one, which plain random weights do not; nothing is said of what it was made for.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convert.calibration import augment
from edge.images import read_image
from edge.tasks import TASKS
from edge.zoo import MODELS

PICTURES, KINDS, RIDGE = 12, 4, 1e-2


def fitted_network(name: str, photos: tuple[Path, ...]) -> nn.Module:
    """Return a zoo network in eval mode with fitted weights."""
    entry = MODELS[name]
    if entry.network is None:
        raise ValueError(f"{name} has weights of its own")
    torch.manual_seed(0)
    network = entry.network()
    images = _pictures(photos, entry.contract)
    with torch.no_grad():
        _measure_batch_norms(network, images)
        network.eval()
        _fit_classifier(network, images)
    return network


def _pictures(photos: tuple[Path, ...], contract) -> Tensor:
    generator = np.random.default_rng(1)
    task = TASKS[contract.task]
    pictures = [read_image(path) for path in photos]
    inputs = [task.prepare(augment(pictures[i % len(pictures)], generator), contract)[0] for i in range(PICTURES)]
    return torch.from_numpy(np.concatenate([entry[contract.inputs[0].name] for entry in inputs]))


def _measure_batch_norms(network: nn.Module, images: Tensor) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain mean over batches
    network.train()
    for batch in images.split(4):
        network(batch)


def _labels(images: Tensor, classes: int) -> Tensor:
    """Sort pixels into kinds by smoothed brightness and red-blue difference: (N, classes, h, w) of ±1."""
    small = F.avg_pool2d(images, 8)
    bright, warm = small.mean(1), small[:, 0] - small[:, 2]
    kind = 2 * (bright > bright.median()).long() + (warm > warm.median()).long()  # (N, h, w), below KINDS
    return F.one_hot(kind, classes).permute(0, 3, 1, 2).float() * 2 - 1


def _fit_classifier(network: nn.Module, images: Tensor) -> None:
    """Solve every last 1 × 1 convolution that adds to the logits for the labels, together."""
    layers = [m for m in network.classifier.modules() if isinstance(m, nn.Conv2d) and m.out_channels == 21]
    seen: list[Tensor] = []
    hooks = [layer.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0])) for layer in layers]
    labels = _labels(images, 21)
    size = labels.shape[-2:]
    features = []
    for batch in images.split(4):
        seen.clear()
        network(batch)
        features.append(torch.cat([F.interpolate(x, size=size, mode="bilinear") for x in seen], 1))
    for hook in hooks:
        hook.remove()
    columns = torch.cat(features).permute(0, 2, 3, 1).flatten(0, 2).double()
    wanted = labels.permute(0, 2, 3, 1).flatten(0, 2).double()
    mean = columns.mean(0)
    gram = (columns - mean).T @ (columns - mean)
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    solved = torch.linalg.solve(gram + ridge, (columns - mean).T @ (wanted - wanted.mean(0)))  # (features, classes)
    bias = wanted.mean(0) - mean @ solved
    parts = solved.split([layer.in_channels for layer in layers])
    for index, (layer, part) in enumerate(zip(layers, parts, strict=True)):
        layer.weight.copy_(part.T.float()[:, :, None, None])
        layer.bias.copy_(bias.float() if index == 0 else torch.zeros(21))
