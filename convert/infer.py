"""One picture through one artifact: prepare, run, decode, draw."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.artifact import Artifact, Manifest, read_manifest
from edge.contract import Contract
from edge.errors import UsageError
from edge.images import read_image, write_image
from edge.profile.inputs import write_tensors
from edge.runtimes import open_session
from edge.tasks import TASKS, Image, Region

_SUMMARY_CHARACTERS = 400


def run_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Run an artifact on one picture; the child-process side of `edge run`."""
    artifact = read_manifest(Path(payload["artifact"]))
    manifest = artifact.manifest
    image = read_image(Path(payload["image"]))
    contract = manifest_contract(manifest)
    task = TASKS[manifest.task]
    inputs, frame = task.prepare(image, contract, _region(artifact, image) if task.needs_region else None)
    session = open_session(artifact)
    start = time.perf_counter()
    outputs = session.run(inputs)
    milliseconds = (time.perf_counter() - start) * 1e3
    result = task.decode(outputs, contract, frame)
    if payload["output"]:
        write_image(Path(payload["output"]), task.draw(image, result))
    found = result.to_json()
    return {
        "model": manifest.model,
        "target": manifest.target,
        "mode": session.mode,
        "milliseconds": milliseconds,
        "result": found,
        "summary": _summary(found),
    }


def inputs_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Write a picture as the raw tensors that an artifact takes; the child-process side of `edge profile --data`."""
    artifact = read_manifest(Path(payload["artifact"]))
    image = read_image(Path(payload["image"]))
    task = TASKS[artifact.manifest.task]
    region = _region(artifact, image) if task.needs_region else None
    inputs, _ = task.prepare(image, manifest_contract(artifact.manifest), region)
    return {"files": [str(path) for path in write_tensors(artifact, inputs, Path(payload["folder"]))]}


def manifest_contract(manifest: Manifest) -> Contract:
    """Return the contract of an artifact that takes pictures, in its own layouts; raises UsageError for others."""
    if manifest.preprocess is None:
        raise UsageError(
            f"{manifest.model} does not say how a picture becomes its input; "
            "deploy it with a --contract that has preprocess"
        )
    return manifest.contract


def _region(artifact: Artifact, image: Image) -> Region | None:
    """Find the person with the eager detector of the zoo (the artifact holds the landmark model only)."""
    from convert.prepare import find_region

    return find_region(artifact.manifest.model, image)


def _summary(found: Mapping[str, Any]) -> str:
    text = json.dumps(found)
    return text if len(text) <= _SUMMARY_CHARACTERS else text[:_SUMMARY_CHARACTERS] + " … (--json prints all)"
