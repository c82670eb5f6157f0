"""Small networks for the NPU targets' tests: one that every NPU takes, one with an operator that none takes."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from convert.export import export
from convert.program import Model, Program
from edge.artifact import Source
from edge.contract import Contract, Postprocess, Preprocess, TensorSpec

CONTRACT = Contract(
    inputs=(TensorSpec(name="image", shape=(1, 3, 32, 48), layout="NCHW"),),
    outputs=(TensorSpec(name="mask", shape=(1, 1, 32, 48), layout="NCHW"),),
    task="segmentation",
    preprocess=Preprocess(size=(32, 48), resize="stretch", range=(0.0, 1.0)),
    postprocess=Postprocess(decoder="probability", settings={"threshold": 0.5}),
    labels=("background", "person"),
)


class Small(nn.Module):
    """Brightness with a little texture, as a mask."""

    def __init__(self, odd: bool = False):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Hardswish(), nn.Conv2d(8, 8, 1))
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.head = nn.Conv2d(11, 1, 1)
        self.odd = odd

    def forward(self, image):
        features = nn.functional.relu6(self.up(self.body(image)))  # alone: no convolution to fuse it into
        if self.odd:
            features = torch.atan2(features, features + 1.5)
        return torch.sigmoid(8 * self.head(torch.cat((features, image), dim=1)) - 1)


def small_model(odd: bool = False) -> Model:
    return Model("small", Small(odd).eval(), CONTRACT, Source(sha256="0" * 64))


def small_program(odd: bool = False) -> Program:
    """Return the exported network with smooth seeded pictures to calibrate on."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[0:32, 0:48].astype(np.float32) / 32
    pictures = [
        np.stack([np.sin(rows * a + columns * b) / 2 + 0.5 for a, b in generator.uniform(0, 6, (3, 2))])[None]
        for _ in range(6)
    ]
    program = export(small_model(odd))
    return replace(program, calibration=tuple({"image": picture.astype(np.float32)} for picture in pictures))
