"""Read a `.tflite` FlatBuffer into records without trusting a single length or offset in it.

Format: the TensorFlow Lite schema, version 3; the accessors are the generated ones that ai-edge-litert ships.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.importers.tflite.records import (
    GraphRecord,
    OperatorRecord,
    Quantization,
    SparseLevel,
    Sparsity,
    TensorRecord,
)
from edge.errors import InputError, MissingError

MAX_ELEMENTS = 1 << 31  # of one tensor; 8 GiB of float32
MAX_EXPANSION = 64  # elements that constants may decode to, per byte of the file


class Malformed(Exception):
    """Carry what is wrong with the file up to where its path is known."""


def read_graph(path: Path) -> GraphRecord:
    """Read the main graph of a `.tflite` file.

    Raises InputError for a file that is absent, empty, truncated, malformed or of another format, and
    MissingError if the package with the schema is not installed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected a .tflite file") from error
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise InputError(f"{path}: not a .tflite file ({len(data)} bytes, no TFL3 mark); convert or download it again")
    try:
        return _Reader(data, _schema()).graph()
    except MissingError:
        raise
    except Exception as error:  # struct.error, IndexError, ValueError, …: whatever damaged offsets lead to
        raise InputError(f"{path}: damaged .tflite file ({_reason(error)}); convert or download it again") from error


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, Malformed) else f"{type(error).__name__}: {error}".split("\n", 1)[0]


def _schema() -> ModuleType:
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise MissingError(
            "reading .tflite files needs ai-edge-litert: pip install 'edge-deployment-kit[litert]'"
        ) from error
    return schema_py_generated  # type: ignore[no-any-return]


def _names(enum: type) -> dict[int, str]:
    return {code: name for name, code in vars(enum).items() if isinstance(code, int)}


