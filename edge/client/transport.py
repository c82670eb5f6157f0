"""One HTTP request over a kept connection: bounded, verified, never redirected, closed at once when it is cancelled."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge.client.background import noting_connections
from edge.client.endpoint import Endpoint
from edge.client.errors import Cut, Unreachable
from edge.errors import MissingError, UsageError
from edge.serve.errors import AnswerError, RequestError, printable
from edge.serve.limits import BodyLimiter, Limits

if TYPE_CHECKING:
    import httpx

_CONNECTIONS = 8
_KEPT = 2
_KEEP_S = 30.0  # servers close idle connections too, and a request may meet that moment


@dataclass(slots=True)
class Wire:
    """What happened on the wire so far, in milliseconds of time.perf_counter; None for what did not."""

    began: float
    connecting: float | None = None
    tcp: float | None = None
    connected: float | None = None
    sending: float | None = None
    sent: float | None = None
    head: float | None = None
    ended: float | None = None

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note an event of httpcore's."""
        now = now_ms()
        match event.partition(".")[2]:
            case "connect_tcp.started":
                self.connecting = now
            case "connect_tcp.complete":
                self.tcp = self.connected = now
            case "start_tls.complete":
                self.connected = now
            case "send_request_headers.started":
                self.sending = now
            case "send_request_body.complete":
                self.sent = now
            case "receive_response_headers.complete":
                self.head = now

    @property
    def fresh(self) -> bool:
        """Whether a connection was made for this request."""
        return self.connecting is not None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, its headers by lower-case name, its body."""

    status: int
    headers: Mapping[str, str]
    body: bytearray = field(repr=False)


class Transport:
    """Connections to one endpoint; for one event loop. Nothing is opened before the first request."""

    def __init__(self, endpoint: Endpoint, limits: Limits | None = None) -> None:
        self._endpoint, self._limits = endpoint, limits or Limits()
        self._client: httpx.AsyncClient | None = None
        _httpx()

    async def get(self, wire: Wire, *, connect_s: float) -> Reply:
        """Ask about the model; raises Unreachable, Cut or AnswerError."""
        return await self._request("GET", "", b"", {}, wire, connect_s)

    async def infer(self, body: bytes, headers: Mapping[str, str], wire: Wire, *, connect_s: float) -> Reply:
        """Send an inference request; raises Unreachable, Cut or AnswerError."""
        return await self._request("POST", "/infer", body, headers, wire, connect_s)

    async def disconnect(self) -> None:
        """Close every connection; a later request opens another."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _request(
        self, method: str, tail: str, body: bytes, headers: Mapping[str, str], wire: Wire, connect_s: float
    ) -> Reply:
        httpx = _httpx()
        client = self._client = self._client or _open(self._endpoint)
        request = client.build_request(
            method,
            self._endpoint.address + tail,
            content=body or None,
            headers={**headers, **self._headers()},
            timeout=httpx.Timeout(None, connect=connect_s),
            extensions={"trace": wire.trace},
        )
        async with _named_errors(self._endpoint, wire):
            answer = await self._sent(client, request, wire)
            try:
                return await self._read(answer)
            finally:
                await answer.aclose()
                wire.ended = now_ms()

    async def _sent(self, client: httpx.AsyncClient, request: httpx.Request, wire: Wire) -> httpx.Response:
        """Send a request; a connection that was made for it, but not used before it was cancelled, is closed."""
        with noting_connections() as opened:
            try:
                return await client.send(request, stream=True)
            except BaseException:
                for connection in opened if wire.sending is None else ():
                    connection.abort()  # type: ignore[attr-defined]  # every connection of a loop has it
                raise

    async def _read(self, answer: httpx.Response) -> Reply:
        """Read an answer as it streams in, and stop as soon as it is above the limit."""
        if answer.is_redirect:
            raise AnswerError(f"the server redirects ({answer.status_code}), which is not followed; give its address")
        found = {name.lower(): value for name, value in answer.headers.items()}
        try:
            limiter = BodyLimiter(
                self._limits.body_bytes,
                content_length=found.get("content-length"),
                content_encoding=found.get("content-encoding"),
            )
            async for chunk in answer.aiter_raw():
                limiter.feed(chunk)
            return Reply(answer.status_code, found, limiter.finish())
        except RequestError as error:
            raise AnswerError(f"the server's answer is not taken: {error}") from None

    def _headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity", "User-Agent": "edge-deployment-kit"}
        if self._endpoint.token:
            headers["Authorization"] = f"Bearer {self._endpoint.token}"
        return headers


def now_ms() -> float:
    """Return a clock's reading for durations."""
    return time.perf_counter() * 1e3


def _httpx() -> Any:
    try:
        import httpx
    except ImportError:
        raise MissingError("httpx is not installed: pip install 'edge-deployment-kit[client]'") from None
    return httpx


def _open(endpoint: Endpoint) -> httpx.AsyncClient:
    import httpx

    return httpx.AsyncClient(
        verify=_verification(endpoint),
        trust_env=endpoint.proxies_from_environment,
        follow_redirects=False,
        limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_KEPT, keepalive_expiry=_KEEP_S),
    )


def _verification(endpoint: Endpoint) -> ssl.SSLContext:
    if not endpoint.url.startswith("https"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # unused; httpx would read every authority's certificate
    try:
        context = ssl.create_default_context(cafile=None if endpoint.ca_file is None else str(endpoint.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{endpoint.ca_file} holds no certificate that can be read: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@asynccontextmanager
async def _named_errors(endpoint: Endpoint, wire: Wire) -> AsyncIterator[None]:
    """Turn httpx's exceptions into the kit's; they hold the server's words, but nothing that was sent."""
    import httpx

    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
        why = printable(str(error)) or type(error).__name__
        raise Unreachable(f"{endpoint.url} cannot be reached: {why}; is the server up and the address right?") from None
    except httpx.LocalProtocolError as error:
        raise UsageError(f"the request to {endpoint.url} cannot be written: {printable(str(error))}") from None
    except httpx.TransportError as error:
        why = printable(str(error)) or type(error).__name__
        if not wire.fresh and wire.head is None:
            raise Unreachable(f"{endpoint.url} had closed the connection: {why}") from None
        raise Cut(f"the connection to {endpoint.url} ended before the answer did: {why}") from None
