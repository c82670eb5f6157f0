"""An exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class AveragedWeights:
    """Follow a network's weights and running statistics, the older the less: Polyak & Juditsky, SIAM J. 30(4), 1992.

    Early on the average forgets faster, (1 + n) / (10 + n) after n steps, for the first weights say nothing.
    """

    def __init__(self, network: nn.Module, keep: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._keep = keep

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after `step` steps."""
        keep = min(self._keep, (1 + step) / (10 + step))
        current: Mapping[str, Tensor] = network.state_dict()
        for name, average in self.network.state_dict().items():
            if average.is_floating_point():
                average.lerp_(current[name].to(average.dtype), 1.0 - keep)
            else:
                average.copy_(current[name])

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged weights."""
        return dict(self.network.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over averaged weights."""
        self.network.load_state_dict(dict(state))
