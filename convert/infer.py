"""One picture through one artifact: prepare, run, decode, draw."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

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
from edge.tasks.tokenizer import Codes, Picture, psnr, seen

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
    drawn = draw_pose(image, pose) if pose else task.draw(image, result)
    found, comparison = result.to_json(), None
    if payload.get("decoder"):
        decoder = read_manifest(Path(payload["decoder"]))
        drawn = reconstruct(result, decoder)
        comparison = {"decoder": decoder.manifest.model} | compare_pictures(drawn, seen(image, frame))
    if payload["output"]:
        write_image(Path(payload["output"]), drawn)
    return {
        "model": manifest.model,
        "target": manifest.target,
        "mode": session.mode,
        "milliseconds": milliseconds,
        "result": found,
        "summary": _summary(found),
        "reconstruction": comparison,
    }


def reconstruct(result: Any, artifact: Artifact) -> Image:
    """Return the picture (H, W, 3) that a decoder's artifact makes of a tokenizer's codes.

    Raises UsageError if the result holds no codes, the artifact decodes none, or they are not of one tokenizer.
    """
    contract = artifact.manifest.contract
    if not isinstance(result, Codes) or contract.task != "detokenization":
        raise UsageError(
            f"--decoder wants the artifact of a detokenization beside that of a tokenization; {artifact.root} is of "
            f"{contract.task!r}"
        )
    spec = contract.inputs[0]
    codes = contract.postprocess.settings.get("codes") if contract.postprocess else None
    if spec.shape != (1, len(result.ids)) or codes != 1 << result.bits:
        raise UsageError(
            f"{artifact.root} takes {list(spec.shape)} ids of {codes} codes, the picture became {len(result.ids)} of "
            f"{1 << result.bits}; give the decoder of the same tokenizer"
        )
    outputs = open_session(artifact).run({spec.name: result.ids.astype(spec.dtype)[None]})
    size = contract.outputs[0].size_hw
    decoded: Picture = TASKS[contract.task].decode(outputs, contract, Frame(size, size, np.eye(2, 3)))  # type: ignore[assignment]
    return decoded.pixels


def compare_pictures(picture: Image, original: Image) -> dict[str, Any]:
    """Return a decoded picture's size and PSNR in dB against what was encoded; None for equal ones, or two sizes."""
    ratio = psnr(picture, original) if picture.shape == original.shape else math.nan
    return {"size": list(picture.shape[:2]), "psnr_db": round(ratio, 2) if math.isfinite(ratio) else None}


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
