"""The precisions a user can ask for; each target says which of them it has."""

from __future__ import annotations

from dataclasses import dataclass

from edge.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """Say what a precision means and whether it needs pictures to measure the range of activations on."""

    name: str
    meaning: str
    calibrated: bool = False


PRECISIONS: Registry[Precision] = Registry("precision", "quant", command="edge targets")

for _precision in (
    Precision(name="fp32", meaning="weights and activations in float32"),
    Precision(name="fp16", meaning="weights in float16; activations too where the runtime computes in float16"),
    Precision(name="int8", meaning="weights and activations in 8 bits, static", calibrated=True),
    Precision(name="w8a16", meaning="weights in 8 bits, activations in 16", calibrated=True),
    Precision(name="mixed", meaning="each layer in the cheapest precision that keeps the answer", calibrated=True),
    Precision(name="ternary", meaning="weights in {-1, 0, +1} with one scale per output channel"),
    Precision(name="auto", meaning="the fastest precision within an accuracy budget", calibrated=True),
):
    PRECISIONS.add(_precision.name, _precision)
