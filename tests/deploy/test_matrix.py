"""Every model of the zoo to every target: made, executed, compared. Parametrised by the registries."""

import json

import jsonschema
import pytest
import torch

from convert.targets import families
from edge.artifact import check_files, manifest_schema, read_manifest
from edge.report.records import report_schema
from edge.zoo import MODELS

MODES = {"reference": "reference", "native": "native", "emulated": "emulated", "no": "unverified"}
# Siblings of models that `make test` takes to every target; `make test-all` takes these there too.
SIBLINGS = ("blazepose-heavy", "blazepose-lite", "deeplabv3-mobilenet-v3-large", "selfie-segmentation-landscape")
EVERY = [pytest.param(name, marks=pytest.mark.full if name in SIBLINGS else pytest.mark.slow) for name in MODELS]


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


def targets_for(name):
    task = MODELS[name].contract.task
    first = [members[0] for members in families().values()]
    return [target for target in first if target.status() == "ready" and (not target.tasks or task in target.tasks)]


def deploy_everywhere(edge, name, precision, options, out):
    targets = [target for target in targets_for(name) if precision in target.precisions]
    flags = [flag for target in targets for flag in ("--target", target.id)]
    done = edge("deploy", name, *options, *flags, "--precision", precision, "--launches", 0, "--out", out, "--json")
    assert done.code == 0, done.stderr
    report = done.report
    jsonschema.validate(report, report_schema())
    assert len(report["targets"]) == len(targets)
    for row, target in zip(report["targets"], targets, strict=True):
        check_row(row, target, out, report["inputs"])
    assert (out / "report.html").stat().st_size > 2000


def check_row(row, target, out, inputs):
    assert row["status"] == "ok", row
    assert row["parity"]["passed"] == (target.execution != "no"), row["parity"]
    assert row["parity"]["mode"] == MODES[target.execution]
    assert row["parity"]["inputs"] == inputs
    artifact = read_manifest(out / row["folder"])
    check_files(artifact)
    jsonschema.validate(json.loads((artifact.root / "manifest.json").read_text()), manifest_schema())
    assert artifact.manifest.parity is not None
    assert (out / row["preview"]).is_file() == (target.execution != "no")


@pytest.mark.parametrize("name", EVERY)
def test_a_model_reaches_every_target_in_fp32(edge, checkpoint, tmp_path, name):
    deploy_everywhere(edge, name, "fp32", checkpoint(name), tmp_path / "out")


@pytest.mark.full
@pytest.mark.parametrize("name", list(MODELS))
def test_a_model_reaches_every_target_in_fp16(edge, checkpoint, tmp_path, name):
    deploy_everywhere(edge, name, "fp16", checkpoint(name), tmp_path / "out")


@pytest.mark.slow
def test_the_smallest_model_reaches_every_target_in_fp16(edge, tmp_path):
    deploy_everywhere(edge, "selfie-segmentation", "fp16", [], tmp_path / "out")
