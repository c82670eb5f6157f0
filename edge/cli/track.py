"""`edge track`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from convert.build import execution_environment
from edge.artifact import read_manifest
from edge.cli import json_option, print_json
from edge.jobs import Job, run_job
from edge.store import command_log

TRACK_TIMEOUT_S = 6 * 3600.0
_PATH = click.Path(path_type=Path)


@click.command("track")
@click.argument("artifact", type=_PATH)
@click.argument("video", type=_PATH)
@click.option("-o", "--output", type=_PATH, help="Write the drawn frames: a .mp4, .avi or .mkv file, or a folder.")
@click.option("--results", type=_PATH, help="Write what each frame shows, a line of JSON a frame.")
@click.option("--detector", type=_PATH, help="An artifact that finds people.  [default: the eager blazepose-detector]")
@click.option(
    "--fps", type=float, help="Frames a second of a folder, or of a file that does not say it.  [default: 30]"
)
@click.option("--frames", type=click.IntRange(1), help="Stop after so many frames.")
@click.option("--raw", is_flag=True, help="Neither smooth points nor blend masks: what the model says of each frame.")
@json_option
def track_command(
    artifact: Path,
    video: Path,
    output: Path | None,
    results: Path | None,
    detector: Path | None,
    fps: float | None,
    frames: int | None,
    raw: bool,
    as_json: bool,
) -> None:
    """Run ARTIFACT over VIDEO, a file or a folder of pictures in name order.

    Landmarks: the detector finds a person, who is then followed from frame to frame by the landmarks themselves, and
    smoothed by One-Euro filters; it runs again when the person is lost. Keypoints of one person (MoveNet): the same
    without a detector; the whole frame is looked at when the person is lost. Masks of one class: blended with the last
    frame's where the model is unsure. Other models for keypoints and segmentation run frame by frame.
    """
    found = read_manifest(artifact)
    finding = read_manifest(detector) if detector else None
    environment = execution_environment(found.manifest)
    environment |= execution_environment(finding.manifest) if finding else {}
    payload = {
        "artifact": str(found.root),
        "video": str(video),
        "detector": str(finding.root) if finding else "",
        "output": str(output) if output else "",
        "results": str(results) if results else "",
        "fps": fps,
        "most_frames": frames,
        "smooth": not raw,
    }
    job = Job(
        function="convert.track:track_job",
        payload=payload,
        log=command_log("track"),
        timeout_s=TRACK_TIMEOUT_S,
        environment=environment,
    )
    result: dict[str, Any] = run_job(job)
    if as_json:
        print_json(result)
        return
    click.echo(
        f"{result['model']} on {result['target']} ({result['mode']}): {result['frames']} frames at {result['fps']:g} a "
        f"second, median {result['milliseconds']:.1f} ms a frame, reading and drawing excluded"
    )
    click.echo(f"something found in {result['found']} frames; the detector ran for {result['detector_ran']}")
    for path in (output, results):
        if path is not None:
            click.echo(str(path))
