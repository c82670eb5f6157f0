"""The precisions a user can ask for; each target says which of them it has."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.registry import Registry
from quant.scheme import CHANNELS_4, CHANNELS_8, TENSOR_8, TENSOR_16, Scheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """Say what a precision means; `planned` ones are worked out for each model and target before they are built."""

    name: str
    meaning: str
    scheme: Scheme = field(default_factory=Scheme)
    planned: bool = False

    @property
    def calibrated(self) -> bool:
        """Say whether it needs pictures to measure the range of activations on."""
        return self.scheme.calibrated


PRECISIONS: Registry[Precision] = Registry("precision", "quant", command="edge targets")

_W8A8 = Scheme(weights=CHANNELS_8, activations=TENSOR_8)

for _precision in (
    Precision(name="fp32", meaning="weights and activations in float32"),
    Precision(name="fp16", meaning="weights in float16; activations too where the runtime computes in float16"),
    Precision(name="int8", meaning="weights and activations in 8 bits, ranges measured on pictures", scheme=_W8A8),
    Precision(
        name="w8a16",
        meaning="weights in 8 bits, activations in 16",
        scheme=Scheme(weights=CHANNELS_8, activations=TENSOR_16),
    ),
    Precision(
        name="int8-dynamic",
        meaning="weights in 8 bits; activations too, with ranges taken from every input as it comes",
        scheme=Scheme(weights=CHANNELS_8, activations=TENSOR_8, ranges="at run time"),
    ),
    Precision(name="w8", meaning="weights in 8 bits, computed in float", scheme=Scheme(weights=CHANNELS_8)),
    Precision(name="w4", meaning="weights in 4 bits, computed in float", scheme=Scheme(weights=CHANNELS_4)),
    Precision(
        name="mixed",
        meaning="int8, but for the layers that this costs most, which stay in float or in w8a16",
        scheme=_W8A8,
        planned=True,
    ),
    Precision(name="ternary", meaning="weights in {-1, 0, +1} with one scale per output channel"),
    Precision(
        name="ternary-sparse", meaning="ternary, with a bit for every weight and one more for each that is not 0"
    ),
    Precision(name="auto", meaning="the fastest precision within an accuracy budget", scheme=_W8A8, planned=True),
):
    PRECISIONS.add(_precision.name, _precision)
