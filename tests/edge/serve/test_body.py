"""Bodies that stream in: refused as soon as they pass the limit, or announce to."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import UsageError
from edge.serve.errors import RequestError, TooLarge, UnsupportedEncoding
from edge.serve.limits import BodyLimiter, Limits


@given(st.lists(st.binary(max_size=20)), st.integers(1, 100), st.booleans())
def test_what_fits_arrives_whole_and_nothing_more(chunks: list[bytes], limit: int, announced: bool) -> None:
    whole = b"".join(chunks)
    try:
        body = BodyLimiter(limit, content_length=str(len(whole)) if announced else None)
        for chunk in chunks:
            body.feed(chunk)
        assert body.finish() == whole
        assert len(whole) <= limit
    except TooLarge as error:
        assert error.status == 413
        assert len(whole) > limit


def test_refused_at_the_first_chunk_too_many() -> None:
    body = BodyLimiter(10)
    body.feed(b"12345")
    body.feed(memoryview(b"67890"))
    with pytest.raises(TooLarge, match="limit of 10 bytes"):
        body.feed(b"1")


def test_an_announced_length_above_the_limit_is_refused_at_once() -> None:
    with pytest.raises(TooLarge):
        BodyLimiter(10, content_length="11")


def test_an_announced_length_takes_no_memory() -> None:
    tracemalloc.start()
    BodyLimiter(1 << 40, content_length=str(1 << 39)).feed(b"x")
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


@pytest.mark.parametrize("text", ["-1", "1, 1", "٣", "1.0", ""])
def test_lengths_that_are_no_numbers(text: str) -> None:
    with pytest.raises(RequestError, match="Content-Length"):
        BodyLimiter(10, content_length=text)


def test_more_or_less_than_announced() -> None:
    body = BodyLimiter(10, content_length="3")
    body.feed(b"ab")
    with pytest.raises(RequestError, match="ended after 2 of 3 bytes"):
        body.finish()
    with pytest.raises(RequestError, match="longer than the 3 bytes"):
        body.feed(b"cd")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip"])
def test_compressed_bodies_are_refused(coding: str) -> None:
    with pytest.raises(UnsupportedEncoding, match="send it uncompressed") as caught:
        BodyLimiter(10, content_encoding=coding)
    assert caught.value.status == 415
    BodyLimiter(10, content_encoding="Identity")


def test_limits_are_positive() -> None:
    with pytest.raises(UsageError, match="json_bytes is 0"):
        Limits(json_bytes=0)
