"""The tensors that operators are timed on, and the job that every pass runs in processes of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edge.artifact import Artifact
from edge.errors import TargetError
from edge.jobs import Job, run_job
from edge.profile.operators._samples import LAUNCHES, Launch
from edge.threads import VARIABLE

if TYPE_CHECKING:
    from edge.profile.operators import Site

TIMEOUT_S = 600.0


def payload_of(artifact: Artifact, site: Site) -> dict[str, Any]:
    """Return what the functions of a pass are told."""
    return {"artifact": str(artifact.root.resolve()), "inputs": [str(Path(path).resolve()) for path in site.inputs]}


def launch_all(function: str, artifact: Artifact, site: Site) -> list[Launch]:
    """Run `package.module:function`, which returns a Launch as JSON, in several processes one after the other.

    Raises what the processes raise.
    """
    with tempfile.TemporaryDirectory(prefix="edge-operators-") as folder:
        return [read_launch(answer) for answer in run_launches(function, artifact, site, Path(folder))]


def run_launches(function: str, artifact: Artifact, site: Site, folder: Path) -> list[dict[str, Any]]:
    """Return the answers of `package.module:function` in several processes; they may write below `folder`."""
    return [
        run_job(
            Job(
                function=function,
                payload={**payload_of(artifact, site), "folder": str(folder), "launch": number},
                log=folder / "log",
                timeout_s=TIMEOUT_S,
                environment={VARIABLE: str(site.threads)},
            )
        )
        for number in range(LAUNCHES)
    ]


def read_launch(answer: Mapping[str, Any]) -> Launch:
    """Return a process's answer as a record; raises TargetError for anything else."""
    try:
        return msgspec.convert(answer, Launch)
    except msgspec.ValidationError as error:
        raise TargetError(f"a profiler's process answered something else: {error}") from None


def refuse_prefix(site: Site) -> tuple[str, ...]:
    """Return a remark for words before the command, which a pass in this machine's Python does not take."""
    words = " ".join(site.device.prefix)
    return (f"taken without {words!r}: the pass runs in Python on this machine",) if words else ()
