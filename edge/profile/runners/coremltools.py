"""Core ML on an iPhone through coremltools' benchmarker, which runs on the Mac that the phone is connected to."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from edge.artifact import Artifact
from edge.profile.devices import Bundle, Device
from edge.profile.records import DeviceRecord
from edge.profile.runners import Prepared, Wish, runner
from edge.versions import installed_version


@runner("coremltools", harness="coremltools", devices=("xcrun",), families=("coreml",))
def prepare_coremltools(artifact: Artifact, device: Device, record: DeviceRecord, wish: Wish) -> Prepared:
    """Describe a launch of edge.profile.coreml_launch for the phone of `device`."""
    path = os.pathsep.join([str(Path(__file__).resolve().parents[3]), *sys.path])  # it runs in another folder
    root, udid = str(artifact.root.resolve()), device.id.partition(":")[2]
    return Prepared(
        bundle=Bundle(),
        argv=(sys.executable, "-m", "edge.profile.coreml_launch", root, "--device", udid),
        environment={"PYTHONPATH": path},
        runtime=f"coremltools {installed_version('coremltools')}",
        remarks=("Core ML chooses its threads itself", "written from coremltools' sources; not yet run on a Mac"),
    )
