"""One picture through one artifact: prepare, run, decode, draw."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convert.keypoints import shown_keypoints, takes_keypoints
from convert.reference import Arrays
from edge.artifact import Artifact, Manifest, read_manifest
from edge.contract import Contract
from edge.errors import InputError, UsageError
from edge.images import read_image, write_image
from edge.profile.inputs import write_tensors
from edge.runtimes import open_session
from edge.tasks import TASKS, Frame, Image, Region
from edge.tasks._skeleton import draw_pose
from edge.tasks.pose import Pose

_SUMMARY_CHARACTERS = 400


def run_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Run an artifact on one picture; the child-process side of `edge run`."""
    artifact = read_manifest(Path(payload["artifact"]))
    manifest = artifact.manifest
    image = read_image(Path(payload["image"]))
    task, contract = TASKS[manifest.task], manifest.contract
    inputs, frame, pose = _shown(artifact, image)
    session = open_session(artifact)
    start = time.perf_counter()
    outputs = session.run(inputs)
    milliseconds = (time.perf_counter() - start) * 1e3
    result = task.decode(outputs, contract, frame)
    if payload["output"]:
        write_image(Path(payload["output"]), draw_pose(image, pose) if pose else task.draw(image, result))
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
    inputs, _, _ = _shown(artifact, image)
    return {"files": [str(path) for path in write_tensors(artifact, inputs, Path(payload["folder"]))]}


def manifest_contract(manifest: Manifest) -> Contract:
    """Return the contract of an artifact that takes pictures, in its own layouts; raises UsageError for others."""
    if manifest.preprocess is None:
        raise UsageError(
            f"{manifest.model} does not say how a picture becomes its input; "
            "deploy it with a --contract that has preprocess"
        )
    return manifest.contract


def _shown(artifact: Artifact, image: Image) -> tuple[Arrays, Frame, Pose | None]:
    """Return the inputs that a picture becomes, and the pose whose keypoints they are; raises InputError for nobody."""
    if takes_keypoints(artifact.manifest.contract):
        shown = shown_keypoints(image, artifact.manifest.contract)
        if shown is None:
            raise InputError(
                f"nobody was found in the picture, and {artifact.manifest.model} embeds a person's keypoints"
            )
        return shown
    task = TASKS[artifact.manifest.task]
    region = _region(artifact, image) if task.needs_region else None
    inputs, frame = task.prepare(image, manifest_contract(artifact.manifest), region)
    return inputs, frame, None


def _region(artifact: Artifact, image: Image) -> Region | None:
    """Find the person with the eager detector of the zoo (the artifact holds the landmark model only)."""
    from convert.prepare import find_region

    return find_region(artifact.manifest.model, image)


def _summary(found: Mapping[str, Any]) -> str:
    text = json.dumps(found)
    return text if len(text) <= _SUMMARY_CHARACTERS else text[:_SUMMARY_CHARACTERS] + " … (--json prints all)"
