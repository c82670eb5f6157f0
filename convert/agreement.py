"""Do the device and a server answer the same? One artifact and one endpoint on the same inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from convert.verify import compare_arrays, limits_for, within_limits
from edge.artifact import Artifact, Manifest, OutputParity, TaskParity, read_manifest
from edge.client.answers import SideAnswer
from edge.client.endpoint import Endpoint
from edge.client.errors import Unreachable
from edge.client.policy import Policy
from edge.client.remote import Remote, Trip
from edge.client.transport import Wire, now_ms
from edge.client.work import Work
from edge.contract import Contract, image_contract, takes_image
from edge.errors import EdgeError, MissingError, UsageError
from edge.images import read_image
from edge.runtimes import open_session
from edge.serve.errors import DeadlinePassed, RequestError, ServeError
from edge.tasks import TASKS, Region
from edge.zoo import MODELS, Limits

RANDOM_SAMPLES = 2
TIMEOUT_MS = 60_000.0  # of one answer: a server may load its model first
CONNECT_MS = 5_000.0


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """Compare a server's answers with the device's; the JSON of `edge verify --server`."""

    artifact: str
    server: str
    model: str
    version: str
    device_sha256: str  # of the weights
    server_sha256: str  # empty where the server does not tell
    passed: bool
    inputs: str  # "real" or "random", and how many
    sent_as: str  # tensors or png
    outputs: tuple[OutputParity, ...]
    task: TaskParity | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Pair:
    """One input and both answers to it."""

    work: Work
    device: Mapping[str, NDArray[Any]]
    server: SideAnswer


def agree_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Compare an artifact with a server; the child-process side of `edge verify --server`."""
    artifact = read_manifest(Path(payload["artifact"]))
    endpoint = Endpoint(
        payload["server"],
        payload["model"],
        token=read_token(Path(payload["token_file"])) if payload["token_file"] else "",
        ca_file=Path(payload["ca_file"]) if payload["ca_file"] else None,
    )
    pictures = [Path(path) for path in payload["pictures"]]
    try:
        found = agree(artifact, endpoint, pictures, as_pictures=payload["as_pictures"])
    except Unreachable as error:  # the parent knows the classes of edge.errors
        raise MissingError(str(error)) from None
    except RequestError as error:
        raise UsageError(str(error)) from None
    except ServeError as error:
        raise EdgeError(str(error)) from None
    result: dict[str, Any] = msgspec.to_builtins(found)
    return result


def agree(artifact: Artifact, endpoint: Endpoint, pictures: Sequence[Path], *, as_pictures: bool = False) -> Agreement:
    """Run an artifact and ask a server for the same inputs; the limits are those of the artifact's precision.

    `as_pictures` sends lossless PNG, so that the server's preprocessing is compared too. Raises MissingError for a
    server that cannot be reached or does not answer in time, ServeError for one that refuses, ContractError for a model
    that does not fit.
    """
    contract = artifact.manifest.contract
    if takes_image(contract):
        contract = image_contract(contract)
    works = make_works(contract, artifact.manifest, pictures)
    as_pictures = as_pictures and works[0].image is not None
    session = open_session(artifact)
    device = [session.run(work.inputs(contract)[0]) for work in works]
    policy = Policy(upload="png" if as_pictures else "tensors")
    server = asyncio.run(_ask(endpoint, contract, policy, works))
    pairs = [_Pair(*found) for found in zip(works, device, server, strict=True)]
    return _judge(artifact, endpoint, contract, pairs, sent_as=policy.upload)


def make_works(contract: Contract, manifest: Manifest, pictures: Sequence[Path]) -> list[Work]:
    """Return the pictures that parity is measured on, or seeded random inputs for a model that takes none.

    As for parity, precisions below fp32 are judged on pictures that show what the model is made for, if any does.
    """
    if not pictures or not takes_image(contract):
        return [Work(_random(contract, seed)) for seed in range(RANDOM_SAMPLES)]
    images = [read_image(path) for path in pictures]
    regions = [_person(contract, manifest, image) for image in images]
    needs = TASKS[contract.task].needs_region
    works = [Work(image, region if needs else None) for image, region in zip(images, regions, strict=True)]
    meaningful = [work for work, region in zip(works, regions, strict=True) if region is not None]
    return meaningful if meaningful and manifest.precision != "fp32" else works


