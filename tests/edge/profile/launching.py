"""What tests of runners share: small programs, a bundle laid out in a folder, and a launch's events."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch

from edge.artifact import Artifact, Manifest, Needs, Source, list_files
from edge.contract import TensorSpec
from edge.profile.devices import Bundle
from edge.profile.runners import Prepared

SHORT = (
    "--threads", "1", "--warmup-runs", "25", "--warmup-seconds", "0.5", "--min-runs", "12", "--min-seconds", "0.01",
)  # fmt: skip


def laid_out(bundle: Bundle, folder: Path) -> Path:
    """Copy a bundle's files into a folder, as a device does."""
    folder.mkdir(parents=True)
    for file in bundle.files:
        shutil.copyfile(file.path, folder / file.name)
        (folder / file.name).chmod(0o755 if file.executable else 0o644)
    return folder


def launch(
    prepared: Prepared, folder: Path, *flags: str, prefix: tuple[str, ...] = (), timeout_s: float = 300
) -> tuple[int, list[dict[str, Any]], str]:
    """Run a prepared artifact in the folder of its bundle; returns the exit code, the events and the errors' text."""
    words = [*prefix, *prepared.argv, *flags]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=timeout_s)
    return done.returncode, events_of(done.stdout), done.stderr


def events_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    """Return the events' kinds in order, a row of equal ones once."""
    found: list[str] = []
    for event in events:
        if not found or found[-1] != event["k"]:
            found.append(event["k"])
    return found


def made(folder: Path, target: str, name: str, content: bytes, *inputs: TensorSpec) -> Artifact:
    """Write an artifact of one file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    manifest = Manifest(
        model="tiny", task="tensors", target=target, precision="fp32", files=list_files(folder), inputs=inputs,
        outputs=(), steps=(), source=Source(sha256="0" * 64), needs=Needs(min_runtime=""),
    )  # fmt: skip
    return Artifact(folder, manifest)


def program(module: torch.nn.Module, *inputs: torch.Tensor) -> bytes:
    """Return a module as an ExecuTorch program for XNNPACK."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    exported = torch.export.export(module.eval(), inputs)
    return bytes(to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch().buffer)
