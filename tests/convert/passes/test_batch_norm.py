"""Batch normalisation around every linear operator, folded or written as a convolution."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from convert.passes import batch_norm
from convert.passes._rewrite import Rewrite, apply_rewrite

IMAGE = (2, 6, 8, 10)


def operators(module: nn.Module, rewrite: Rewrite, shape: tuple[int, ...] = IMAGE) -> Counter[str]:
    """Apply a pass, compare with eager, check that a second time changes nothing; count operators."""
    torch.manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            if layer.running_mean is None:
                continue
            layer.running_mean.uniform_(-1, 1)
            layer.running_var.uniform_(0.5, 2)
            if layer.affine:
                nn.init.uniform_(layer.weight, 0.5, 2)
                nn.init.uniform_(layer.bias, -1, 1)
    module, x = module.eval(), torch.randn(shape)
    with torch.no_grad():
        result = apply_rewrite(torch.export.export(module, (x,)), rewrite)
        torch.testing.assert_close(result.module()(x), module(x), rtol=1e-5, atol=1e-5)
        assert apply_rewrite(result, rewrite) is result
    return Counter(str(node.target).split(".")[1] for node in result.graph.nodes if node.op == "call_function")


@pytest.mark.parametrize(
    ("layer", "channels"),
    [
        (nn.Conv2d(6, 6, 3, padding=1, groups=6), 6),
        (nn.Conv2d(6, 8, 3, padding="same", bias=False), 8),
        (nn.ConvTranspose2d(6, 8, 4, 2, 1, bias=False), 8),
        (nn.ConvTranspose2d(6, 12, 3, 2, 1, output_padding=1, groups=3), 12),
        (nn.ConvTranspose2d(6, 6, 2, 2, groups=6), 6),
    ],
)
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_goes_into_the_operator_before(layer: nn.Module, channels: int, affine: bool) -> None:
    found = operators(nn.Sequential(layer, nn.BatchNorm2d(channels, affine=affine)), batch_norm.fold_batch_norm)
    assert sum(found.values()) == 1
    assert "batch_norm" not in found


def test_batch_norm_goes_into_products_and_signals() -> None:
    product = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7))
    assert operators(product, batch_norm.fold_batch_norm, (3, 5)) == {"linear": 1}
    signal = nn.Sequential(nn.Conv1d(5, 4, 3, bias=False), nn.BatchNorm1d(4))
    assert operators(signal, batch_norm.fold_batch_norm, (3, 5, 9)) == {"conv1d": 1}
    rows = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(4))  # normalises rows, not what the product gives
    assert operators(rows, batch_norm.fold_batch_norm, (3, 4, 5)) == {"linear": 1, "batch_norm": 1}


@pytest.mark.parametrize("groups", [1, 3, 6])
def test_batch_norm_goes_into_the_convolution_after(groups: int) -> None:
    module = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(6), nn.Conv2d(6, 12, 3, stride=2, groups=groups))
    assert operators(module, batch_norm.fold_batch_norm) == {"relu": 1, "conv2d": 1}


def test_batch_norm_before_zero_padding_stays() -> None:
    module = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 3, padding=1))
    assert operators(module, batch_norm.fold_batch_norm) == {"relu": 1, "batch_norm": 1, "conv2d": 1}


def test_batch_norm_after_an_activation_becomes_a_depthwise_convolution() -> None:
    module = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(6, affine=False), nn.Sigmoid())
    assert operators(module, batch_norm.batch_norm_by_convolution) == {"relu": 1, "conv2d": 1, "sigmoid": 1}


def test_batch_norm_of_vectors_stays() -> None:
    module = nn.Sequential(nn.ReLU(), nn.BatchNorm1d(6))
    assert operators(module, batch_norm.batch_norm_by_convolution, (3, 6)) == {"relu": 1, "batch_norm": 1}


def test_batch_norm_in_training_mode_stays() -> None:
    module = nn.Sequential(nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))
    assert operators(module, batch_norm.fold_batch_norm)["batch_norm"] == 1
