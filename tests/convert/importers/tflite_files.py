"""Write small `.tflite` files through the schema's object interface, and run them with LiteRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

Array = NDArray[Any]

TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "bool": schema.TensorType.BOOL,
}


class Draft:
    """Collect tensors and operators of one graph."""

    def __init__(self) -> None:
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model = schema.ModelT()
        self.model.version, self.model.subgraphs = 3, [self.graph]
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []

    def tensor(self, shape: tuple[int, ...] = (), dtype: str = "float32", name: str = "") -> int:
        """Add a tensor that is computed or fed."""
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), TYPES[dtype], 0
        tensor.name = name or f"scope/tensor_{len(self.graph.tensors)}"
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, array: Array, name: str = "", *, shape: tuple[int, ...] | None = None) -> int:
        """Add a constant; `shape` differs from the array's where it is stored sparse."""
        index = self.tensor(array.shape if shape is None else shape, str(array.dtype), name)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        self.graph.tensors[index].buffer = len(self.model.buffers) - 1
        return index

    def quantize(self, index: int, scale: list[float], zero: list[int], axis: int = 0) -> int:
        """Attach scales to a tensor."""
        found = schema.QuantizationParametersT()
        found.scale, found.zeroPoint, found.quantizedDimension = scale, zero, axis
        self.graph.tensors[index].quantization = found
        return index

    def add(self, kind: str, inputs: list[int], outputs: list[int], **options: Any) -> None:
        """Add an operator; options are those of the schema's table for it."""
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        custom = kind.removeprefix("CUSTOM:") if kind.startswith("CUSTOM:") else ""
        number = getattr(schema.BuiltinOperator, "CUSTOM" if custom else kind)
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 1
        code.customCode = custom or None
        operator.opcodeIndex, operator.inputs, operator.outputs = len(self.model.operatorCodes), inputs, outputs
        if "custom" in options:
            operator.customOptions = np.frombuffer(options.pop("custom"), np.uint8)
        table = options.pop("table", "")
        if table:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, table)
            operator.builtinOptions = getattr(schema, f"{table}T")()
            for name, value in options.items():
                assert hasattr(operator.builtinOptions, name), name
                setattr(operator.builtinOptions, name, value)
        self.model.operatorCodes.append(code)
        self.graph.operators.append(operator)

    def write(self, path: Path, inputs: list[int], outputs: list[int], *, infer: bool = True) -> Path:
        """Write the file; with `infer`, LiteRT states the shapes of what is computed."""
        self.graph.inputs, self.graph.outputs = inputs, outputs
        path.write_bytes(self._pack())
        if infer:
            interpreter = run_plain(path)
            for operator in self.graph.operators:
                for index in operator.outputs:
                    shape = interpreter._get_tensor_details(index, 0)["shape"]
                    self.graph.tensors[index].shape = shape.tolist()
            path.write_bytes(self._pack())
        return path

    def _pack(self) -> bytes:
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def run_plain(path: Path) -> Interpreter:
    """Open a file with LiteRT's own kernels, without XNNPACK."""
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), num_threads=1, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    return interpreter


def run_litert(interpreter: Interpreter, inputs: list[Array]) -> list[Array]:
    """Run on inputs in the file's layout and return all outputs in the file's order."""
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
