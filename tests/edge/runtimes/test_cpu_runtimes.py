"""The LiteRT session: threads, and files that are none."""

import pytest

from edge.artifact import Artifact, FileEntry, Manifest, Needs, Source
from edge.contract import TensorSpec
from edge.errors import TargetError, UsageError
from edge.runtimes import open_session
from edge.threads import thread_count


def artifact(folder, name, content):
    (folder / name).write_bytes(content)
    target = "litert-cpu" if name.endswith(".tflite") else "onnx-cpu"
    spec = TensorSpec(name="x", shape=(1,))
    manifest = Manifest(
        model="m", task="tensors", target=target, precision="fp32", steps=(), source=Source(sha256=""),
        files=(FileEntry(name=name, bytes=len(content), sha256=""),), inputs=(spec,), outputs=(spec,),
        needs=Needs(min_runtime=""),
    )  # fmt: skip
    return Artifact(folder, manifest)


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(100), b"\x1c\0\0\0TFL3" + b"\xff" * 64])
def test_a_file_that_is_no_model(tmp_path, content):
    with pytest.raises(TargetError, match=r"model\.tflite.*edge deploy"):
        open_session(artifact(tmp_path, "model.tflite", content))


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(100), b"\x08\x0a\x3a\xff\xff"])
def test_a_file_that_is_no_onnx_model(tmp_path, content):
    with pytest.raises(TargetError, match=r"model\.onnx.*edge deploy"):
        open_session(artifact(tmp_path, "model.onnx", content))


def test_threads_come_from_the_environment(monkeypatch):
    monkeypatch.delenv("EDGE_THREADS", raising=False)
    assert thread_count() >= 1
    monkeypatch.setenv("EDGE_THREADS", "3")
    assert thread_count() == 3


@pytest.mark.parametrize("text", ["0", "-1", "two", "²"])
def test_a_thread_count_that_is_none(monkeypatch, text):
    monkeypatch.setenv("EDGE_THREADS", text)
    with pytest.raises(UsageError, match="EDGE_THREADS"):
        thread_count()
