"""A wrong weight planted in an artifact's file, and the command that names the operator it belongs to."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convert.bisect.run import check_pair, conclude
from convert.bisect.trace import trace
from convert.compile import compile_program
from convert.prepare import load_any, prepare
from convert.program import Program, load_program
from convert.reference import read_reference
from edge.artifact import Artifact, read_manifest
from edge.contract import Contract, TensorSpec
from edge.errors import Unexecutable, UsageError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
TARGETS = ("onnx-cpu", "litert-cpu", "executorch-xnnpack", "coreml")
WRONG = "conv2d_2"  # the convolution `wide`
SOURCE = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.Hardswish())
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.wide = nn.Conv2d(8, 16, 1)
        self.narrow = nn.Conv2d(16, 8, 1)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        y = self.stem(x)
        z = self.narrow(self.wide(self.depth(y).relu()).relu()) + y
        return self.head(z).sigmoid()

def build():
    return Tiny()

def other():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
"""
CONTRACT = Contract(inputs=(TensorSpec(name="image", shape=(1, 3, 32, 32), layout="NCHW"),))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bisect")
    (folder / "tiny.py").write_text(SOURCE)
    prepare(load_any(f"{folder / 'tiny.py'}:build", None, CONTRACT), [], folder / "prepared")
    return folder


@pytest.fixture(scope="module")
def artifact(root: Path) -> Callable[[str], Artifact]:
    """Return a function from a target's id to the right artifact, compiled once."""

    def compiled(target: str) -> Artifact:
        folder = root / target
        if not folder.exists():
            compile_program(load_program(root / "prepared"), target, "fp32", folder)
        return read_manifest(folder)

    return compiled


def planted(artifact: Artifact, program: Program, folder: Path) -> Artifact:
    """Return a copy of an artifact in whose file every other channel of one weight is three times too large.

    The weight is of a 1×1 convolution, whose bytes are the same in every runtime's order of axes.
    """
    shutil.copytree(artifact.root, folder)
    [weight] = [value for name, value in program.exported.state_dict.items() if name.endswith("wide.weight")]
    right = weight.detach().numpy()
    wrong = right.copy()
    wrong[::2] *= 3  # of some the ReLU that follows lets nothing through
    changed = 0
    for path in (path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if right.tobytes() in content:
            changed += content.count(right.tobytes())
            path.write_bytes(content.replace(right.tobytes(), wrong.tobytes()))
    assert changed == 1
    return read_manifest(folder)


def reproduced(folder: Path) -> float:
    """Run the reproducer as anyone would and return the relative error that it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(folder / "run.py")], capture_output=True, text=True, timeout=120, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("relative rms error")]
    return float(line.split()[-1])


@pytest.mark.parametrize("target", TARGETS)
def test_a_right_artifact_agrees_and_a_wrong_weight_is_named(
    target: str, root: Path, artifact: Callable[[str], Artifact], tmp_path: Path
) -> None:
    program, sample = load_program(root / "prepared"), read_reference(root / "prepared").samples[0]
    right = trace(artifact(target), program, sample, tmp_path / "right")
    assert right.first is None
    assert len(right.rows) >= 7
    assert max(row.own for row in right.rows) < 1e-5
    assert max(row.accumulated for row in right.rows) < 1e-5
    assert not right.notes
    assert not (tmp_path / "right/reproducer").exists()

    wrong = trace(planted(artifact(target), program, tmp_path / "artifact"), program, sample, tmp_path / "wrong")
    row = wrong.divergence
    assert row is not None
    assert row.node == WRONG
    assert set(row.stretch) <= {WRONG, "relu_1"}
    assert row.own > 0.1
    assert sum(entry.excess > wrong.allowance for entry in wrong.rows) == 1  # what follows is right on wrong inputs
    assert wrong.rows[-1].accumulated > 1e-3
    assert {entry.node for entry in wrong.rows} == {entry.node for entry in right.rows}
    assert reproduced(tmp_path / "wrong/reproducer") == pytest.approx(row.own, rel=1e-3)
    with np.load(tmp_path / "wrong/reproducer/input.npz") as inputs:
        assert len(inputs.files) == 1

    found = conclude("tiny", "random", [right, wrong], ())
    assert (found.operator, found.artifact) == (WRONG, wrong.artifact)


@pytest.mark.full
def test_the_command_names_the_operator_and_leaves_files(
    root: Path, artifact: Callable[[str], Artifact], tmp_path: Path
) -> None:
    good = artifact("onnx-cpu")
    bad = planted(good, load_program(root / "prepared"), tmp_path / "bad")
    model = ("--model", f"{root / 'tiny.py'}:build", "--input", "image=1x3x32x32")

    def edge(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edge", "bisect", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    same = edge(good.root, *model)
    assert same.returncode == 0, same.stderr
    assert "no operator diverges by itself" in same.stdout

    out = tmp_path / "out"
    done = edge(good.root, bad.root, *model, "--out", out, "--json")
    assert done.returncode == 4, done.stderr
    assert "was changed after it was made" in done.stderr
    found = json.loads(done.stdout)
    assert (found["operator"], found["artifact"]) == (WRONG, str(bad.root))
    assert next(pair["node"] for pair in found["pairs"] if pair["difference"] > 1e-3) == WRONG
    assert (out / "bisect.json").is_file()
    page = (out / "bisect.html").read_text()
    assert "<svg" in page
    assert f">{WRONG}<" in page
    assert reproduced(out / "reproducer") > 0.02

    text = edge(bad.root, "torch", *model)
    assert text.returncode == 4
    assert f">> {WRONG}" in text.stdout

    missing = edge(good.root, tmp_path / "nothing", *model)
    assert missing.returncode == 2
    assert "is not an artifact" in missing.stderr
    elsewhere = edge(good.root, "torch", *model, "--input", tmp_path / "no.png")
    assert elsewhere.returncode == 2
    assert "no.png is no file" in elsewhere.stderr


def test_artifacts_of_different_models_are_refused(artifact: Callable[[str], Artifact]) -> None:
    import msgspec

    first = artifact("onnx-cpu")
    renamed = Artifact(first.root, msgspec.structs.replace(first.manifest, model="another"))
    with pytest.raises(UsageError, match="two artifacts of the same model"):
        check_pair([first, renamed])
    source = msgspec.structs.replace(first.manifest.source, sha256="f" * 64)
    with pytest.raises(UsageError, match="from one checkpoint"):
        check_pair([first, Artifact(first.root, msgspec.structs.replace(first.manifest, source=source))])


def test_an_artifact_that_hides_its_tensors_says_so(
    root: Path, artifact: Callable[[str], Artifact], tmp_path: Path
) -> None:
    import msgspec

    first = artifact("onnx-cpu")
    hidden = Artifact(first.root, msgspec.structs.replace(first.manifest, target="coreai"))
    with pytest.raises(Unexecutable, match="hides its intermediate tensors"):
        trace(hidden, load_program(root / "prepared"), read_reference(root / "prepared").samples[0], tmp_path)
