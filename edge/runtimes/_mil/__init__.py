"""A reference interpreter of Core ML's ML programs (MIL): executes a saved `.mlpackage` on any system.

It reads the very bytes that ship, the program in `model.mlmodel` and the weights in `weight.bin`, and shares no
code with the converter that wrote them: the blob reader, the decompression of weights and every operator are
written from the published operator reference. Only the protobuf classes come from coremltools, and they are
loaded without importing the rest of it.

Numbers. A value that the program types as fp16 is stored as fp16 between operators. Inside an operator fp16
arguments are widened to fp32, everything is accumulated in fp32, and the result is rounded to fp16 once. Apple's
CPU and GPU behave like this up to the order of summation; the Neural Engine may accumulate with less precision,
so parity on it can be worse than what this interpreter shows. fp16 overflow (above 65504) becomes infinity, as
on the device.

Types. Every result is checked against the shape and the type that the program declares for it; a difference
means a wrong conversion, or a bug here, and is an error.
"""

from __future__ import annotations

from edge.runtimes._mil.execute import Interpreter
from edge.runtimes._mil.package import Feature, Package, read_package
from edge.runtimes._mil.program import Function

__all__ = ["Feature", "Function", "Interpreter", "Package", "read_package"]
