"""What one message may cost, and the body that is refused while it streams in."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from edge.errors import UsageError
from edge.images import MAX_PIXELS
from edge.serve.errors import RequestError, TooLarge, UnsupportedEncoding

_LENGTH = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound what one message may take; everything is checked before memory is taken for it."""

    body_bytes: int = 8 << 20
    json_bytes: int = 64 << 10  # tensors written as JSON count too: larger ones travel as binary data
    tensors: int = 16  # inputs, or outputs, of one message
    axes: int = 8  # of one tensor
    rows: int = 64  # of the first axis, where the model leaves it open; pictures in one request
    elements: int = 4096  # of one BYTES tensor
    pixels: int = MAX_PIXELS  # of all pictures of one request together

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise UsageError(f"limit {field.name} is {getattr(self, field.name)}; it has to be at least 1")


def parse_length(text: str, header: str) -> int:
    """Return a header's number of bytes; raises RequestError for anything but plain digits."""
    if not _LENGTH.fullmatch(text):
        raise RequestError(f"header {header} is {text[:40]!r}; it has to be a number of bytes")
    return int(text)


class BodyLimiter:
    """Collect a body chunk by chunk and refuse it as soon as it is, or announces to be, above the limit.

    `content_length` and `content_encoding` are the headers' values, None where they are absent. Memory grows with what
    has arrived, never with what was announced.
    """

    def __init__(
        self, limit_bytes: int, *, content_length: str | None = None, content_encoding: str | None = None
    ) -> None:
        self._limit_bytes, self._body = limit_bytes, bytearray()
        self._announced_bytes: int | None = None
        if content_encoding is not None and content_encoding.strip().lower() not in ("", "identity"):
            raise UnsupportedEncoding(
                f"a body with Content-Encoding {content_encoding[:40]!r} is refused; send it uncompressed"
            )
        if content_length is not None:
            self._announced_bytes = parse_length(content_length, "Content-Length")
            self._check(self._announced_bytes)

    def feed(self, chunk: bytes | bytearray | memoryview) -> None:
        """Add a chunk; raises TooLarge above the limit and RequestError above what was announced."""
        size_bytes = len(self._body) + memoryview(chunk).nbytes
        self._check(size_bytes)
        if self._announced_bytes is not None and size_bytes > self._announced_bytes:
            raise RequestError(f"the body is longer than the {self._announced_bytes} bytes of its Content-Length")
        self._body += chunk

    def finish(self) -> bytearray:
        """Return the body; raises RequestError where less arrived than was announced."""
        if self._announced_bytes is not None and len(self._body) != self._announced_bytes:
            raise RequestError(f"the body ended after {len(self._body)} of {self._announced_bytes} bytes")
        return self._body

    def _check(self, size_bytes: int) -> None:
        if size_bytes > self._limit_bytes:
            self._body = bytearray()
            raise TooLarge(f"the body is above the limit of {self._limit_bytes} bytes; send a smaller picture")
