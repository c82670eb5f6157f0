"""Run any artifact that this machine can execute, through the kit's own sessions in Python."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from edge.artifact import Artifact
from edge.profile.devices import Bundle, Device
from edge.profile.records import DeviceRecord
from edge.profile.runners import Prepared, Wish, runner
from edge.runtimes import runtime_of
from edge.threads import VARIABLE


@runner("host-python", harness="python", devices=("host",))
def prepare_host(artifact: Artifact, device: Device, record: DeviceRecord, wish: Wish) -> Prepared:
    """Describe a launch of edge.profile.launch; all runtimes go through it, so that they can be compared."""
    threads = str(wish.threads)
    path = os.pathsep.join([str(Path(__file__).resolve().parents[3]), *sys.path])  # it runs in another folder
    return Prepared(
        bundle=Bundle(),
        argv=(sys.executable, "-m", "edge.profile.launch", str(artifact.root.resolve())),
        environment={VARIABLE: threads, "OMP_NUM_THREADS": threads, "PYTHONPATH": path},
        runtime=runtime_of(artifact).version,
    )
