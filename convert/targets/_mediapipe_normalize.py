"""Fit a contract's preprocessing to MediaPipe's, which normalises all channels alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import torch
from torch import Tensor, nn

from convert.targets._mediapipe_metadata import Normalization

if TYPE_CHECKING:
    from convert.program import Program
    from edge.contract import Preprocess

UNIT = Normalization((0.0,) * 3, (255.0,) * 3)  # pixels from 0…255 to 0…1


def pixel_normalization(rule: Preprocess) -> Normalization:
    """Return the mean and std, in pixel values of 0…255, that do what a contract's preprocessing does."""
    low, high = rule.range
    return Normalization(
        tuple(255.0 * (mean - low) / (high - low) for mean in rule.mean),
        tuple(255.0 * std / (high - low) for std in rule.std),
    )


def fold_channels(program: Program) -> tuple[Program, Normalization]:
    """Return a program that MediaPipe can feed, and the normalisation it is to apply.

    MediaPipe takes the first channel's mean and std for all three. Where they differ, the program returned takes
    pixels in 0…1 and normalises them itself; otherwise it is the one given.
    """
    rule = program.contract.preprocess
    if rule is None:
        return program, UNIT
    wanted = pixel_normalization(rule)
    if len(set(wanted.mean)) == 1 and len(set(wanted.std)) == 1:
        return program, wanted
    spec = program.contract.inputs[0]
    shape = (1, 3, 1, 1) if spec.layout == "NCHW" else (1, 1, 1, 3)
    module = _Normalized(program.exported.module(check_guards=False), wanted, shape)
    with torch.no_grad():
        exported = torch.export.export(module, (torch.rand(spec.shape),))
    plain = msgspec.structs.replace(rule, range=(0.0, 1.0), mean=(0.0,) * 3, std=(1.0,) * 3)
    contract = msgspec.structs.replace(program.contract, preprocess=plain)
    return type(program)(program.name, exported, contract, program.source, program.steps), UNIT


class _Normalized(nn.Module):
    """Apply (255 · x − mean) / std, then the network."""

    scale: Tensor
    offset: Tensor

    def __init__(self, network: nn.Module, rule: Normalization, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("scale", 255.0 / torch.tensor(rule.std).reshape(shape))
        self.register_buffer("offset", (torch.tensor(rule.mean) / torch.tensor(rule.std)).reshape(shape))
        self.training = False  # eval() would reach the exported graph, which refuses the call

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = self.network(pixels * self.scale - self.offset)
        return outputs
