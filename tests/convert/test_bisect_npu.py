"""Compilers whose artifacts are opaque: a wrong weight goes in before they run, and a twin shows where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor, nn

from convert.bisect.records import Side
from convert.build import Build, compile_in_child, execution_environment
from convert.prepare import prepare
from convert.program import Model
from edge.artifact import Source, read_manifest
from edge.contract import Contract, Preprocess, TensorSpec
from edge.jobs import Job, run_job

pytestmark = [pytest.mark.slow]
CONTRACT = Contract(
    inputs=(TensorSpec(name="image", shape=(1, 3, 32, 32), layout="NCHW"),), preprocess=Preprocess(size=(32, 32))
)


class Small(nn.Module):
    """Three convolutions, one of which may be wrong."""

    def __init__(self, times: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Hardswish())
        self.middle = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Conv2d(8, 2, 1)
        with torch.no_grad():
            self.middle.weight[2:5] *= times

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(torch.sigmoid(self.middle(self.stem(x)))).sigmoid()
        return result


def model(module: nn.Module) -> Model:
    return Model("small", module.eval(), CONTRACT, Source(sha256="0" * 64))


def traced(build: Build, made_from: str, root: Path) -> Side:
    """Compile the program of one prepared folder and trace it against the right one as `edge bisect` does."""
    folder = root / f"{build.folder_name}-{made_from}"
    if not folder.exists():
        compile_in_child(build, root / made_from, folder, root / "log.txt")
    payload: dict[str, Any] = {"artifact": str(folder), "prepared": str(root / "right"), "folder": str(root / "trace")}
    payload |= {"image": "", "compiled_from": str(root / made_from)}
    environment = execution_environment(read_manifest(folder).manifest)
    job = Job(function="convert.bisect.trace:trace_job", payload=payload, log=root / "log.txt", environment=environment)
    return msgspec.convert(run_job(job)["side"], Side)


@pytest.mark.parametrize(
    ("target", "precision", "package", "wrong"),
    [
        ("executorch-qnn:SM8650", "int8", "qnn-2.49", True),
        pytest.param("executorch-qnn:SM8650", "int8", "qnn-2.49", False, marks=pytest.mark.full),
        pytest.param("executorch-qnn:SM8650", "fp16", "qnn-2.49", True, marks=pytest.mark.full),
        pytest.param("onnx-qnn:SM8650", "int8", "qnn-2.50", True, marks=pytest.mark.full),
        pytest.param("onnx-qnn:SM8650", "int8", "qnn-2.50", False, marks=pytest.mark.full),
    ],
)
def test_a_weight_that_was_wrong_before_compiling_is_named(
    target: str,
    precision: str,
    package: str,
    wrong: bool,
    photos: tuple[Path, ...],
    sdk: Callable[[str], dict[str, str]],
    tmp_path: Path,
) -> None:
    sdk(package)
    prepare(model(Small()), photos, tmp_path / "right")
    if wrong:
        prepare(model(Small(times=5.0)), photos, tmp_path / "wrong")
    side = traced(Build(target=target, precision=precision), "wrong" if wrong else "right", tmp_path)
    assert side.mode == "emulated"
    assert len(side.rows) >= 5
    assert "twin" in side.notes[0]
    assert not any("does not compile to this artifact" in note for note in side.notes)
    assert (tmp_path / "trace/reproducer/operator.pt2").is_file() is wrong
    if not wrong:
        assert side.first is None
        return
    assert side.divergence is not None
    assert side.divergence.node == "conv2d_1"
