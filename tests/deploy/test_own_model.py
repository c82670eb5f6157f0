"""A user's own model, from the command line and from Python; caching; running and verifying what was made."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import edge as kit
from edge.artifact import check_files, read_manifest
from edge.contract import Contract, TensorSpec

pytestmark = pytest.mark.slow
INPUT = "image=1x3x32x32"


@pytest.fixture
def checkpoint(tiny, tmp_path):
    space: dict = {}
    exec(tiny.read_text(), space)
    torch.manual_seed(1)
    module = space["build"]()
    state = {
        name: tensor + 0.01 if tensor.is_floating_point() else tensor for name, tensor in module.state_dict().items()
    }
    path = tmp_path / "tiny.safetensors"
    save_file(state, path)
    return path


def test_deploy_again_run_and_verify(edge, tiny, checkpoint, photos, tmp_path):
    """One story: deploy, deploy again from the cache, verify, tamper, run."""
    deploy = ["deploy", f"{tiny}:build", "--checkpoint", checkpoint, "--input", INPUT, "--target", "onnx-cpu", "--json"]
    first = edge(*deploy, "--out", "a", "--launches", 2)
    assert first.code == 0, first.stderr
    row = first.report["targets"][0]
    assert row["parity"]["passed"]
    assert row["parity"]["inputs"] == "real: 3"
    assert row["latency"]["launches"] == 2
    assert not row["cached"]

    again = edge(*deploy, "--out", "b", "--launches", 2)
    assert again.code == 0, again.stderr
    assert again.report["targets"][0] == {**row, "cached": True}
    assert "build " not in again.stderr
    assert (tmp_path / "a/onnx-cpu@fp32/model.onnx").read_bytes() == (
        tmp_path / "b/onnx-cpu@fp32/model.onnx"
    ).read_bytes()

    tiny.write_text(tiny.read_text() + "\n# changed\n")
    assert not edge(*deploy, "--out", "c", "--launches", 0).report["targets"][0]["cached"]

    verify = ["verify", "a/onnx-cpu@fp32", "--model", f"{tiny}:build", "--input", INPUT]
    passed = edge(*verify[:-2], "--checkpoint", checkpoint)  # the inputs are those that the artifact keeps
    assert passed.code == 0, passed.stderr
    assert "passed (native, real: 3 inputs)" in passed.stdout
    other = edge(*verify)
    assert other.code == 2
    assert "pass the same --checkpoint" in other.stderr

    manifest = tmp_path / "a/onnx-cpu@fp32/manifest.json"
    kept = manifest.read_text()
    manifest.write_text(json.dumps(json.loads(kept) | {"files": []}))
    (tmp_path / "a/onnx-cpu@fp32/model.onnx").write_bytes(b"\x00" * 100)
    manifest.write_text(kept)
    tampered = edge(*verify, "--checkpoint", checkpoint)
    assert tampered.code == 2
    assert "was changed after it was made" in tampered.last_line


def test_a_wrong_artifact_fails_with_exit_4(edge, tiny, checkpoint, tmp_path):
    """Weights of another training in the same file: the hash is right, the numbers are not."""
    common = ["--input", INPUT, "--target", "onnx-cpu", "--launches", 0]
    assert edge("deploy", f"{tiny}:build", "--checkpoint", checkpoint, *common, "--out", "right").code == 0
    assert edge("deploy", f"{tiny}:build", *common, "--out", "wrong").code == 0
    right, wrong = (
        json.loads((tmp_path / name / "onnx-cpu@fp32/manifest.json").read_text()) for name in ("right", "wrong")
    )
    right["files"] = wrong["files"]
    (tmp_path / "right/onnx-cpu@fp32/manifest.json").write_text(json.dumps(right))
    (tmp_path / "right/onnx-cpu@fp32/model.onnx").write_bytes(
        (tmp_path / "wrong/onnx-cpu@fp32/model.onnx").read_bytes()
    )
    model = ["--model", f"{tiny}:build", "--input", INPUT, "--checkpoint", checkpoint]
    done = edge("verify", "right/onnx-cpu@fp32", *model, "--json")
    assert done.code == 4, done.stderr
    parity = json.loads(done.stdout)[0]["parity"]
    assert not parity["passed"]
    assert "max abs error" in parity["reason"]


def test_export_and_compile_one_at_a_time(edge, tiny, tmp_path):
    assert edge("export", f"{tiny}:build", "--input", INPUT, "--out", "program").code == 0
    done = edge("compile", "program", "--target", "onnx-cpu", "--out", "artifact", "--json")
    assert done.code == 0, done.stderr
    assert done.report["parity"] is None
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["artifact", "program"]


def test_a_module_in_training_mode_is_compared_in_eval_mode_and_left_as_it_was(tmp_path, session_cache, monkeypatch):
    monkeypatch.setenv("EDGE_CACHE", str(session_cache))
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    contract = Contract(inputs=(TensorSpec(name="x", shape=(8, 4)),))
    report = kit.deploy(module, contract, out=tmp_path / "out", targets=["onnx-cpu"], launches=0, progress=str)
    assert report.targets[0].parity is not None
    assert report.targets[0].parity.passed
    assert all(part.training for part in module.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_a_module_in_memory_is_deployed_from_python(tmp_path, session_cache, monkeypatch):
    monkeypatch.setenv("EDGE_CACHE", str(session_cache))
    contract = Contract(inputs=(TensorSpec(name="a", shape=(1, 4)), TensorSpec(name="b", shape=(1, 4))))

    class Pair(nn.Module):
        def forward(self, a, b):
            return {"sum": a + b, "product": a * b}

    lines: list[str] = []
    options = {"targets": ["onnx-cpu"], "launches": 0, "progress": lines.append, "name": "pair"}
    report = kit.deploy(Pair(), contract, out=tmp_path / "out", **options)
    row = report.targets[0]
    assert row.parity is not None
    assert row.parity.passed
    assert row.parity.inputs == "random: 2"
    assert [output.name for output in row.parity.outputs] == ["output_0", "output_1"]
    assert kit.deploy(Pair(), contract, out=tmp_path / "again", **options).targets[0].cached
    twice = kit.deploy(
        Pair(), contract, out=tmp_path / "other", **{**options, "name": "b", "targets": ["onnx-cpu"] * 2}
    )
    assert [(row.status, row.cached) for row in twice.targets] == [("ok", False)]
    assert read_manifest(tmp_path / "other" / "onnx-cpu@fp32").manifest.model == "b"

    for damaged in (session_cache / "artifacts").rglob("model.onnx"):
        damaged.write_bytes(damaged.read_bytes() + b"!")
    mended = kit.deploy(Pair(), contract, out=tmp_path / "mended", **options)
    assert not mended.targets[0].cached
    check_files(read_manifest(tmp_path / "mended" / "onnx-cpu@fp32"))
    assert np.isfinite(row.parity.outputs[0].psnr_db)
