"""Every model that is meant for a device to every target: made, executed, compared. Parametrised by the registries."""

import pytest
import torch
from matrix import MODES, SMALLEST, deploy_everywhere, deploy_to, targets_for

from edge.runtimes.executorch_openvino import computes_in_bfloat16
from edge.zoo import MODELS, device_models

# The models that `make test` takes to every target; `make test-all` takes all of them there.
REPRESENTATIVES = ("blazepose-detector", "blazepose-full", "lraspp-mobilenet-v3-large", "selfie-segmentation")
CORE = ("executorch-xnnpack", "litert-cpu", "onnx-cpu", "coreml", "mediapipe-task")  # `make test` takes all to these
OPENVINO = "executorch-openvino"
ONLY_SMALLEST = {True: pytest.mark.slow, False: pytest.mark.full}
# These differ from another model in width, depth or the planes of the last layer alone; that one stands for them.
LARGER_TWINS = ("titok-b64", "titok-l32", *(f"maskbit-tokenizer-{bits}bit" for bits in (10, 14, 16, 18)))
NAMES = [name for name in device_models() if name not in LARGER_TWINS]
EVERY = [pytest.param(name, marks=pytest.mark.slow if name in REPRESENTATIVES else pytest.mark.full) for name in NAMES]


@pytest.fixture
def checkpoint(tmp_path):
    """Write seeded weights for a model whose published file cannot be had here, as .pth."""

    def write(name):
        entry = MODELS[name]
        if entry.network is None:
            return []
        torch.manual_seed(0)
        path = tmp_path / f"{name}.pth"
        torch.save(entry.network().state_dict(), path)
        return ["--checkpoint", path]

    return write


@pytest.mark.parametrize("name", EVERY)
def test_a_model_reaches_the_core_targets_in_fp32(edge, checkpoint, tmp_path, name):
    targets = [target for target in targets_for(name) if target.id in CORE]
    deploy_to(edge, name, "fp32", checkpoint(name), tmp_path / "out", targets)


@pytest.mark.parametrize("name", [pytest.param(n, marks=ONLY_SMALLEST[n == SMALLEST]) for n in NAMES])
def test_a_model_reaches_the_other_targets_in_fp32(edge, checkpoint, tmp_path, name):
    targets = [target for target in targets_for(name) if target.id not in CORE and "fp32" in target.precisions]
    if computes_in_bfloat16():
        targets = [target for target in targets if target.id != OPENVINO]
        deploy_in_bfloat16(edge, name, checkpoint(name), tmp_path / "bfloat16")
    deploy_to(edge, name, "fp32", checkpoint(name), tmp_path / "out", targets)


def deploy_in_bfloat16(edge, name, options, out):
    """On such a processor OpenVINO's artifact is made, run and judged, and the reason names the arithmetic."""
    done = edge("deploy", name, *options, "--target", OPENVINO, "--launches", 0, "--out", out, "--json", timeout=1000)
    (row,) = done.report["targets"]
    assert done.code == (0 if row["parity"]["passed"] else 4), done.stderr
    assert row["status"] == "ok"
    assert row["parity"]["mode"] == "native"
    assert "bfloat16" in row["parity"]["reason"]


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_a_model_reaches_every_target_in_fp16(edge, checkpoint, tmp_path, name):
    deploy_everywhere(edge, name, "fp16", checkpoint(name), tmp_path / "out")


@pytest.mark.slow
def test_the_smallest_model_reaches_every_cpu_target_in_fp16(edge, tmp_path):
    targets = [target for target in targets_for("selfie-segmentation", ("cpu",)) if "fp16" in target.precisions]
    deploy_to(edge, "selfie-segmentation", "fp16", [], tmp_path / "out", targets)


@pytest.mark.slow
def test_the_smallest_model_reaches_every_cpu_target_in_int8(edge, tmp_path):
    targets = [target for target in targets_for(SMALLEST, ("cpu",)) if "int8" in target.precisions]
    assert {"executorch-xnnpack", "litert-cpu", "onnx-cpu"} <= {target.id for target in targets}
    deploy_to(edge, SMALLEST, "int8", [], tmp_path / "out", targets)


@pytest.mark.full
@pytest.mark.parametrize("precision", ["w8a16", "int8-dynamic", "w8", "w4"])
def test_the_smallest_model_runs_in_every_other_integer_precision(edge, tmp_path, precision):
    targets = [target for target in targets_for(SMALLEST) if precision in target.precisions]
    flags = [flag for target in targets for flag in ("--target", target.id)]
    out = tmp_path / "out"
    done = edge("deploy", SMALLEST, *flags, "--precision", precision, "--launches", 0, "--out", out, "--json")
    assert done.code in (0, 4), done.stderr  # four bits cost more than the limits allow: the report says so
    for row, target in zip(done.report["targets"], targets, strict=True):
        assert row["status"] == "ok", row
        assert row["parity"]["mode"] == MODES[target.execution]
