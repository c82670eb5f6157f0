"""Ternary weights: values in {-1, 0, +1} with one scale per output channel, kept exactly from training to the phone."""

from quant.ternary.packing import LAYOUTS, Layout, PackedError, pack, unpack
from quant.ternary.tensor import NotTernary, TernaryTensor, ternary_of

__all__ = ["LAYOUTS", "Layout", "NotTernary", "PackedError", "TernaryTensor", "pack", "ternary_of", "unpack"]
