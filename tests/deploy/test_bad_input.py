"""Bad input and faults: each one clear line, the right exit code, and nothing lost."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import zlib

import psutil
import pytest
import torch
from filelock import FileLock

pytestmark = pytest.mark.slow
INPUT = "image=1x3x32x32"
TO_ONNX = ["--target", "onnx-cpu", "--launches", 0, "--out", "out"]


def leftovers(out):
    """Return names of unfinished work in an output folder."""
    return [path.name for path in out.iterdir() if path.name.startswith(".staging")] if out.exists() else []


def state(tiny):
    space: dict = {}
    exec(tiny.read_text(), space)
    return space["build"]().state_dict()


def huge_png(path, size=20_000):
    """Write a real PNG of size × size black pixels without holding it in memory."""

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    row = b"\x00" * (1 + (size + 7) // 8)
    packer = zlib.compressobj()
    data = b"".join(packer.compress(row) for _ in range(size)) + packer.flush()
    header = size.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def refused(done, code, *words):
    assert done.code == code, (done.code, done.stderr)
    assert done.last_line.startswith("edge: "), done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr


def test_nan_weights(edge, tiny, tmp_path):
    weights = state(tiny)
    weights["0.weight"][0, 0, 0, 0] = float("nan")
    torch.save(weights, tmp_path / "nan.pth")
    refused(
        edge("deploy", f"{tiny}:build", "--checkpoint", "nan.pth", "--input", INPUT, *TO_ONNX), 2, "NaN", "0.weight"
    )


def test_a_checkpoint_of_another_architecture(edge, tiny, tmp_path):
    torch.save({"head.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    done = edge("deploy", f"{tiny}:build", "--checkpoint", "other.pth", "--input", INPUT, *TO_ONNX)
    refused(done, 2, "missing", "0.weight", "unexpected", "head.weight")


@pytest.mark.parametrize("name", ["empty.pth", "text.safetensors", "gone.pt"])
def test_a_file_that_is_no_checkpoint(edge, tiny, tmp_path, name):
    if name != "gone.pt":
        (tmp_path / name).write_text("" if "empty" in name else "not weights")
    refused(edge("deploy", f"{tiny}:build", "--checkpoint", name, "--input", INPUT, *TO_ONNX), 2, name)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("rejects_its_shapes", ["rejects its contract's inputs image=1x3x32x32"]),
        ("raises", ["no such option: depth=7"]),
        ("returns_text", ["str"]),
        ("nowhere", ["nowhere"]),
    ],
)
def test_a_model_that_cannot_be_built_or_run(edge, tiny, function, words):
    refused(edge("deploy", f"{tiny}:{function}", "--input", INPUT, *TO_ONNX), 2, *words)


def test_a_picture_that_is_none(edge, tiny, tmp_path):
    (tmp_path / "photo.jpg").write_text("this is text")
    refused(edge("deploy", f"{tiny}:build", "--input", INPUT, "--data", "photo.jpg", *TO_ONNX), 2, "photo.jpg")


def test_a_picture_of_400_megapixels(edge, tiny, tmp_path):
    huge_png(tmp_path / "huge.png")
    refused(
        edge("deploy", f"{tiny}:build", "--input", INPUT, "--data", "huge.png", *TO_ONNX),
        2,
        "huge.png is too large",
        "25 megapixels",
    )


def test_an_impossible_precision_is_refused_and_the_rest_is_made(edge, tiny, tmp_path):
    precisions = ["--precision", "fp32", "--precision", "w8a16"]
    to_xnnpack = ["--target", "executorch-xnnpack", *TO_ONNX[2:]]
    done = edge("deploy", f"{tiny}:build", "--input", INPUT, *precisions, *to_xnnpack, "--json")
    assert done.code == 2, done.stderr
    assert [row["status"] for row in done.report["targets"]] == ["ok", "refused"]
    assert "int8" in done.report["targets"][1]["reason"]


def test_pictures_for_a_model_that_takes_none(edge, tmp_path):
    code = "from torch import nn\ndef build():\n    return nn.Linear(4, 2)\n"
    (tmp_path / "line.py").write_text(code)
    (tmp_path / "p.png").write_bytes(b"")
    refused(edge("deploy", "line.py:build", "--input", "x=1x4", "--data", "p.png", *TO_ONNX), 2, "leave it out")
    done = edge("deploy", "line.py:build", "--input", "x=1x4", *TO_ONNX, "--json")
    assert done.code == 0, done.stderr
    assert done.report["inputs"] == "random: 2"
    refused(edge("deploy", "line.py:build", "--input", "x=1x4", "--random-weights", *TO_ONNX), 2, "weights of its own")


def test_two_deploys_into_one_folder(edge, tiny, tmp_path):
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"):
        refused(edge("deploy", f"{tiny}:build", "--input", INPUT, *TO_ONNX), 2, "another deploy is writing into out")


def test_an_exporter_that_crashes_leaves_the_others_whole(edge, tiny, tmp_path):
    """litert_torch is replaced by a module that aborts the process, as a crash in native code does."""
    (tmp_path / "fault").mkdir()
    (tmp_path / "fault" / "litert_torch.py").write_text(
        "import os\nprint('converter: assertion failed', flush=True)\nos.abort()\n"
    )
    path = os.pathsep.join([str(tmp_path / "fault"), os.environ.get("PYTHONPATH", "")])
    done = edge(
        "deploy", f"{tiny}:build", "--input", INPUT, "--target", "litert-cpu", *TO_ONNX, "--json", PYTHONPATH=path
    )
    assert done.code == 1, done.stderr
    litert, onnx = done.report["targets"]
    assert litert["status"] == "failed"
    assert "SIGABRT" in litert["reason"]
    assert "converter: assertion failed" in litert["reason"]
    assert onnx["status"] == "ok"
    assert onnx["parity"]["passed"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if "@" in path.name) == ["onnx-cpu@fp32"]


def test_a_full_disk(edge, tiny, tmp_path):
    """A real file system of 64 kB."""
    small = tmp_path / "small"
    small.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        done = edge("deploy", f"{tiny}:build", "--input", INPUT, *TO_ONNX[:-1], small / "out")
        refused(done, 1, "No space left on device")
        assert not leftovers(small / "out")
    finally:
        subprocess.run(["umount", str(small)], check=True)


def children_of(folder):
    """Return running job processes that were started for work below a folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        with contextlib.suppress(psutil.Error):
            if process.info["cwd"] == str(folder) and "edge" in " ".join(process.info["cmdline"] or []):
                found.append(process.pid)
    return found


