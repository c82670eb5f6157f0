"""An inference request: written by the client, read and checked by the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from edge.serve.datatypes import Buffer
from edge.serve.errors import RequestError, TooLarge, printable
from edge.serve.limits import Limits
from edge.serve.metadata import ModelMetadata, Parameter, TensorMetadata, fits
from edge.serve.wire import Message, Name, Tensor, TensorDocument, decode, join, lay_out, read, shown, split, write

Id = Annotated[str, msgspec.Meta(max_length=256)]
_LONGEST_TIMEOUT_US = 24 * 3600 * 1_000_000
_REFUSED = ("sequence_id", "sequence_start", "sequence_end")  # models keep no state between requests


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that the client wants, as binary data or as JSON."""

    name: str
    binary: bool


@dataclass(frozen=True, slots=True, eq=False)
class InferRequest:
    """What a client asks of a model; inputs are in the model's order.

    `outputs` are those asked for, or all. `timeout_us` is how long the client waits, in microseconds, None for ever;
    `priority` 0 is the model's default, 1 the highest. `parameters` are the others, as they came.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[RequestedOutput, ...]
    id: str = ""
    timeout_us: int | None = None
    priority: int = 0
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


class _OutputDocument(msgspec.Struct, kw_only=True, omit_defaults=True):
    name: Name
    parameters: dict[str, Parameter] = {}


class _RequestDocument(msgspec.Struct, kw_only=True, omit_defaults=True):
    id: Id = ""
    parameters: dict[str, Parameter] = {}
    inputs: list[TensorDocument]
    outputs: list[_OutputDocument] = []


_DECODER = msgspec.json.Decoder(_RequestDocument)


def encode_request(
    inputs: Sequence[Tensor],
    *,
    outputs: Sequence[str] = (),
    id: str = "",
    timeout_us: int | None = None,
    priority: int = 0,
    binary: bool = True,
) -> Message:
    """Return the message that asks for `outputs`, or all of them, tensors both ways as binary data or as JSON.

    Raises RequestError for values that JSON cannot hold.
    """
    written = [write(tensor, binary=binary) for tensor in inputs]
    parameters: dict[str, Parameter] = {"binary_data_output": True} if binary else {}
    if timeout_us is not None:
        parameters["timeout"] = timeout_us
    if priority:
        parameters["priority"] = priority
    document = _RequestDocument(
        id=id,
        parameters=parameters,
        inputs=[tensor for tensor, _ in written],
        outputs=[_OutputDocument(name=name) for name in outputs],
    )
    return join(document, [raw for _, raw in written], binary=binary)


def parse_request(
    body: Buffer, header_length: str | None, model: ModelMetadata, limits: Limits | None = None
) -> InferRequest:
    """Return a request that fits the model; everything is checked before a tensor takes memory.

    `header_length` is the value of the header Inference-Header-Content-Length, None without one. Tensors are views of
    `body` where they can be. Raises RequestError, or TooLarge above a limit.
    """
    allowed = limits or Limits()
    head, binary = split(body, header_length, allowed)
    document = decode(head, _DECODER)
    if len(document.outputs) > allowed.tensors:
        raise TooLarge(f"{len(document.outputs)} outputs; at most {allowed.tensors} are taken")
    places = lay_out(document.inputs, binary.nbytes, allowed)
    given = _match(document.inputs, model, allowed)
    outputs = _outputs(document, model)
    parameters = dict(document.parameters)
    parameters.pop("binary_data_output", None)
    timeout_us = _number(parameters.pop("timeout", 0), "timeout", _LONGEST_TIMEOUT_US)
    priority = _number(parameters.pop("priority", 0), "priority", 2**32 - 1)
    stateful = [key for key in _REFUSED if parameters.get(key)]
    if stateful:
        raise RequestError(f"parameter {stateful[0]} is refused: models keep no state between requests")
    return InferRequest(
        inputs=tuple(read(tensor, places[tensor.name], binary) for tensor in given),
        outputs=outputs,
        id=document.id,
        timeout_us=timeout_us or None,
        priority=priority,
        parameters=parameters,
    )


def _match(documents: Sequence[TensorDocument], model: ModelMetadata, limits: Limits) -> list[TensorDocument]:
    """Return the inputs in the model's order; raises RequestError for missing, unknown and unfitting ones."""
    given = {document.name: document for document in documents}
    unknown = [name for name in given if name not in {spec.name for spec in model.inputs}]
    if unknown:
        raise RequestError(f"model {model.name} has no input {shown(unknown[0])}; it has {_names(model.inputs)}")
    missing = [spec.name for spec in model.inputs if spec.name not in given]
    if missing:
        raise RequestError(f"input {missing[0]!r} is missing; model {model.name} needs {_names(model.inputs)}")
    found = [given[spec.name] for spec in model.inputs]
    for document, spec in zip(found, model.inputs, strict=True):
        _check_fit(document, spec, limits)
    rows = {
        document.name: document.shape[0]
        for document, spec in zip(found, model.inputs, strict=True)
        if spec.shape and spec.shape[0] == -1
    }
    if len(set(rows.values())) > 1:
        stated = ", ".join(f"{name} {count}" for name, count in rows.items())
        raise RequestError(f"the inputs' first axes differ ({stated}); they are the rows of one batch")
    return found


def _check_fit(document: TensorDocument, spec: TensorMetadata, limits: Limits) -> None:
    declared = spec.shape
    if document.datatype != spec.datatype:
        if document.datatype != "BYTES" or not spec.takes_pictures:
            also = ", or BYTES of encoded pictures" if spec.takes_pictures else ""
            raise RequestError(f"input {spec.name!r} is {document.datatype}; the model takes {spec.datatype}{also}")
        declared = spec.shape[:1]
    if not fits(document.shape, declared, limits.rows):
        wanted = f"{list(declared)}{f', -1 being 1 to {limits.rows}' if declared[:1] == (-1,) else ''}"
        raise RequestError(f"input {spec.name!r} has shape {list(document.shape)}; the model takes {wanted}")


def _outputs(document: _RequestDocument, model: ModelMetadata) -> tuple[RequestedOutput, ...]:
    default = _flag(document.parameters, "binary_data_output", False)
    if not document.outputs:
        return tuple(RequestedOutput(spec.name, default) for spec in model.outputs)
    known = {spec.name for spec in model.outputs}
    found: dict[str, RequestedOutput] = {}
    for output in document.outputs:
        if output.name not in known:
            raise RequestError(f"model {model.name} has no output {shown(output.name)}; it has {_names(model.outputs)}")
        if output.name in found:
            raise RequestError(f"output {output.name!r} is asked for twice")
        refused = [key for key in output.parameters if key == "classification" or key.startswith("shared_memory")]
        if refused:
            raise RequestError(f"output {output.name!r}: {printable(refused[0], 40)} is not served; take the tensor")
        found[output.name] = RequestedOutput(output.name, _flag(output.parameters, "binary_data", default))
    return tuple(found.values())


def _flag(parameters: Mapping[str, Parameter], key: str, default: bool) -> bool:
    value = parameters.get(key, default)
    if not isinstance(value, bool):
        raise RequestError(f"parameter {key} is {printable(str(value), 40)}; it has to be true or false")
    return value


def _number(value: Parameter, key: str, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise RequestError(f"parameter {key} is {printable(str(value), 40)}; it has to be a whole number up to {most}")
    return value


def _names(specs: Sequence[TensorMetadata]) -> str:
    return ", ".join(spec.name for spec in specs) or "none"
