"""The precisions a user can ask for; each target says which of them it has."""

from __future__ import annotations

from edge.registry import Registry

PRECISIONS: Registry[str] = Registry("precision", "quant", command="edge targets")

for _name, _meaning in (
    ("fp32", "weights and activations in float32"),
    ("fp16", "weights in float16; activations too where the runtime computes in float16"),
    ("int8", "weights and activations in 8 bits, static"),
    ("w8a16", "weights in 8 bits, activations in 16"),
    ("mixed", "each layer in the cheapest precision that keeps the answer"),
    ("ternary", "weights in {-1, 0, +1} with one scale per output channel"),
    ("auto", "the fastest precision within an accuracy budget"),
):
    PRECISIONS.add(_name, _meaning)
