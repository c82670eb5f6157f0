"""Products of packed ternary weights with int8 activations, by the best instructions that the processor has.

The library is C++ (src/, include/ternary.h) and is loaded when it is first used; without it that raises MissingError.
"""

from quant.kernels.kernel import TernaryKernel, available_paths, compiled_paths, quantize_rows
from quant.kernels.packing import decode, encode

__all__ = ["TernaryKernel", "available_paths", "compiled_paths", "decode", "encode", "quantize_rows"]
