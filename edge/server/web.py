"""A model's HTTP: Open Inference Protocol v2 as an ASGI application, relative to /v2/models/NAME."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.serve.errors import DeadlinePassed, RequestError, ServeError, UnknownModel, encode_error
from edge.serve.metadata import Document, ModelReady, encode_document
from edge.server.service import Account, ClientGone, ModelService

GONE = 499  # the client closed the connection; never sent, only counted
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_CLOSE = {"Connection": "close"}  # of a refusal: what is left of the request's body is no next request
_REST_BYTES, _REST_S = 16 << 20, 5.0  # of a refused body, that are read and thrown away


@dataclass(frozen=True, slots=True)
class Event:
    """One answered request, for logs and metrics."""

    model: str
    version: str
    path: str  # infer, metadata, ready
    status: int
    seconds: float
    reason: str  # of a refusal
    account: Account


Observe = Callable[[Event], None]


def model_app(service: ModelService, observe: Observe) -> ASGIApp:
    """Return the application that serves one version of a model; it also answers for `/versions/ITS VERSION`."""

    async def infer(request: Request) -> Response:
        body = _Body(request.receive)
        whole = Request(request.scope, body)
        found = await _observed(whole, "infer", lambda account: _infer(service, whole, account), service, observe)
        if found.status_code not in (GONE, DeadlinePassed.status):  # a body that is late is not waited for
            await _discard(body, whole)
        return found

    async def metadata(request: Request) -> Response:
        return await _observed(request, "metadata", lambda account: _metadata(service, request), service, observe)

    async def ready(request: Request) -> Response:
        return await _observed(request, "ready", lambda account: _ready(service, request), service, observe)

    routes = []
    for prefix in ("", "/versions/{version}"):
        routes += only(f"{prefix}/infer", "POST", infer)
        routes += only(f"{prefix}/ready", "GET", ready)
        routes += only(prefix or "/", "GET", metadata)
    return _rooted(Router(routes, redirect_slashes=False, default=not_found))


def only(path: str, method: str, endpoint: Callable[[Request], Awaitable[Response]]) -> list[Route]:
    """Return the routes of an address that takes one method and refuses the others as the protocol does."""

    async def refuse(request: Request) -> Response:
        answer = refusal(_WrongMethod(f"{request.method} is not what this address takes; ask with {method}"))
        answer.headers["Allow"] = method
        return answer

    return [Route(path, endpoint, methods=[method]), Route(path, refuse, methods=_METHODS)]


class _WrongMethod(RequestError):
    status = 405


def _rooted(app: ASGIApp) -> ASGIApp:
    """Give the address of the model itself, which has nothing after it, the path that routes are written with."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == scope.get("root_path", ""):
            scope = {**scope, "path": f"{scope['path']}/"}
        await app(scope, receive, send)

    return call


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 404 as the protocol does."""
    error = UnknownModel("there is no such address; models are at /v2/models/NAME, inference at …/infer")
    await refusal(error)(scope, receive, send)


def refusal(error: ServeError) -> Response:
    """Return the answer that an error is."""
    headers = dict(_CLOSE)
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(encode_error(error), error.status, headers, "application/json")


def document(found: Document, status: int = 200) -> Response:
    """Return a document of the protocol as an answer."""
    return Response(encode_document(found), status, media_type="application/json")


async def _observed(
    request: Request,
    path: str,
    answer: Callable[[Account], Awaitable[Response]],
    service: ModelService,
    observe: Observe,
) -> Response:
    begin_s, account, reason = time.monotonic(), Account(), ""
    try:
        account.who = service.admit(request.headers.get("authorization"), request.path_params.get("version"))
        response = await answer(account)
    except ServeError as error:
        reason, response = str(error), refusal(error)
    except (ClientDisconnect, ClientGone):
        reason, response = "the client closed the connection", Response(status_code=GONE)
    except Exception as error:  # a fault of ours: its words may quote the request, so only its type is told
        reason = f"the server failed with {type(error).__name__}"
        response = refusal(ServeError(reason))
    meta = service.served.metadata
    seconds = time.monotonic() - begin_s
    event = Event(meta.name, service.served.config.version, path, response.status_code, seconds, reason, account)
    asyncio.get_running_loop().call_soon(observe, event)  # the answer is written first: nobody waits for a log
    return response


class _Body:
    """What a request's body is received with; `ended` says whether all of it was."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self.ended = receive, False

    async def __call__(self) -> Message:
        message = await self._receive()
        self.ended = self.ended or not message.get("more_body", False)
        return message


async def _discard(body: _Body, request: Request) -> None:
    """Read what is left of a refused body, within bounds: a client that still sends would lose the answer."""
    announced = request.headers.get("content-length", "0")
    if "expect" in request.headers or not announced.isdigit() or int(announced[:15]) > _REST_BYTES:
        return
    left = _REST_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REST_S):
            while not body.ended and left > 0:
                left -= len((await body()).get("body", b""))


async def _infer(service: ModelService, request: Request, account: Account) -> Response:
    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    message = await service.infer(request.headers, request.stream(), left, account)
    return Response(message.body, 200, message.headers)


async def _metadata(service: ModelService, request: Request) -> Response:
    return document(service.served.metadata)


async def _ready(service: ModelService, request: Request) -> Response:
    return document(ModelReady(service.served.metadata.name, True))
