"""Operators of a small real network in the real runtimes, each under its own profiler."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from convert.export import export
from convert.program import Model
from convert.targets import TARGETS
from edge.artifact import Artifact, Manifest, Needs, Source, encode_json, list_files, write_manifest
from edge.contract import Contract, TensorSpec
from edge.delegation import DELEGATION, DelegationReport
from edge.errors import Refused
from edge.profile.devices import open_device
from edge.profile.inputs import write_random
from edge.profile.operators import Site, is_remainder, take
from edge.profile.records import OperatorPass, Peaks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

TARGETS_HERE = ("executorch-xnnpack", "litert-cpu", "onnx-cpu")
PEAKS = Peaks(flops_per_s={"float32": 1e11}, bytes_per_s=1e10, how="made up for this test")


class Net(nn.Module):
    """Two convolutions of different cost, one of them depthwise, and an addition."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1, groups=16)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return (1, 16, 64, 64)."""
        first = torch.relu(self.first(image))
        return first + self.second(first)


def _artifact(target: str, folder: Path) -> Artifact:
    torch.manual_seed(0)
    contract = Contract(inputs=(TensorSpec(name="image", shape=(1, 3, 64, 64), layout="NCHW"),))
    model = Model("net", Net(), contract, Source(sha256="0" * 64))
    compiled = TARGETS[target].compile(export(model), "fp32", folder)
    report = DelegationReport(target=target, operators=compiled.operators)
    (folder / DELEGATION).write_bytes(encode_json(report))
    manifest = Manifest(
        model="net", task="tensors", target=target, precision="fp32", files=list_files(folder),
        inputs=compiled.inputs, outputs=compiled.outputs, steps=compiled.steps,
        source=model.source, needs=compiled.needs,
    )  # fmt: skip
    return write_manifest(folder, manifest)


def _taken(artifact: Artifact, folder: Path) -> OperatorPass:
    device = open_device("host")
    try:
        inputs = tuple(str(path) for path in write_random(artifact, folder))
        return take(artifact, Site(device=device, record=device.probe(), inputs=inputs, threads=2), PEAKS)
    finally:
        device.close()


@pytest.mark.parametrize("target", TARGETS_HERE)
def test_operators_of_a_real_runtime(target: str, tmp_path: Path) -> None:
    artifact = _artifact(target, tmp_path)
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    found = _taken(artifact, inputs)
    assert not found.estimated
    assert found.runs >= 15
    assert found.overhead is not None
    assert 0.5 < found.coverage <= 1.05
    assert found.unit_share == {"cpu": 1.0}
    inside = [operator for operator in found.operators if not is_remainder(operator)]
    convolutions = [operator for operator in inside if operator.source in ("conv2d", "conv2d_1")]
    assert [operator.flops for operator in convolutions] == [2 * 64 * 64 * 16 * 27, 2 * 64 * 64 * 16 * 9]
    for operator in convolutions:
        assert operator.ci95_us is not None
        assert operator.bytes is not None
        assert operator.bytes >= 4 * 64 * 64 * 16
        assert operator.bound != "unknown"
    added = any(operator.type.lower().startswith("add") for operator in inside)
    assert added or target == "onnx-cpu"  # which adds within the convolution


def test_a_delegate_that_does_not_run_here_is_refused(tmp_path: Path) -> None:
    manifest = Manifest(
        model="net", task="tensors", target="executorch-qnn:SM8650", precision="int8", files=(), inputs=(), outputs=(),
        steps=(), source=Source(sha256="0" * 64), needs=Needs(min_runtime="executorch"),
    )  # fmt: skip
    with pytest.raises(Refused, match="on the device"):
        _taken(Artifact(tmp_path, manifest), tmp_path)
