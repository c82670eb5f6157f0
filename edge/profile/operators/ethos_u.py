"""Vela's estimates for Ethos-U: cycles of every layer, by the compiler's model of the chip; nothing is executed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from edge.artifact import Artifact
from edge.errors import Refused
from edge.jobs import Job, run_job
from edge.profile.operators import Found, Site, operators
from edge.profile.operators._inputs import TIMEOUT_S, read_launch
from edge.sdk import SDKS

_ANYWHERE = ("host", "adb", "ssh", "xcrun")  # the estimate is this machine's, whatever the device
_SDK = "ethos-u"


@operators("litert-ethos-u", devices=_ANYWHERE)
def estimate_litert(artifact: Artifact, site: Site) -> Found:
    """Compile the int8 graph beside the artifact again; raises MissingError without Vela, Refused without the graph."""
    twin = artifact.root / "reference.tflite"
    if not twin.is_file():
        raise Refused(f"{artifact.root} keeps no reference.tflite for Vela to estimate; deploy it again")
    step = next((step for step in artifact.manifest.steps if step.tool == "ethos-u-vela"), None)
    options = step.options if step else {}
    chip = str(options.get("accelerator") or f"ethos-{_chip(artifact)}")
    words = ["--accelerator-config", chip]
    return _estimated(artifact, site, [twin], words, "Ethos-U")


@operators("executorch-ethos-u", devices=_ANYWHERE)
def estimate_executorch(artifact: Artifact, site: Site) -> Found:
    """Compile the TOSA graphs beside the artifact again, with its own flags; raises as `estimate_litert`."""
    graphs = sorted((artifact.root / "reference").glob("*.tosa"), key=lambda path: int(path.stem))
    if not graphs:
        raise Refused(f"{artifact.root} keeps no TOSA graphs for Vela to estimate; deploy it again")
    flags = next((step.options["flags"] for step in artifact.manifest.steps if "flags" in step.options), "")
    words = [word for word in str(flags).split() if word.startswith("--") and not word.startswith("--output")]
    if not any(word.startswith("--accelerator-config") for word in words):
        words.append(f"--accelerator-config=ethos-{_chip(artifact)}")
    return _estimated(artifact, site, graphs, words, "EthosUBackend")


def _chip(artifact: Artifact) -> str:
    return artifact.manifest.target.partition(":")[2]


def _estimated(artifact: Artifact, site: Site, files: list[Path], words: list[str], backend: str) -> Found:
    with tempfile.TemporaryDirectory(prefix="edge-vela-") as name:
        payload: dict[str, Any] = {
            "folder": name, "files": [str(file.resolve()) for file in files], "words": words, "backend": backend,
        }  # fmt: skip
        answer = run_job(
            Job(
                function="edge.profile.operators._vela_layers:vela_job",
                payload=payload,
                log=Path(name) / "log",
                timeout_s=TIMEOUT_S,
                environment=SDKS[_SDK].environment(),
            )
        )
    remark = f"estimated by Vela for {_chip(artifact) or 'its default chip'}, not measured on {site.device.id}"
    return Found(tool="Vela", launches=(read_launch(answer),), estimated=True, remarks=(remark,))
