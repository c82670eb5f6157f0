"""Float ONNX model → QDQ model: 8-bit weights per channel, 8- or 16-bit activations per tensor, for Qualcomm's NPU."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.targets._onnx_qnn_bias import correct_biases, run_with

Arrays = Mapping[str, NDArray[Any]]
ACTIVATION_BITS: Mapping[str, int] = {"int8": 8, "w8a16": 16}
# Where an activation function saturates, its input needs no further range: σ(±8) is within half a step of 0 and 1,
# hard-swish and hard-sigmoid are constant outside [-3, 3] and below -3.
_SATURATION: Mapping[str, tuple[float, float]] = {
    "Sigmoid": (-8.0, 8.0),
    "HardSigmoid": (-3.0, 3.0),
    "HardSwish": (-3.0, np.inf),
}


def quantize(model: Any, inputs: Sequence[Arrays], precision: str) -> tuple[bytes, int]:
    """Quantize a float model on calibration inputs; return the QDQ model and how many biases were corrected.

    Weights are symmetric int8 with a scale per output channel, activations asymmetric
    between the least and the largest value seen. Every operator is quantized: nothing stays in float.
    """
    import onnx

    quantized = onnx.load_from_string(_quantize_static(model, inputs, ACTIVATION_BITS[precision]))
    count = correct_biases(quantized, model, inputs)
    return quantized.SerializeToString(deterministic=True), count


def _quantize_static(model: Any, inputs: Sequence[Arrays], bits: int) -> bytes:
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization import quantize as run_quantizer
    from onnxruntime.quantization.execution_providers.qnn import get_qnn_qdq_config

    copied = onnx.ModelProto()
    copied.CopyFrom(model)  # the quantizer writes into what it is given
    config = get_qnn_qdq_config(
        copied,
        _reader(inputs),
        activation_type=QuantType.QUInt8 if bits == 8 else QuantType.QUInt16,
        weight_type=QuantType.QInt8,
        per_channel=True,
        init_overrides=saturating_ranges(model, inputs),
    )
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        path = Path(scratch) / "quantized.onnx"
        run_quantizer(copied, str(path), config)
        return path.read_bytes()


def saturating_ranges(model: Any, inputs: Sequence[Arrays]) -> dict[str, list[dict[str, Any]]]:
    """Return overrides that narrow the range of values which only a saturating function reads."""
    narrow = _saturating(model)
    found: dict[str, tuple[float, float]] = {}
    for values in run_with(model, list(narrow), inputs):
        for name, value in values.items():
            least, largest = found.get(name, (0.0, 0.0))
            found[name] = (min(least, float(value.min())), max(largest, float(value.max())))
    return {
        name: [{"rmin": np.float32(max(least, narrow[name][0])), "rmax": np.float32(min(largest, narrow[name][1]))}]
        for name, (least, largest) in found.items()
    }


def _saturating(model: Any) -> dict[str, tuple[float, float]]:
    """Return the values that only a saturating function reads, with the range that it needs."""
    produced = {name for node in model.graph.node for name in node.output}
    readers: dict[str, set[str]] = {output.name: {""} for output in model.graph.output}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, set()).add(node.op_type)
    single = {name: next(iter(used)) for name, used in readers.items() if len(used) == 1 and name in produced}
    return {name: _SATURATION[reader] for name, reader in single.items() if reader in _SATURATION}


class _Reader:
    """Hand calibration inputs to ONNX Runtime's quantizer, one at a time."""

    def __init__(self, inputs: Sequence[Arrays]) -> None:
        self._left: Iterator[Arrays] = iter(inputs)

    def get_next(self) -> Arrays | None:
        """Return the next inputs, or None after the last."""
        return next(self._left, None)


def _reader(inputs: Sequence[Arrays]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    return type("Reader", (_Reader, CalibrationDataReader), {})(inputs)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer from advising, on the root logger, what was done already."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
