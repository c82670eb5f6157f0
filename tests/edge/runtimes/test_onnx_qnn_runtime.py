"""The runtime for Qualcomm context models: what it says when the SDK or the file is not whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.artifact import Artifact, Manifest, Needs, Source, list_files
from edge.contract import TensorSpec
from edge.errors import InputError, MissingError, TargetError
from edge.runtimes import RUNTIMES, open_session
from edge.runtimes.onnx_qnn import OnnxQnnSession, library_folder

SPEC = TensorSpec(name="image", shape=(1, 4), dtype="float32")


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    root = tmp_path / "artifact"
    root.mkdir()
    (root / "model.onnx").write_bytes(b"not a model")
    manifest = Manifest(
        model="tiny",
        task="tensors",
        target="onnx-qnn:SM8650",
        precision="int8",
        files=list_files(root),
        inputs=(SPEC,),
        outputs=(SPEC,),
        steps=(),
        source=Source(sha256="0" * 64),
        needs=Needs(min_runtime="ONNX Runtime"),
    )
    return Artifact(root, manifest)


def fake_sdk(root: Path, *names: str) -> Path:
    folder = root / "lib" / "x86_64-linux-clang"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return root


def test_the_family_has_a_runtime_of_its_own() -> None:
    assert "onnx-qnn" in RUNTIMES


def test_without_the_sdk_the_command_that_gets_it_is_named(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QNN_SDK_ROOT", raising=False)
    with pytest.raises(MissingError, match="edge sdk install qnn"):
        open_session(artifact)


def test_one_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fake_sdk(tmp_path / "sdk", "libonnxruntime_providers_qnn.so", "libQnnHtp.so", "libQnnSystem.so")
    monkeypatch.setenv("QNN_SDK_ROOT", str(root))
    with pytest.raises(MissingError, match=r"libHtpPrepare\.so is missing.*edge sdk install qnn"):
        library_folder()


def test_a_missing_input_or_a_wrong_shape_is_refused_before_it_runs() -> None:
    session = OnnxQnnSession(None, (SPEC,), (SPEC,))
    with pytest.raises(InputError, match="'image' is missing"):
        session.run({})
    with pytest.raises(InputError, match=r"\[2, 4\] float32; expected \[1, 4\] float32"):
        session.run({"image": np.zeros((2, 4), np.float32)})


@pytest.mark.slow
def test_a_damaged_file_is_named(artifact: Artifact, sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in sdk("qnn-2.50").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TargetError, match=r"cannot open .*model\.onnx.*edge deploy"):
        open_session(artifact)
