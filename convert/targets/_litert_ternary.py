"""Write the ternary weights of a float `.tflite` as integer codes -1, 0, 1 with their own scales: nothing is rounded.

Matrix products, and 1×1 convolutions written as such, multiply 2-bit codes as they are (XNNPACK; activations get 8-bit
codes of every row's own range at run time). Other convolutions keep 8-bit codes behind a DEQUANTIZE, which XNNPACK
resolves when the file is loaded: bit for bit the float file's results, at its speed, in a quarter of the size. 2- and
4-bit codes there are right too, but leave XNNPACK, which took 2 to 25 times as long. Weights that are exactly codes of
4 or 8 bits are written in the same way.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convert.targets._litert_origin import kind_of, operators_as_names, read_model, read_operators
from convert.targets._litert_unfused import input_factors
from convert.ternary import ternary_layers, weighted_operators
from edge.artifact import Step
from edge.errors import Refused
from quant.coded import CodedTensor, Codes, codes_of
from quant.ternary import TernaryTensor

if TYPE_CHECKING:
    from convert.program import Program

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
# The first versions with a scale a channel for codes between float tensors.
_VERSIONS = {"FULLY_CONNECTED": 12, "DEQUANTIZE": 5, "MUL": 1}
_CHANNEL_BYTES = 12  # a float32 scale and an int64 zero point


def to_ternary(program: Program) -> tuple[bytes, tuple[Step, ...]]:
    """Return the `.tflite` of a program with its ternary weights as codes, and the steps that record the forms.

    Raises Refused for a program without ternary weights.
    """
    from convert.targets._kept import kept_operators
    from convert.targets._litert import litert_steps, to_tflite

    kept_operators(program, "ternary")
    layers = ternary_layers(program)
    with operators_as_names(program):
        content = to_tflite(program, "fp32")
    names, known = weighted_operators(program), {layer.operator: layer.tensor for layer in layers}
    own = {
        entry.index: next((known[name] for name in entry.origins if name in known), None)
        for entry in read_operators(content, program)
        if names.intersection(entry.origins)
    }
    made, forms = encode(content, own)
    options: dict[str, str | int | float | bool] = {
        "kind": "ternary",
        **{name: count for name, count in sorted(forms.items()) if count},
        "ternary_layers": len(layers),
    }
    if any(name.startswith("FULLY_CONNECTED") for name in forms):
        options["activations"] = "int8 a row at run time in FULLY_CONNECTED"
    version = metadata.version("ai-edge-litert")
    return made, (*litert_steps("fp32"), Step(tool="edge-deployment-kit", version=version, options=options))


def check_executed(kind: str, bits: int, columns: int) -> None:
    """Raise Refused unless LiteRT computes right and fast with codes as the weight of an operator.

    `kind` is the operator that reads the codes and `columns` the number of weights of an output channel.
    """
    if kind == "FULLY_CONNECTED":
        if columns % (8 // bits):
            raise Refused(
                f"XNNPACK has no product of {bits}-bit codes in rows of {columns}; expected a multiple of {8 // bits}"
            )
    elif kind == "CONV_2D" and bits == 2:
        raise Refused("LiteRT computes NaN from 2-bit codes in CONV_2D; the nearest is 8 bits before a DEQUANTIZE")
    elif kind != "DEQUANTIZE" or bits != 8:
        raise Refused(f"XNNPACK takes no {bits}-bit codes in {kind}; the nearest is 8 bits before a DEQUANTIZE")


def encode(content: bytes, own: Mapping[int, TernaryTensor | None]) -> tuple[bytes, Counter[str]]:
    """Return a float file with the coded weights of operators as codes, and the forms' counts.

    `own` maps an operator's index to the ternary weight that it had in the exported program, if it had one.

    A form is named after the operator that reads the codes and their type.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = read_model(content)
    editor = _Editor(model)
    forms: Counter[str] = Counter()
    operators: list[Any] = []
    for index, operator in enumerate(list(model.subgraphs[0].operators)):
        kind = kind_of(model.operatorCodes[operator.opcodeIndex])
        if kind in _WEIGHTED and editor.is_constant(int(operator.inputs[1])):
            form = editor.encode(operator, kind, operators, own[index]) if index in own else "float"
            forms[form] += 1
        operators.append(operator)
    model.subgraphs[0].operators = operators
    editor.drop_unused()
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)), forms


