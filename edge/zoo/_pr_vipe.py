"""The network of Pr-VIPE: fully connected residual blocks from 13 points to a Gaussian.

Sources: Sun et al., "View-Invariant Probabilistic Embedding for Human Pose" (ECCV 2020, arXiv:1912.01001), on the trunk
of Martinez et al., "A simple yet effective baseline for 3d human pose estimation" (ICCV 2017, arXiv:1705.03098).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.errors import CheckpointError
from edge.tasks.embedding import FIRST_OFFSET, FIRST_RAW_SLOPE, KEYPOINT_NAMES

POINTS = len(KEYPOINT_NAMES)
_EPSILON, _MOMENTUM = 1e-3, 0.01  # TensorFlow's batch normalization: 0.001, and 1 − 0.99
_TRUNK, _HEADS = "SimpleModel", "SimpleModel/OutputLogits/C0"
_AVERAGE = "/ExponentialMovingAverage"


class FullyConnected(nn.Module):
    """Linear, batch normalization, ReLU and, in training, dropout."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs, eps=_EPSILON, momentum=_MOMENTUM)
        self.dropout = nn.Dropout(dropout)
        nn.init.kaiming_normal_(self.linear.weight, nonlinearity="relu")
        nn.init.zeros_(self.linear.bias)

    def forward(self, values: Tensor) -> Tensor:
        """Return (N, outputs)."""
        activated: Tensor = self.dropout(F.relu(self.norm(self.linear(values))))
        return activated


class Residual(nn.Module):
    """Two fully connected layers with a way around them."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(FullyConnected(width, width, dropout) for _ in range(2)))

    def forward(self, values: Tensor) -> Tensor:
        """Return (N, width)."""
        added: Tensor = values + self.layers(values)
        return added


class Matching(nn.Module):
    """What turns a distance into a probability: sigmoid(b − a · distance), a = elu(raw_a) + 1 above 0; learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.raw_a = nn.Parameter(torch.tensor(FIRST_RAW_SLOPE))
        self.b = nn.Parameter(torch.tensor(FIRST_OFFSET))

    @property
    def a(self) -> Tensor:
        """Return the slope, a positive number."""
        return F.elu(self.raw_a) + 1.0

    def settings(self) -> dict[str, float]:
        """Return a and b as the task's decoder takes them."""
        return {"a": float(self.a.detach()), "b": float(self.b.detach())}


class PrVipe(nn.Module):
    """Embed normalised keypoints (N, 13, 2), x before y, as mean and sigma (N, 16) of a Gaussian."""

    def __init__(self, width: int = 1024, blocks: int = 2, size: int = 16, dropout: float = 0.3) -> None:
        super().__init__()
        self.input = FullyConnected(2 * POINTS, width, dropout)
        self.blocks = nn.Sequential(*(Residual(width, dropout) for _ in range(blocks)))
        self.mean = nn.Linear(width, size)
        self.sigma = nn.Linear(width, size)
        self.matching = Matching()  # of the loss and of the decoder; the embedding itself does without

    def forward(self, keypoints: Tensor) -> tuple[Tensor, Tensor]:
        """Return (mean, sigma); sigma = elu(x) + 1 is above 0."""
        features = self.blocks(self.input(keypoints.flatten(1)))
        return self.mean(features), F.elu(self.sigma(features)) + 1.0


def learnt_settings(module: nn.Module) -> dict[str, float]:
    """Return the decoder's settings that a loaded network brings with it."""
    assert isinstance(module, PrVipe)
    return module.matching.settings()


def published_names(blocks: int = 2) -> dict[str, str]:
    """Return the TensorFlow variable of google-research/poem for each of the network's keys."""
    layers = {"input": f"{_TRUNK}/InputFC"}
    for block in range(blocks):
        for layer in range(2):
            layers[f"blocks.{block}.layers.{layer}"] = f"{_TRUNK}/FullyConnectedBlock_{block}/FC_{layer}"
    names: dict[str, str] = {}
    for key, scope in layers.items():
        names |= {f"{key}.linear.{part}": f"{scope}/Linear/{part}" for part in ("weight", "bias")}
        parts = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        names |= {f"{key}.norm.{part}": f"{scope}/BatchNorm/{name}" for part, name in parts.items()}
    for head, scope in (("mean", "unnormalized_embeddings"), ("sigma", "embedding_stddevs")):
        names |= {f"{head}.{part}": f"{_HEADS}/{scope}/{part}" for part in ("weight", "bias")}
    return names | {"matching.raw_a": "MatchingSigmoid/a", "matching.b": "MatchingSigmoid/b"}


def from_tensorflow(variables: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn the variables of a poem checkpoint into the network's state dict; other tensors pass through as they are.

    A variable's moving average is taken where there is one, as poem's own inference does; counters and what an
    optimizer keeps are left out. Matrices are transposed, and the input's rows put from poem's y before x into x before
    y. Raises CheckpointError naming the variables that are missing.
    """
    plain = {name.removesuffix(":0"): tensor for name, tensor in variables.items()}
    if not any(name.startswith(f"{_TRUNK}/") for name in plain):
        return dict(variables)
    blocks = len({name.split("/")[1] for name in plain if name.startswith(f"{_TRUNK}/FullyConnectedBlock_")})
    wanted = published_names(blocks)
    missing = [name for name in wanted.values() if name not in plain and name + _AVERAGE not in plain]
    if missing:
        raise CheckpointError(
            f"a Pr-VIPE checkpoint lacks {len(missing)} variables ({', '.join(missing[:3])}); "
            "save all of them, without a bottleneck layer, with one Gaussian"
        )
    state = {key: _oriented(key, plain.get(name + _AVERAGE, plain.get(name))) for key, name in wanted.items()}
    tracked = [key.replace("running_mean", "num_batches_tracked") for key in state if key.endswith("running_mean")]
    return state | {key: torch.zeros((), dtype=torch.int64) for key in tracked}


def _oriented(key: str, tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    if tensor.ndim != 2:
        return tensor
    if key == "input.linear.weight" and tensor.shape[0] == 2 * POINTS:
        tensor = tensor.reshape(POINTS, 2, -1).flip(1).reshape(tensor.shape)
    return tensor.T.contiguous()
