"""What a server answers instead of a result; each class carries its HTTP status.

ServeError                     500   the server failed; the request may be right
├── RequestError               400   not the protocol, or not what the model takes
│   ├── PictureError           400   a picture that is broken or refused
│   ├── Unauthenticated        401   no token, or an unknown one
│   ├── Forbidden              403   a token without a right to this model
│   ├── UnknownModel           404   no such model or version
│   ├── TooLarge               413   body, JSON, picture or tensor above a limit
│   └── UnsupportedEncoding    415   a compressed body, or a picture of another format
├── TooManyRequests            429   this token asked too often; `retry_after_s` says when to come back
├── AnswerError                502   for the client: the server's answer is not the protocol
├── Busy                       503   queue full, draining or not ready; `retry_after_s`
└── DeadlinePassed             504   the request's deadline passed before there was an answer

No message holds values of tensors or pixels of pictures: they end up in logs.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from edge.errors import EdgeError

_LONGEST = 300  # characters of a message that came from the other side


class ServeError(EdgeError):
    """Report that the server failed on a request that may be right."""

    status: ClassVar[int] = 500


class RequestError(ServeError):
    """Refuse a request that is not the protocol or not what the model takes."""

    status = 400
    exit_code = 2


class PictureError(RequestError):
    """Refuse a picture that is broken, or of a kind that is not served."""


class Unauthenticated(RequestError):
    """Refuse a request without a token that is known."""

    status = 401


class Forbidden(RequestError):
    """Refuse a request whose token does not cover the model."""

    status = 403


class UnknownModel(RequestError):
    """Report a model or version that is not served."""

    status = 404


class TooLarge(RequestError):
    """Refuse a body, JSON, picture or tensor above a limit, before it takes memory."""

    status = 413


class UnsupportedEncoding(RequestError):
    """Refuse a compressed body, or a picture of a format that is not served."""

    status = 415


class _Later(ServeError):
    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        self.retry_after_s = retry_after_s  # whole seconds, for the header Retry-After
        super().__init__(message)


class TooManyRequests(_Later):
    """Refuse a token that asked more often than it may."""

    status = 429


class AnswerError(ServeError):
    """Report an answer that is not the protocol, or not what the model returns."""

    status = 502


class Busy(_Later):
    """Refuse what cannot be taken on now: the queue is full, or the server drains or is not ready."""

    status = 503


class DeadlinePassed(ServeError):
    """Report a request whose deadline passed before there was an answer."""

    status = 504


class _ErrorDocument(msgspec.Struct):
    error: str


_BY_STATUS: dict[int, type[ServeError]] = {
    kind.status: kind
    for kind in (
        RequestError,
        Unauthenticated,
        Forbidden,
        UnknownModel,
        TooLarge,
        UnsupportedEncoding,
        TooManyRequests,
        Busy,
        DeadlinePassed,
    )
}


def encode_error(error: ServeError) -> bytes:
    """Return the protocol's error object as JSON."""
    return msgspec.json.encode(_ErrorDocument(str(error)))


def parse_error(status: int, body: bytes | bytearray | memoryview, retry_after: str = "") -> ServeError:
    """Return the error that an answer with a status other than 200 means; never raises.

    `retry_after` is the header's value; a date, or anything else that is no number of seconds, counts as 1.
    """
    kind = _BY_STATUS.get(status, ServeError)
    try:
        said = printable(msgspec.json.decode(body, type=_ErrorDocument).error)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        said = "without a reason"
    message = f"the server answered {status}: {said}"
    if issubclass(kind, _Later):
        seconds = int(retry_after) if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 7 else 1
        return kind(message, seconds)
    return kind(message)


def printable(text: str, longest: int = _LONGEST) -> str:
    """Return text of the other side on one line without control characters, cut to `longest` characters."""
    shown = "".join(character if character.isprintable() else "?" for character in text[: longest + 1])
    return shown if len(text) <= longest else f"{shown[:longest]}…"
