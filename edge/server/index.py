"""The server's own addresses: /v2, /v2/health/live, /v2/health/ready and /metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router

from edge.serve.errors import ServeError
from edge.serve.metadata import Live, Ready, ServerMetadata
from edge.server.config import METRICS
from edge.server.gate import Admit
from edge.server.metrics import read_metrics
from edge.server.web import document, not_found, only, refusal
from edge.versions import installed_version


def index_app(is_ready: Callable[[], Awaitable[bool]], admit: Admit) -> Router:
    """Return the application; health and metadata are open to everyone, metrics need a token for `metrics`."""

    async def server(request: Request) -> Response:
        return document(ServerMetadata(version=installed_version("edge-deployment-kit")))

    async def live(request: Request) -> Response:
        return document(Live(True))

    async def ready(request: Request) -> Response:
        found = await is_ready()
        return document(Ready(found), 200 if found else 503)

    async def metrics(request: Request) -> Response:
        try:
            admit(request.headers.get("authorization"), METRICS)
            return Response(await read_metrics(), media_type="text/plain; version=0.0.4")
        except ServeError as error:
            return refusal(error)

    routes = [
        *only("/v2", "GET", server),
        *only("/v2/health/live", "GET", live),
        *only("/v2/health/ready", "GET", ready),
        *only("/metrics", "GET", metrics),
    ]
    return Router(routes, redirect_slashes=False, default=not_found)
