"""One JSON line for every answered request, and Prometheus metrics; neither holds tensors, pictures or tokens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from edge.server.gate import LOGGER
from edge.server.web import Event, Observe

_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0]
_ROWS = [1, 2, 4, 8, 16, 32, 64]


def observer() -> Observe:
    """Return what logs and counts events in a replica."""
    count = _metrics()

    def observe(event: Event) -> None:
        count(event)
        if event.path == "infer" or event.status >= 400:
            level = logging.WARNING if event.status >= 500 else logging.INFO
            logging.getLogger(LOGGER).log(level, "request", extra=fields(event))

    return observe


def fields(event: Event) -> dict[str, Any]:
    """Return an event as the fields of a log line; times in milliseconds."""
    account = event.account
    return {
        "model": event.model,
        "version": event.version,
        "path": event.path,
        "status": event.status,
        "reason": event.reason,
        "client": account.who,
        "ms": round(event.seconds * 1e3, 3),
        "prepare_ms": round(account.prepare_s * 1e3, 3),
        "queue_ms": round(account.queue_s * 1e3, 3),
        "inference_ms": round(account.infer_s * 1e3, 3),
        "rows": account.rows,
        "batch_rows": account.batch_rows,
        "body_bytes": account.body_bytes,
    }


def _metrics() -> Callable[[Event], None]:
    from ray.util.metrics import Counter, Histogram

    keys = ("model", "version")
    requests = Counter("edge_requests_total", "Answered requests, by HTTP status.", (*keys, "path", "status"))
    seconds = Histogram("edge_request_seconds", "From a request's first byte to its answer.", _SECONDS, keys)
    queue = Histogram("edge_queue_seconds", "Wait for a place in a batch.", _SECONDS, keys)
    infer = Histogram("edge_infer_seconds", "Run of the batch.", _SECONDS, keys)
    rows = Histogram("edge_batch_rows", "Rows of the batch that a request ran in.", _ROWS, keys)
    size = Counter("edge_request_bytes_total", "Bytes of requests' bodies.", keys)

    def count(event: Event) -> None:
        tags, account = {"model": event.model, "version": event.version}, event.account
        requests.inc(1, {**tags, "path": event.path, "status": str(event.status)})
        if account.body_bytes:
            size.inc(account.body_bytes, tags)
        if event.path == "infer" and event.status == 200:
            seconds.observe(max(event.seconds, 1e-9), tags)
            queue.observe(max(account.queue_s, 1e-9), tags)
            infer.observe(max(account.infer_s, 1e-9), tags)
            rows.observe(account.batch_rows, tags)

    return count