# A shell's background jobs ignore interrupts, and so does what they start.
HEARS_INTERRUPTS = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_partial_artifact_and_no_orphan(edge, tiny, tmp_path, session_cache, number):
    earlier = edge("deploy", f"{tiny}:build", "--input", INPUT, *TO_ONNX)
    assert earlier.code == 0, earlier.stderr
    before = (tmp_path / "out/onnx-cpu@fp32/model.onnx").read_bytes()
    arguments = ["deploy", f"{tiny}:build", "--input", "image=1x3x64x64", "--target", "executorch-xnnpack", *TO_ONNX]
    process = subprocess.Popen(
        [sys.executable, "-c", HEARS_INTERRUPTS, "-m", "edge", *map(str, arguments)],
        cwd=tmp_path, env={**os.environ, "EDGE_CACHE": str(session_cache)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in process.stderr:
        if line.startswith("build"):
            break
    time.sleep(1.0)
    assert len(children_of(tmp_path)) >= 2
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert "interrupted" in stderr
        assert not leftovers(tmp_path / "out")
    end = time.monotonic() + 10
    while children_of(tmp_path):
        assert time.monotonic() < end, "orphans are still running"
        time.sleep(0.1)
    assert (tmp_path / "out/onnx-cpu@fp32/model.onnx").read_bytes() == before
    assert not (tmp_path / "out/executorch-xnnpack@fp32").exists()
    after = edge("deploy", f"{tiny}:build", "--input", INPUT, *TO_ONNX)
    assert after.code == 0, after.stderr
    assert not leftovers(tmp_path / "out")
