"""The kit's observers of activations as torchao's: they collect while a prepared graph runs, then choose a range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torchao.quantization.pt2e import MinMaxObserver

from quant.observers import Observer, Seen, choose_range


class RangeObserver(MinMaxObserver):
    """Observe the extremes and an even sample of the values; `settle` puts the chosen range in the extremes' place."""

    choice: Observer

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._seen = Seen()

    def forward(self, x: Tensor) -> Tensor:
        """Take in the values of one input and pass them on."""
        self._seen.add(x.detach().cpu().numpy())
        passed: Tensor = super().forward(x)
        return passed

    def settle(self) -> None:
        """Replace the extremes by the chosen range; raises ValueError if values were not finite."""
        if not self._seen.values:
            return
        low, high = choose_range(self._seen, self.choice, bits=code_bits(self))
        self.min_val.fill_(low)
        self.max_val.fill_(high)
        self._seen = Seen()  # frees the sample


class PercentileObserver(RangeObserver):
    """Leave the rarest values out."""

    choice = "percentile"


class SquaredErrorObserver(RangeObserver):
    """Round and clip with the least squared error."""

    choice = "mse"


class EntropyObserver(RangeObserver):
    """Keep the distribution of the values."""

    choice = "entropy"


_OBSERVERS: Mapping[Observer | None, Any] = {
    None: MinMaxObserver,
    "min-max": MinMaxObserver,
    "percentile": PercentileObserver,
    "mse": SquaredErrorObserver,
    "entropy": EntropyObserver,
}


def activation_observer(observer: Observer | None) -> Any:
    """Return the class of an activation's observer; without a choice, the extremes over all inputs.

    torchao's moving average all but forgets the inputs before the last, and its histograms cannot be narrowed. Classes,
    as quantizers bind arguments to them once more and torchao takes no bound ones of bound ones.
    """
    return _OBSERVERS[observer]


def settle_ranges(prepared: GraphModule) -> None:
    """Let every observer of a calibrated graph choose its range."""
    with torch.no_grad():
        for module in prepared.modules():
            if isinstance(module, RangeObserver):
                module.settle()


def code_bits(observer: Any) -> int:
    """Return the bits of the codes that an observer is for."""
    return int(observer.quant_max - observer.quant_min).bit_length()
