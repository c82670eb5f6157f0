"""The answer to an inference request: written by the server, read and checked by the client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from edge.serve.datatypes import Buffer
from edge.serve.errors import AnswerError, RequestError, ServeError, printable
from edge.serve.limits import Limits
from edge.serve.metadata import Parameter, TensorMetadata, fits
from edge.serve.requests import Id, InferRequest
from edge.serve.wire import Message, Name, Tensor, TensorDocument, decode, join, lay_out, read, shown, split, write


@dataclass(frozen=True, slots=True, eq=False)
class InferResponse:
    """What a model answered, outputs by name."""

    model_name: str
    model_version: str
    outputs: Mapping[str, Tensor]
    id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


class _ResponseDocument(msgspec.Struct, kw_only=True, omit_defaults=True):
    model_name: Name
    model_version: str = ""
    id: Id = ""
    parameters: dict[str, Parameter] = {}
    outputs: list[TensorDocument]


_DECODER = msgspec.json.Decoder(_ResponseDocument)


def encode_response(
    request: InferRequest,
    outputs: Sequence[Tensor],
    *,
    model_name: str,
    model_version: str = "",
    parameters: Mapping[str, Parameter] | None = None,
) -> Message:
    """Return the answer with the outputs that were asked for, in the order and form they were asked for.

    Raises ServeError if the model did not give one of them, RequestError for values that JSON cannot hold.
    """
    given = {tensor.name: tensor for tensor in outputs}
    missing = [wanted.name for wanted in request.outputs if wanted.name not in given]
    if missing:
        raise ServeError(f"model {model_name} gave no output {missing[0]!r}; it gave {', '.join(given) or 'none'}")
    written = [write(given[wanted.name], binary=wanted.binary) for wanted in request.outputs]
    document = _ResponseDocument(
        model_name=model_name,
        model_version=model_version,
        id=request.id,
        parameters=dict(parameters or {}),
        outputs=[tensor for tensor, _ in written],
    )
    return join(document, [raw for _, raw in written], binary=any(wanted.binary for wanted in request.outputs))


def parse_response(
    body: Buffer,
    header_length: str | None,
    expected: Sequence[TensorMetadata] = (),
    limits: Limits | None = None,
) -> InferResponse:
    """Return the answer of a server, which is trusted no more than a client is.

    `expected` are the outputs that have to be there, as they have to be; more may come. Raises AnswerError. An answer
    with another status than 200 is for `parse_error`.
    """
    allowed = limits or Limits()
    try:
        head, binary = split(body, header_length, allowed)
        document = decode(head, _DECODER)
        places = lay_out(document.outputs, binary.nbytes, allowed)
        for spec in expected:
            _check(spec, document.outputs, allowed)
        read_tensors = [read(tensor, places[tensor.name], binary) for tensor in document.outputs]
    except RequestError as error:
        raise AnswerError(f"the server's answer cannot be read: {error}") from None
    return InferResponse(
        model_name=document.model_name,
        model_version=document.model_version,
        outputs={tensor.name: tensor for tensor in read_tensors},
        id=document.id,
        parameters=document.parameters,
    )


def _check(spec: TensorMetadata, documents: Sequence[TensorDocument], limits: Limits) -> None:
    found = next((document for document in documents if document.name == spec.name), None)
    if found is None:
        names = ", ".join(printable(document.name, 80) for document in documents)
        raise RequestError(f"output {spec.name!r} is missing; there is {names or 'none'}")
    if found.datatype != spec.datatype or not fits(found.shape, spec.shape, limits.rows):
        raise RequestError(
            f"output {shown(spec.name)} is {found.datatype} {list(found.shape)}, not {spec.datatype} {list(spec.shape)}"
        )
