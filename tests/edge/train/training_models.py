"""A small model of what training has to follow: norms, a skip, activations that saturate; and its pictures."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from edge.contract import Contract, Preprocess, TensorSpec
from edge.images import write_image

SOURCE = """
import torch
from training_models import Net, WideNet, contract

def build():
    torch.manual_seed(0)
    return Net(), contract()

def other():
    torch.manual_seed(1)
    return Net(), contract()

def wide():
    torch.manual_seed(0)
    return WideNet(), contract()

def broken():
    net = Net()
    net.scale = 1e30
    return net, contract()
"""


class Net(nn.Module):
    """Convolutions with norms before and after activations, a skip, a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.Hardswish()
        )
        self.depth = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.ReLU())
        self.late = nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 2, 2, stride=2)
        self.scale = 1.0
        for norm in (self.stem[1], self.depth[1], self.late):
            norm.running_mean.uniform_(-0.2, 0.2)
            norm.running_var.uniform_(0.02, 0.6)
            norm.weight.data.uniform_(0.5, 1.5)
            norm.bias.data.uniform_(-0.3, 0.3)

    def forward(self, image):
        x = self.stem(image)
        x = self.late(x + self.depth(x) * self.scale * self.scale)
        return torch.sigmoid(self.up(x)), x.mean((2, 3))


class WideNet(nn.Module):
    """Layers that bear ternary weights, with a norm that is folded into one of them and changes signs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.Conv2d(32, 48, 3, padding=1, bias=False)
        self.norm, self.third, self.last = nn.BatchNorm2d(48), nn.Conv2d(48, 32, 1), nn.Conv2d(32, 1, 1)
        self.norm.running_mean.uniform_(-0.2, 0.2)
        self.norm.running_var.uniform_(0.02, 0.6)
        self.norm.weight.data.uniform_(-1.5, 1.5)

    def forward(self, image):
        x = torch.relu(self.norm(self.second(torch.relu(self.first(image)))))
        return self.last(torch.relu(self.third(x)))


def contract() -> Contract:
    """Return a contract for pictures of 16 × 16 pixels."""
    return Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, 16, 16), layout="NCHW"),), preprocess=Preprocess(size=(16, 16))
    )


def write_pictures(folder: Path, count: int = 6) -> Path:
    """Write pictures of smooth colours."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for i in range(count):
        corners = generator.uniform(0, 255, (2, 2, 3))
        y, x = np.mgrid[0:1:24j, 0:1:20j][..., None]
        rows = corners[0, 0] * (1 - x) + corners[0, 1] * x, corners[1, 0] * (1 - x) + corners[1, 1] * x
        write_image(folder / f"{i}.png", (rows[0] * (1 - y) + rows[1] * y).astype(np.uint8))
    return folder


def write_source(folder: Path) -> Path:
    """Write a file whose functions build the model."""
    path = folder / "mine.py"
    path.write_text(SOURCE)
    return path
