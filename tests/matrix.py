"""What the tests over the registries share: which targets a model goes to, and what every row of a report holds."""

import json

import jsonschema

from convert.keypoints import takes_keypoints
from convert.targets import families
from edge.artifact import check_files, manifest_schema, read_manifest
from edge.contract import takes_image
from edge.report.records import report_schema
from edge.zoo import MODELS

MODES = {"reference": "reference", "native": "native", "emulated": "emulated", "no": "unverified"}
SMALLEST = "selfie-segmentation"


def targets_for(name, units=("cpu", "gpu", "npu")):
    """Return one target a family: the others of a family differ in the chip alone."""
    task = MODELS[name].contract.task
    first = [members[0] for members in families().values() if members[0].unit in units]
    return [target for target in first if target.status() == "ready" and (not target.tasks or task in target.tasks)]


def deploy_everywhere(edge, name, precision, options, out):
    deploy_to(edge, name, precision, options, out, [t for t in targets_for(name) if precision in t.precisions])


def deploy_to(edge, name, precision, options, out, targets):
    flags = [flag for target in targets for flag in ("--target", target.id)]
    done = edge(
        "deploy",
        name,
        *options,
        *flags,
        "--precision",
        precision,
        "--launches",
        0,
        "--out",
        out,
        "--json",
        timeout=3000,
    )
    assert done.code == 0, done.stderr
    report = done.report
    jsonschema.validate(report, report_schema())
    assert len(report["targets"]) == len(targets)
    pictured = takes_image(MODELS[name].contract) or takes_keypoints(MODELS[name].contract)
    for row, target in zip(report["targets"], targets, strict=True):
        # Below fp32 only pictures that show what the model is made for count.
        judged = report["inputs"] if precision == "fp32" else row["parity"]["inputs"]
        assert judged.startswith("real: " if pictured else "random: ")
        check_row(row, target, out, judged, pictured=pictured)
    assert (out / "report.html").stat().st_size > 2000


def check_row(row, target, out, inputs, *, pictured=True):
    assert row["status"] == "ok", row
    assert row["parity"]["passed"] == (target.execution != "no"), row["parity"]
    assert row["parity"]["mode"] == MODES[target.execution]
    assert row["parity"]["inputs"] == inputs
    artifact = read_manifest(out / row["folder"])
    check_files(artifact)
    jsonschema.validate(json.loads((artifact.root / "manifest.json").read_text()), manifest_schema())
    assert artifact.manifest.parity is not None
    drawn = bool(row["preview"]) and (out / row["preview"]).is_file()
    assert drawn == (pictured and target.execution != "no")