class _Reader:
    def __init__(self, data: bytes, schema: ModuleType) -> None:
        self._data, self._schema = data, schema
        self._model = schema.Model.GetRootAs(data, 0)
        self._types, self._kinds = _names(schema.TensorType), _names(schema.BuiltinOperator)
        self._options = _names(schema.BuiltinOptions)
        # Every vector element takes at least a byte of the file, so more of them than bytes is a loop of offsets.
        self._reads_left = len(data) + 4096
        self._elements_left = MAX_EXPANSION * len(data)

    def graph(self) -> GraphRecord:
        if not self._model.SubgraphsLength():
            raise Malformed("it holds no graph")
        graph = self._model.Subgraphs(0)
        codes = [self._kind(self._model.OperatorCodes(i)) for i in self._range(self._model.OperatorCodesLength())]
        tensors = tuple(self._tensor(graph.Tensors(i)) for i in self._range(graph.TensorsLength()))
        operators = tuple(self._operator(graph.Operators(i), codes) for i in self._range(graph.OperatorsLength()))
        record = GraphRecord(
            tensors, operators, self._integers(graph.InputsAsNumpy()), self._integers(graph.OutputsAsNumpy())
        )
        _check_indices(record)
        return record

    def _range(self, length: int) -> range:
        self._reads_left -= length
        if self._reads_left < 0:
            raise Malformed("its vectors are longer than the file")
        return range(length)

    def _array(self, found: Any) -> NDArray[Any]:
        array = found if isinstance(found, np.ndarray) else np.zeros(0, np.int32)  # absent vectors read as 0
        self._range(array.size)
        return array

    def _integers(self, found: Any) -> tuple[int, ...]:
        return tuple(int(value) for value in self._array(found))

    def _kind(self, code: Any) -> str:
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # codes above 126 only fit the newer field
        name = self._kinds.get(number, f"BUILTIN_{number}")
        return f"CUSTOM:{(code.CustomCode() or b'').decode(errors='replace')}" if name == "CUSTOM" else name

    def _operator(self, operator: Any, codes: list[str]) -> OperatorRecord:
        index = operator.OpcodeIndex()
        if index >= len(codes):
            raise Malformed(f"operator code {index} of {len(codes)}")
        option_type = operator.BuiltinOptionsType()
        table = operator.BuiltinOptions()
        known = table is not None and self._options.get(option_type, "Stablehlo").startswith("Stablehlo") is False
        return OperatorRecord(
            kind=codes[index],
            inputs=self._integers(operator.InputsAsNumpy()),
            outputs=self._integers(operator.OutputsAsNumpy()),
            options=self._schema.BuiltinOptionsCreator(option_type, table) if known else None,
            custom=self._array(operator.CustomOptionsAsNumpy()).astype(np.uint8).tobytes(),
        )

    def _tensor(self, tensor: Any) -> TensorRecord:
        name = (tensor.Name() or b"").decode(errors="replace")
        shape = self._integers(tensor.ShapeAsNumpy())
        if len(shape) > 8 or any(size < 0 for size in shape) or math.prod(shape) > MAX_ELEMENTS:
            raise Malformed(f"tensor {name[:60]!r} has shape {list(shape)[:8]}")
        data = self._buffer(tensor.Buffer())
        if data is not None:
            self._elements_left -= math.prod(shape)
            if self._elements_left < 0:
                raise Malformed("its constants would decode to far more than the file holds")
        return TensorRecord(
            name=name,
            shape=shape,
            type=self._types.get(tensor.Type(), f"TYPE_{tensor.Type()}"),
            data=data,
            quantization=self._quantization(tensor.Quantization()),
            sparsity=self._sparsity(tensor.Sparsity()),
        )

    def _buffer(self, index: int) -> NDArray[np.uint8] | None:
        if index >= self._model.BuffersLength():
            raise Malformed(f"buffer {index} of {self._model.BuffersLength()}")
        buffer = self._model.Buffers(index)
        if buffer.Offset() > 1:  # data behind the FlatBuffer, in files beyond 2 GiB
            start, size = buffer.Offset(), buffer.Size()
            if start + size > len(self._data):
                raise Malformed(f"buffer {index} ends behind the file")
            return np.frombuffer(self._data, np.uint8, size, start)
        return buffer.DataAsNumpy() if buffer.DataLength() else None

    def _quantization(self, table: Any) -> Quantization | None:
        if table is None or not table.ScaleLength():
            return None
        scale = self._array(table.ScaleAsNumpy()).astype(np.float32)
        zero = self._array(table.ZeroPointAsNumpy()).astype(np.int64)
        if zero.size not in (0, 1, scale.size):
            raise Malformed(f"{zero.size} zero points for {scale.size} scales")
        zero = np.broadcast_to(zero if zero.size else np.zeros(1, np.int64), scale.shape)
        return Quantization(scale, zero, table.QuantizedDimension())

    def _sparsity(self, table: Any) -> Sparsity | None:
        if table is None:
            return None
        levels = tuple(self._level(table.DimMetadata(i)) for i in self._range(table.DimMetadataLength()))
        traversal = self._integers(table.TraversalOrderAsNumpy())
        return Sparsity(traversal, self._integers(table.BlockMapAsNumpy()), levels)

    def _level(self, dimension: Any) -> SparseLevel:
        if dimension.Format() == self._schema.DimensionType.DENSE:
            return SparseLevel(dimension.DenseSize())
        segments = self._index_vector(dimension.ArraySegmentsType(), dimension.ArraySegments())
        indices = self._index_vector(dimension.ArrayIndicesType(), dimension.ArrayIndices())
        return SparseLevel(0, segments, indices)

    def _index_vector(self, kind: int, table: Any) -> NDArray[np.int64]:
        vectors = self._schema.SparseIndexVector
        readers = {
            vectors.Int32Vector: self._schema.Int32Vector,
            vectors.Uint16Vector: self._schema.Uint16Vector,
            vectors.Uint8Vector: self._schema.Uint8Vector,
        }
        if kind not in readers or table is None:
            raise Malformed("a sparse axis without indices")
        vector = readers[kind]()
        vector.Init(table.Bytes, table.Pos)
        return self._array(vector.ValuesAsNumpy()).astype(np.int64)


def _check_indices(graph: GraphRecord) -> None:
    count = len(graph.tensors)
    known = {i for i, tensor in enumerate(graph.tensors) if tensor.data is not None} | set(graph.inputs)
    if any(not 0 <= index < count for index in (*graph.inputs, *graph.outputs)):
        raise Malformed(f"an input or output outside its {count} tensors")
    for number, operator in enumerate(graph.operators):
        bad = [i for i in operator.inputs if not -1 <= i < count] + [i for i in operator.outputs if not 0 <= i < count]
        if bad:
            raise Malformed(f"operator {number} ({operator.kind}) names tensor {bad[0]} of {count}")
        known.update(operator.outputs)
    if not graph.outputs or not set(graph.outputs) <= known:
        raise Malformed("an output that no operator computes")
