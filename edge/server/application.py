"""The Ray Serve applications: one a model's version, and the index of them all.

`edge serve` runs them here; a KubeRay manifest names their builders, `model_application` and `index_application`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from ray import serve
from ray.serve import Application
from starlette.types import ASGIApp

from edge.serve.limits import Limits
from edge.server.config import ModelConfig
from edge.server.engine import open_engine, versioned
from edge.server.gate import Gate, open_gate
from edge.server.index import index_app
from edge.server.logs import observer
from edge.server.queue import BatchQueue
from edge.server.service import ModelService, Served
from edge.server.web import model_app

HEALTH_CHECK_S = 5.0
LOOK_EVERY_S = 5.0
ARRIVING = 1000  # requests of a replica whose bodies have not arrived yet; Ray lets more wait
LOGGING = {"encoding": "JSON", "enable_access_log": False, "log_level": "INFO"}  # our line a request is enough
DRAIN_S = 30.0  # that a replica waits for its requests when it is taken away


class ReplicaSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model's replicas are told; plain values, so that a manifest can hold it."""

    model: ModelConfig
    versions: tuple[str, ...] = ("1",)  # of the same name, all that are served
    tokens: str = ""  # file; empty: everyone may ask
    limits: Limits = Limits()


@serve.deployment
@serve.ingress()
class Replica:
    """One process with the model in memory."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        told = msgspec.convert(settings, ReplicaSettings)
        model = told.model
        self._engine = open_engine(model)
        self._queue = BatchQueue(self._engine, model.max_batch, model.batch_wait_ms / 1e3, time.monotonic)
        served = Served(
            self._engine.contract, versioned(self._engine.metadata, told.versions), self._engine.weights, model
        )
        gate = open_gate(told.tokens)
        self.service = ModelService(served, self._queue.run, gate.admit, told.limits)
        self._sharing = asyncio.get_running_loop().create_task(_share(gate, model))

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return model_app(self.service, observer())


async def _share(gate: Gate, model: ModelConfig) -> None:
    """Keep the gate's part of every limit up to date with the number of replicas."""
    gate.share(model.min_replicas)
    while model.min_replicas != model.max_replicas:
        await asyncio.sleep(LOOK_EVERY_S)
        with contextlib.suppress(Exception):  # the controller is away: the number stays
            found = await asyncio.get_running_loop().run_in_executor(None, serve.status)
            (deployment,) = found.applications[model.application].deployments.values()
            gate.share(deployment.replica_states.get("RUNNING", 1))


def model_application(settings: Mapping[str, Any]) -> Application:
    """Return the application of one model's version; `settings` are those of ReplicaSettings."""
    model = msgspec.convert(settings, ReplicaSettings).model
    scaling: dict[str, Any] = {
        "min_replicas": model.min_replicas,
        "max_replicas": model.max_replicas,
        "target_ongoing_requests": model.target_requests,
    }
    fixed = model.min_replicas == model.max_replicas
    replicas = {"num_replicas": model.max_replicas} if fixed else {"autoscaling_config": scaling}
    return Replica.options(  # type: ignore[attr-defined]  # the decorator makes it a deployment
        name=model.application,
        max_ongoing_requests=model.max_queued + ARRIVING,  # the replica's own limit says when to come back
        health_check_period_s=HEALTH_CHECK_S,
        graceful_shutdown_timeout_s=DRAIN_S,
        logging_config=LOGGING,
        ray_actor_options={"num_cpus": model.cpus, "num_gpus": model.gpus},
        **replicas,
    ).bind(dict(settings))


class IndexSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the index is told: the applications that have to run for the server to be ready."""

    applications: tuple[str, ...]
    tokens: str = ""


@serve.deployment(
    name="index", ray_actor_options={"num_cpus": 0}, health_check_period_s=HEALTH_CHECK_S, logging_config=LOGGING
)
@serve.ingress()
class Index:
    """Health, readiness and metadata of the server."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._told = msgspec.convert(settings, IndexSettings)
        self._checked_s, self._ready = 0.0, False

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return index_app(self._is_ready, open_gate(self._told.tokens).admit)

    async def _is_ready(self) -> bool:
        """Say whether every model runs, as of at most a second ago."""
        if time.monotonic() - self._checked_s > 1.0:
            self._checked_s = time.monotonic()
            self._ready = await asyncio.get_running_loop().run_in_executor(None, self._all_run)
        return self._ready

    def _all_run(self) -> bool:
        found = serve.status().applications
        return all(name in found and found[name].status == "RUNNING" for name in self._told.applications)


def index_application(settings: Mapping[str, Any]) -> Application:
    """Return the index's application; `settings` are those of IndexSettings."""
    return Index.bind(dict(settings))  # type: ignore[attr-defined]