def read_token(path: Path) -> str:
    """Return the token in a file; raises MissingError if it cannot be read."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise MissingError(f"cannot read the token file {path}: {error}") from None


def _person(contract: Contract, manifest: Manifest, image: NDArray[np.uint8]) -> Region | None:
    """Return where the person is that the model needs, found by the zoo's eager detector; None if it needs none."""
    person = manifest.model in MODELS and MODELS[manifest.model].subject == "person"
    if not person and not TASKS[contract.task].needs_region:
        return None
    from convert.prepare import find_region  # imports torch

    return find_region(manifest.model, image)


def _random(contract: Contract, seed: int) -> dict[str, NDArray[Any]]:
    """Return seeded inputs: floats and small integers in [0, 1]."""
    generator = np.random.default_rng(seed)
    return {spec.name: generator.random(spec.shape).round(6).astype(spec.dtype) for spec in contract.inputs}


async def _ask(endpoint: Endpoint, contract: Contract, policy: Policy, works: Sequence[Work]) -> list[SideAnswer]:
    with ThreadPoolExecutor(1) as coder:
        remote = Remote(endpoint, contract, policy, now_ms, coder)
        try:
            return [await _one(remote, work) for work in works]
        finally:
            await remote.disconnect()


async def _one(remote: Remote, work: Work) -> SideAnswer:
    trip = Trip(Wire(now_ms()))
    try:
        async with asyncio.timeout(TIMEOUT_MS / 1e3):
            return await remote.infer(work, trip, limit_ms=TIMEOUT_MS, connect_ms=CONNECT_MS, cap_bytes=None)
    except (TimeoutError, DeadlinePassed):
        raise Unreachable(
            f"{remote.endpoint.url} did not answer within {TIMEOUT_MS / 1e3:.0f} s; is it ready?"
        ) from None


def _judge(
    artifact: Artifact, endpoint: Endpoint, contract: Contract, pairs: Sequence[_Pair], *, sent_as: str
) -> Agreement:
    manifest = artifact.manifest
    limits = limits_for(manifest.model, manifest.precision)
    outputs = tuple(_compare(spec.name, pairs, limits) for spec in contract.outputs)
    task = _task(contract, pairs, limits)
    reasons = [
        f"output {output.name}: max abs {output.max_abs:.3g} is over {output.limit:g} × its scale {output.scale:.3g}"
        for output in outputs
        if not within_limits(output)
    ]
    if task is not None and task.value < task.limit:
        reasons.append(f"{task.metric} {task.value:.4f} is under {task.limit:g}")
    last = pairs[-1].server
    if reasons and last.model_sha256 not in ("", manifest.source.sha256):
        reasons.append("the server's model has other weights")
    real = sum(pair.work.image is not None for pair in pairs)
    return Agreement(
        artifact=str(artifact.root),
        server=endpoint.url,
        model=last.model,
        version=last.model_version,
        device_sha256=manifest.source.sha256,
        server_sha256=last.model_sha256,
        passed=not reasons,
        inputs=f"real: {real}" if real else f"random: {len(pairs)}",
        sent_as=sent_as,
        outputs=outputs,
        task=task,
        reason="; ".join(reasons),
    )


def _compare(name: str, pairs: Sequence[_Pair], limits: Limits) -> OutputParity:
    got = np.stack([pair.server.outputs[name] for pair in pairs]).astype(np.float64)
    want = np.stack([pair.device[name] for pair in pairs]).astype(np.float64)
    return compare_arrays(name, got, want, limits)


def _task(contract: Contract, pairs: Sequence[_Pair], limits: Limits) -> TaskParity | None:
    """Return the task's metric over the pictures on which the device finds something, None without any."""
    task = TASKS[contract.task]
    found = []
    for pair in pairs:
        expected = pair.work.decode(pair.device, contract)
        if task.metric and expected is not None and not getattr(expected, "empty", False):
            found.append((pair.server.result, expected))
    if not found:
        return None
    return TaskParity(metric=task.metric, value=task.compare_all(found), limit=limits.task.get(task.metric, task.limit))
