"""Weights in integer codes that leave the least error in what a layer computes, not in the weights themselves."""

from __future__ import annotations

import torch
from torch import Tensor

_DAMPING = 1e-2  # of the mean square of the inputs: directions that were hardly seen must not be trusted


def least_error_weights(weight: Tensor, moment: Tensor, *, bits: int = 8) -> Tensor:
    """Return weights on the grid of symmetric codes, one scale a row, with little error E|(Ŵ - W)x|².

    `weight` is (groups, outputs, K) and `moment` E[xxᵀ] (groups, K, K) of the inputs x of each group. The columns are
    rounded one after another, each one's error made up for by those that are still to come (Frantar et al., GPTQ,
    2022, arXiv:2210.17323, algorithm 1, in the order of falling input energy). A row's largest weight keeps the largest
    code, so that every quantizer that takes a row's scale from its extreme finds the same grid and rounds nothing. Rows
    for which plain rounding is better are rounded plainly.
    """
    most = (1 << (bits - 1)) - 1
    exact = weight.double()
    scale = exact.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny) / most
    plain = (exact / scale).round() * scale
    found = _compensated(exact, moment.double(), scale, most)
    better = _error(found - exact, moment) < _error(plain - exact, moment)
    return torch.where(better.unsqueeze(-1), found, plain).to(weight.dtype)


def _compensated(weight: Tensor, moment: Tensor, scale: Tensor, most: int) -> Tensor:
    groups, _, columns = weight.shape
    energy = moment.diagonal(dim1=-2, dim2=-1)
    order = energy.sum(0).argsort(descending=True)
    factor = _inverse_factor(moment[:, order][:, :, order], energy)
    left = weight[:, :, order].clone()
    extreme = torch.zeros_like(left, dtype=torch.bool).scatter_(-1, left.abs().argmax(-1, keepdim=True), True)
    largest = left.sign() * most
    rounded = torch.empty_like(left)
    for column in range(columns):
        codes = (left[..., column] / scale[..., 0]).round().clamp(-most, most)
        codes = torch.where(extreme[..., column], largest[..., column], codes)
        rounded[..., column] = codes * scale[..., 0]
        error = (left[..., column] - rounded[..., column]) / factor[:, column, column].reshape(groups, 1)
        left[..., column + 1 :] -= error.unsqueeze(-1) * factor[:, column, column + 1 :].unsqueeze(1)
    return rounded[:, :, order.argsort()]


def _inverse_factor(moment: Tensor, energy: Tensor) -> Tensor:
    """Return the upper Cholesky factor of the damped moment's inverse."""
    damping = (energy.mean(-1) * _DAMPING).clamp_min(1e-12)
    damped = moment + damping.reshape(-1, 1, 1) * torch.eye(moment.shape[-1], dtype=moment.dtype)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor: Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor


def _error(difference: Tensor, moment: Tensor) -> Tensor:
    return torch.einsum("gok,gkl,gol->go", difference, moment.double(), difference)
