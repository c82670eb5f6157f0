"""Models of the zoo to NPU families: compiled, executed on the emulator or before the chip's compiler, compared."""

import pytest
import torch
from matrix import MODES, SMALLEST, check_row, deploy_to, targets_for

from bench.networks import trained_network
from convert.targets import families
from edge.artifact import read_manifest
from edge.zoo import MODELS, device_models

# Tokenizers with random weights have no margins between their codes that 8 bits could keep.
NAMES = [name for name in device_models() if not MODELS[name].contract.task.endswith("tokenization")]


@pytest.fixture
def trained(tmp_path, photos):
    """Write trained weights for such a model: random ones have neither ranges nor margins to quantize."""

    def write(name):
        if MODELS[name].network is None:
            return []
        path = tmp_path / f"{name}.pth"
        torch.save(trained_network(name, photos).state_dict(), path)
        return ["--checkpoint", path]

    return write


@pytest.mark.full
@pytest.mark.parametrize("precision", ["int8", "w8a16"])
@pytest.mark.parametrize("name", NAMES)
def test_a_model_reaches_qualcomms_emulator_in_8_bits(edge, trained, tmp_path, name, precision):
    targets = [target for target in targets_for(name, ("npu",)) if target.execution == "emulated"]
    targets = [target for target in targets if (target.family, precision) != ("litert-qualcomm", "w8a16")]
    deploy_to(edge, name, precision, trained(name), tmp_path / "out", targets)


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_a_model_compiles_for_ethos_u(edge, trained, tmp_path, name):
    flags = ["--target", "litert-ethos-u:u65-512", "--target", "executorch-ethos-u:u85-256", "--precision", "int8"]
    done = edge("deploy", name, *trained(name), *flags, "--launches", 0, "--out", "out", "--json", timeout=1800)
    assert done.code in (0, 4), done.stderr  # parity is a result: the report has it
    for row in done.report["targets"]:
        assert row["status"] == "ok", row
        assert row["delegation"]["by_unit"]["npu"] > 0
        assert all(item["reason"] for item in row["delegation"]["rejected"])
        assert row["estimates"]["npu_cycles"] > 0


@pytest.mark.slow
def test_the_smallest_model_reaches_every_npu(edge, tmp_path):
    name = SMALLEST
    targets = [target for target in targets_for(name, ("npu", "gpu")) if "int8" in target.precisions]
    flags = [flag for target in targets for flag in ("--target", target.id)]
    done = edge("deploy", name, *flags, "--precision", "int8", "--launches", 0, "--out", tmp_path / "out", "--json")
    assert done.code in (0, 4), done.stderr
    rows = {row["id"].partition(":")[0]: row for row in done.report["targets"]}
    assert {"executorch-qnn", "onnx-qnn", "litert-qualcomm", "litert-ethos-u", "executorch-ethos-u"} <= rows.keys()
    for row, target in zip(done.report["targets"], targets, strict=True):
        assert row["parity"]["mode"] == MODES[target.execution], row
        assert row["delegation"]["macs_by_unit"]["npu"] == row["delegation"]["macs"]
        assert row["compile_peak_bytes"] > 100_000_000
    for family in ("executorch-qnn", "onnx-qnn"):
        check_row(rows[family], families()[family][0], tmp_path / "out", "real: 1")
        assert rows[family]["parity"]["task"]["value"] >= 0.97


@pytest.mark.slow
def test_a_repeated_npu_build_comes_from_the_cache_and_signs_the_same(edge, tmp_path):
    command = ["deploy", "selfie-segmentation", "--target", "onnx-qnn:SM8650", "--precision", "fp16", "--launches", 0]
    first, second = (edge(*command, "--out", tmp_path / name, "--json") for name in ("a", "b"))
    assert (first.code, second.code) == (0, 0), first.stderr
    assert [row["cached"] for row in second.report["targets"]] == [True]
    signatures = {read_manifest(tmp_path / name / "onnx-qnn-SM8650@fp16").manifest.signature for name in ("a", "b")}
    assert len(signatures) == 1
    assert "" not in signatures


@pytest.mark.slow
def test_a_chip_that_nobody_knows_is_refused(edge, tmp_path):
    done = edge("deploy", "selfie-segmentation", "--target", "executorch-qnn:SM9999", "--out", tmp_path / "out")
    assert done.code == 2
    assert "unknown target 'executorch-qnn:SM9999'" in done.last_line


@pytest.mark.slow
def test_a_requirement_that_is_not_met_names_the_offenders(edge, tmp_path):
    (tmp_path / "own.py").write_text(
        "import torch\nfrom torch import nn\n\nclass Sums(nn.Module):\n    def forward(self, x):\n"
        "        return torch.erf(torch.relu(x))\n\ndef build():\n    return Sums()\n"
    )
    options = ["--input", "x=1x3x8x8", "--target", "executorch-qnn:SM8650", "--precision", "fp16", "--launches", 0]
    done = edge("deploy", "own.py:build", *options, "--require-unit", "npu=100", "--out", tmp_path / "out", "--json")
    assert done.code == 4, done.stderr
    [row] = done.report["targets"]
    assert row["parity"]["passed"]
    assert "1 × aten.erf on cpu" in row["unmet"][0]
    [refused] = row["delegation"]["rejected"]
    assert (refused["op"], refused["count"]) == ("aten.erf", 1)
    assert refused["reason"]
