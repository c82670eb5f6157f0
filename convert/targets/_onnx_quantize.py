"""Float ONNX model → QDQ model: 8-bit weights per channel, 8- or 16-bit activations per tensor."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.targets._onnx_qnn_bias import correct_biases, run_with
from quant.observers import Observer, Range, Seen, choose_range

Arrays = Mapping[str, NDArray[Any]]
ACTIVATION_BITS: Mapping[str, int] = {"int8": 8, "mixed": 8, "w8a16": 16}
# Where an activation function saturates, its input needs no further range: σ(±8) is within 4e-4 of 0 and 1,
# hard-swish and hard-sigmoid are constant outside [-3, 3] and below -3.
_SATURATION: Mapping[str, Range] = {
    "Sigmoid": (-8.0, 8.0),
    "HardSigmoid": (-3.0, 3.0),
    "HardSwish": (-3.0, np.inf),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Say how a model is quantized: bits of activations, who chooses their ranges, and nodes treated apart.

    Without an observer a range reaches from the least to the largest value seen. `floats` are nodes that stay in float,
    `finer` nodes whose activations get 16 bits.
    """

    bits: int
    observer: Observer | None = None
    floats: tuple[str, ...] = ()
    finer: tuple[str, ...] = ()


def quantize(model: Any, inputs: Sequence[Arrays], plan: Plan) -> tuple[bytes, int]:
    """Quantize a float model on calibration inputs; return the QDQ model and how many biases were corrected.

    Weights are symmetric int8 with a scale per output channel, activations asymmetric.
    """
    import onnx

    quantized = onnx.load_from_string(quantize_static(model, inputs, plan))
    count = correct_biases(quantized, model, inputs)
    return quantized.SerializeToString(deterministic=True), count


def quantize_static(model: Any, inputs: Sequence[Arrays], plan: Plan) -> bytes:
    """Return the QDQ model with the ranges that the plan asks for, biases as rounding left them."""
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization import quantize as run_quantizer
    from onnxruntime.quantization.execution_providers.qnn import get_qnn_qdq_config

    copied = onnx.ModelProto()
    copied.CopyFrom(model)  # the quantizer writes into what it is given
    overrides = {name: [_ends(*ends)] for name, ends in choose_ranges(model, inputs, plan).items()}
    for node in model.graph.node:
        for name in node.output if node.name in plan.finer else ():
            overrides[name] = [{**overrides.get(name, [{}])[0], "quant_type": QuantType.QUInt16}]
    config = get_qnn_qdq_config(
        copied,
        _reader(inputs[:1] if plan.observer else inputs),
        activation_type=QuantType.QUInt8 if plan.bits == 8 else QuantType.QUInt16,
        weight_type=QuantType.QInt8,
        per_channel=True,
        init_overrides=overrides,
        add_qtype_converts=bool(plan.finer),
        nodes_to_exclude=list(plan.floats),
    )
    with tempfile.TemporaryDirectory() as scratch, without_advice():
        path = Path(scratch) / "quantized.onnx"
        run_quantizer(copied, str(path), config)
        return path.read_bytes()


def choose_ranges(model: Any, inputs: Sequence[Arrays], plan: Plan) -> dict[str, Range]:
    """Return the ranges that differ from the extremes seen: an observer's, and those that only a saturating node reads.

    Values beyond the range where such a node saturates change nothing and get no codes.
    """
    narrow = _saturating(model)
    names = _activations(model) if plan.observer else list(narrow)
    found: dict[str, Seen] = {}
    for values in run_with(model, names, inputs):
        for name, value in values.items():
            found.setdefault(name, Seen()).add(value)
    ranges: dict[str, Range] = {}
    for name, seen in found.items():
        low, high = choose_range(seen, plan.observer or "min-max", bits=plan.bits)
        least, largest = narrow.get(name, (-np.inf, np.inf))
        ranges[name] = (max(low, least), min(high, largest))
    return ranges


def _ends(low: float, high: float) -> dict[str, Any]:
    return {"rmin": np.float32(low), "rmax": np.float32(high)}


def _activations(model: Any) -> list[str]:
    """Return the float values of a model that depend on its inputs."""
    known = {value.name for value in model.graph.input if value.type.tensor_type.elem_type == 1}  # 1: float32
    shaped = {*known, *_floats(model)}
    live = set(known)
    for node in model.graph.node:
        if live.intersection(node.input):
            live.update(node.output)
    return [*known, *(name for node in model.graph.node for name in node.output if name in live & shaped)]


def _floats(model: Any) -> set[str]:
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    return {value.name for value in (*graph.value_info, *graph.output) if value.type.tensor_type.elem_type == 1}


def _saturating(model: Any) -> dict[str, Range]:
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
def without_advice() -> Iterator[None]:
    """Keep the quantizer from advising, on the root logger, what was done already."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
