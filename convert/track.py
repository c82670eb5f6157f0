"""A video through one artifact: every frame prepared, run, decoded, followed over time, drawn and written."""

from __future__ import annotations

import contextlib
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.infer import manifest_contract
from edge.artifact import Artifact, read_manifest, write_atomic
from edge.contract import Contract
from edge.errors import UsageError
from edge.jobs import progressing
from edge.runtimes import Session, open_session
from edge.tasks import TASKS, Image, Prediction, Region
from edge.tasks.keypoints import People, follows_person
from edge.tasks.pose import Pose, find_person
from edge.tasks.segmentation import decoder_of
from edge.tasks.tracking import MaskSmoother, PersonTracker, PoseTracker, keypoint_smoother, pose_smoother
from edge.video import Video, VideoFrame, frame_writer, open_video

FOLLOWED = ("pose-landmarks", "keypoints", "segmentation")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a frame shows, and what its line says beside the result."""

    result: Prediction
    about: Mapping[str, Any]


Look = Callable[[VideoFrame], Seen]


def track_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Run an artifact over a video; the child-process side of `edge track`."""
    artifact = read_manifest(Path(payload["artifact"]))
    detector = read_manifest(Path(payload["detector"])) if payload["detector"] else None
    video = open_video(Path(payload["video"]), payload["fps"])
    session = open_session(artifact)
    look = looker(artifact, session, detector, smooth=payload["smooth"])
    return _follow(artifact, session, video, look, payload)


def looker(artifact: Artifact, session: Session, detector: Artifact | None, *, smooth: bool) -> Look:
    """Return what looks at one frame after the other; raises UsageError for a task that is not followed."""
    contract = manifest_contract(artifact.manifest)
    if contract.task == "pose-landmarks":
        return _pose_looker(contract, session, _finder(artifact, detector), smooth=smooth)
    if contract.task == "keypoints":
        return _people_looker(contract, session, smooth=smooth)
    if contract.task == "segmentation":
        return _mask_looker(contract, session, smooth=smooth)
    raise UsageError(
        f"{artifact.manifest.model} is for {contract.task}; a video is followed with models for one of "
        + ", ".join(FOLLOWED)
    )


def _finder(artifact: Artifact, detector: Artifact | None) -> Callable[[Image], Region | None]:
    """Return the detector artifact's search for a person, or that of the zoo's eager detector."""
    if detector is None:
        from convert.prepare import find_region

        return lambda image: find_region(artifact.manifest.model, image)
    if detector.manifest.task != "pose-detection":
        raise UsageError(f"--detector {detector.root} is for {detector.manifest.task}; give one for pose-detection")
    contract, session = manifest_contract(detector.manifest), open_session(detector)
    return lambda image: find_person(image, session.run, contract)


def _pose_looker(contract: Contract, session: Session, find: Callable[[Image], Region | None], *, smooth: bool) -> Look:
    task = TASKS[contract.task]

    def place(image: Image, region: Region) -> Pose:
        inputs, frame = task.prepare(image, contract, region)
        pose = task.decode(session.run(inputs), contract, frame)
        assert isinstance(pose, Pose)
        return pose

    tracker = PoseTracker(find, place, pose_smoother() if smooth else None)

    def look(frame: VideoFrame) -> Seen:
        seen = tracker.look(frame.image, frame.time_ns)
        return Seen(seen.pose, {"detector_ran": seen.detected})

    return look


def _people_looker(contract: Contract, session: Session, *, smooth: bool) -> Look:
    task = TASKS[contract.task]

    def place(image: Image, region: Region | None) -> People:
        inputs, frame = task.prepare(image, contract, region)
        people = task.decode(session.run(inputs), contract, frame)
        assert isinstance(people, People)
        return people

    if not follows_person(contract):  # several people, of whom nothing says who was who in the last frame
        return lambda frame: Seen(place(frame.image, None), {})
    tracker = PersonTracker(place, keypoint_smoother() if smooth else None)

    def look(frame: VideoFrame) -> Seen:
        whole = tracker.region is None
        return Seen(tracker.look(frame.image, frame.time_ns), {"whole_picture": whole})

    return look


def _mask_looker(contract: Contract, session: Session, *, smooth: bool) -> Look:
    task, name = TASKS[contract.task], contract.outputs[0].name
    blends = smooth and decoder_of(contract) == "probability"  # choices and logits have no probability to blend
    smoother = MaskSmoother()

    def look(frame: VideoFrame) -> Seen:
        inputs, placed = task.prepare(frame.image, contract)
        outputs = dict(session.run(inputs))
        if blends:
            outputs[name] = smoother.smooth(outputs[name])
        return Seen(task.decode(outputs, contract, placed), {})

    return look


def _follow(
    artifact: Artifact, session: Session, video: Video, look: Look, payload: Mapping[str, Any]
) -> dict[str, Any]:
    task = TASKS[artifact.manifest.task]
    output, most = payload["output"], payload["most_frames"] or None
    lines: list[str] = []
    milliseconds: list[float] = []
    found = searched = 0
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(frame_writer(Path(output), video.fps)) if output else None
        for frame in _shown(video, most):
            begun = time.perf_counter()
            seen = look(frame)
            milliseconds.append((time.perf_counter() - begun) * 1e3)
            found += not getattr(seen.result, "empty", False)
            searched += bool(seen.about.get("detector_ran"))
            stated = {"frame": frame.number, "time_s": round(frame.time_ns / 1e9, 6), **seen.about}
            lines.append(json.dumps(stated | seen.result.to_json()))
            if writer is not None:
                writer.write(task.draw(frame.image, seen.result))
    if payload["results"]:
        write_atomic(Path(payload["results"]), ("\n".join(lines) + "\n").encode())
    return {
        "model": artifact.manifest.model,
        "target": artifact.manifest.target,
        "mode": session.mode,
        "frames": len(lines),
        "fps": video.fps,
        "found": found,
        "detector_ran": searched,
        "milliseconds": statistics.median(milliseconds),
    }


def _shown(video: Video, most: int | None) -> Iterator[VideoFrame]:
    """Yield at most some frames, with a bar where their number is known."""
    frames = itertools.islice(video.frames(), most)
    known = min(video.count or most or 0, most or video.count)
    for _, frame in zip(progressing(range(known), f"{video.path.name}: frames"), frames, strict=False):
        yield frame
    yield from frames  # what the file did not count