class _Editor:
    """Change the weights of a model's main graph, each once however many operators read it."""

    def __init__(self, model: Any) -> None:
        self._model, self._graph = model, model.subgraphs[0]
        self._made: dict[tuple[int, str], int] = {}  # (float tensor, form) → tensor that stands for it

    def is_constant(self, tensor: int) -> bool:
        """Tell whether a tensor holds float32 values of its own."""
        entry = self._graph.tensors[tensor]
        return entry.type == 0 and self._model.buffers[entry.buffer].data is not None  # 0: float32

    def encode(self, operator: Any, kind: str, before: list[Any], trained: TernaryTensor | None) -> str:
        """Let an operator read codes; what has to be computed for that is appended to `before`. Return the form."""
        weight = int(operator.inputs[1])
        axis = 3 if kind == "DEPTHWISE_CONV_2D" else 0
        tensor = codes_of(self._values(weight), axis=axis)
        if tensor is None and kind == "FULLY_CONNECTED" and trained is not None:
            factors = input_factors(self._values(weight), trained)
            if factors is not None:
                tensor = trained
                operator.inputs[0] = self._multiplied(int(operator.inputs[0]), factors, before)
        if tensor is None:
            return "float"
        product = kind == "FULLY_CONNECTED" or (kind == "CONV_2D" and self._is_pointwise(operator))
        fitting = (bits for bits in (2, 4, 8) if bits >= tensor.bits and tensor.columns % (8 // bits) == 0)
        bits = next(fitting) if product else 8
        if tensor.columns * bits // 8 + _CHANNEL_BYTES >= 4 * tensor.columns:
            return "float"  # codes would be larger
        reader = "FULLY_CONNECTED" if product else "DEQUANTIZE"
        check_executed(reader, bits, tensor.columns)
        form = f"{reader}_int{bits}"
        if product:
            self._make_product(operator, kind)
            flat = CodedTensor(tensor.codes.reshape(len(tensor.codes), -1), tensor.scale, tensor.bits)
            operator.inputs[1] = self._once(weight, form, lambda: self._codes(weight, flat, 0, bits))
        else:
            operator.inputs[1] = self._once(weight, form, lambda: self._restored(weight, tensor, axis, before))
        return form

    def drop_unused(self) -> None:
        """Empty the buffers that no tensor reads any more."""
        operators = self._graph.operators
        read = {int(tensor) for operator in operators for tensor in (*operator.inputs, *operator.outputs)}
        read |= {int(tensor) for tensor in (*self._graph.inputs, *self._graph.outputs)}
        for replaced, _ in self._made:
            if replaced not in read:
                self._graph.tensors[replaced].buffer = 0  # the empty one
        used = {tensor.buffer for graph in self._model.subgraphs for tensor in graph.tensors}
        used |= {entry.buffer for entry in self._model.metadata or ()}
        for index, buffer in enumerate(self._model.buffers):
            if index not in used:
                buffer.data = None

    def _values(self, tensor: int) -> NDArray[np.float32]:
        """Return a constant weight with its output channels first or last, as the format has them."""
        entry = self._graph.tensors[tensor]
        data = np.frombuffer(bytes(self._model.buffers[entry.buffer].data), np.float32)
        return data.reshape([int(size) for size in entry.shape])

    def _is_pointwise(self, operator: Any) -> bool:
        """Tell whether a convolution is one product for every pixel."""
        options, weight = operator.builtinOptions, self._graph.tensors[operator.inputs[1]]
        given = self._graph.tensors[operator.inputs[0]]
        whole = int(weight.shape[3]) == int(given.shape[3])  # no groups
        return whole and int(weight.shape[1]) == int(weight.shape[2]) == options.strideH == options.strideW == 1

    def _make_product(self, operator: Any, kind: str) -> None:
        from ai_edge_litert import schema_py_generated as schema

        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = operator.builtinOptions.fusedActivationFunction
        options.keepNumDims = True if kind == "CONV_2D" else operator.builtinOptions.keepNumDims
        options.asymmetricQuantizeInputs = True
        operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.FullyConnectedOptions, options
        operator.opcodeIndex = self._code("FULLY_CONNECTED")

    def _once(self, weight: int, form: str, make: Any) -> int:
        if (weight, form) not in self._made:
            self._made[weight, form] = make()
        return self._made[weight, form]

    def _multiplied(self, tensor: int, factors: NDArray[np.float32], before: list[Any]) -> int:
        """Add a product of a tensor's last axis with factors, and return its result."""
        from ai_edge_litert import schema_py_generated as schema

        constant, buffer = copy.copy(self._graph.tensors[tensor]), copy.copy(self._model.buffers[0])
        buffer.data = factors.view(np.uint8)
        constant.name, constant.buffer, constant.shape = (
            constant.name + b"/factors",
            len(self._model.buffers),
            [len(factors)],
        )
        constant.shapeSignature = None
        self._model.buffers.append(buffer)
        result = copy.copy(self._graph.tensors[tensor])
        result.buffer, result.name = 0, result.name + b"/multiplied"
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs = self._code("MUL"), [tensor, self._add(constant)]
        operator.outputs = [self._add(result)]
        operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.MulOptions, schema.MulOptionsT()
        before.append(operator)
        return int(operator.outputs[0])

    def _restored(self, weight: int, tensor: Codes, axis: int, before: list[Any]) -> int:
        """Add codes, an operator that restores them, and the float tensor that it fills."""
        from ai_edge_litert import schema_py_generated as schema

        result = copy.copy(self._graph.tensors[weight])
        result.buffer, result.name = 0, result.name + b"/restored"
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code("DEQUANTIZE")
        operator.inputs = [self._codes(weight, tensor, axis, 8)]
        operator.outputs = [self._add(result)]
        operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
        operator.builtinOptions = schema.DequantizeOptionsT()
        before.append(operator)
        return int(operator.outputs[0])

    def _codes(self, weight: int, tensor: Codes, axis: int, bits: int) -> int:
        """Add a constant of codes with a scale an output channel and return its index."""
        from ai_edge_litert import schema_py_generated as schema

        entry, buffer = copy.copy(self._graph.tensors[weight]), copy.copy(self._model.buffers[0])
        codes = np.moveaxis(tensor.codes, 0, axis)
        buffer.data = packed(codes, bits)
        entry.name, entry.buffer = entry.name + b"/codes", len(self._model.buffers)
        entry.type, entry.shape = getattr(schema.TensorType, f"INT{bits}"), list(codes.shape)
        entry.quantization = schema.QuantizationParametersT()
        entry.quantization.scale, entry.quantization.quantizedDimension = tensor.scale, axis
        entry.quantization.zeroPoint = np.zeros(len(tensor.scale), np.int64)
        self._model.buffers.append(buffer)
        return self._add(entry)

    def _add(self, tensor: Any) -> int:
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _code(self, kind: str) -> int:
        """Return the index of an operator code that has a scale a channel, added if the file has none."""
        from ai_edge_litert import schema_py_generated as schema

        for index, code in enumerate(self._model.operatorCodes):
            if kind_of(code) == kind and code.version == _VERSIONS[kind]:
                return index
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
        code.version = _VERSIONS[kind]
        self._model.operatorCodes.append(code)
        return len(self._model.operatorCodes) - 1


def packed(codes: NDArray[np.int8], bits: int) -> NDArray[np.uint8]:
    """Return signed codes of 2, 4 or 8 bits as bytes, the first in the lowest bits."""
    count = 8 // bits
    flat = np.ascontiguousarray(codes).reshape(-1).view(np.uint8) & np.uint8((1 << bits) - 1)
    several = np.pad(flat, (0, -flat.size % count)).reshape(-1, count)
    return np.asarray(np.bitwise_or.reduce(several << np.arange(0, 8, bits, dtype=np.uint8), axis=-1), np.uint8)
