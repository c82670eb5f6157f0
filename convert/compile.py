"""Program → artifact folder: run one target's compile function and write the manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from convert.calibration import calibration_inputs
from convert.calibration_checks import check_activations
from convert.passes import optimize
from convert.program import Program, load_program, program_digest
from convert.targets import TARGETS, Compiled, Target
from edge.artifact import Artifact, Manifest, encode_json, list_files, write_atomic, write_manifest
from edge.codebooks import CODEBOOK, codebook_bytes, codebook_name
from edge.delegation import DELEGATION, DelegationReport, summarize
from quant.recipe import Recipe


def compile_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Compile the program of a prepared folder; the child-process side of `compile_program`."""
    prepared = Path(payload["prepared"])
    program = load_program(prepared)
    if TARGETS[payload["target"]].measures(payload["precision"]):
        program = replace(program, calibration=calibration_inputs(prepared))
        check_activations(program)
    program = replace(program, recipe=msgspec.convert(payload["recipe"], Recipe))
    artifact = compile_program(program, payload["target"], payload["precision"], Path(payload["folder"]))
    return {"files": [entry.name for entry in artifact.manifest.files]}


def compile_program(program: Program, target_id: str, precision: str, folder: Path) -> Artifact:
    """Compile a program for a target into `folder` and write its manifest, parity still open."""
    target = TARGETS[target_id]
    target.check(precision, program.contract.task)
    folder.mkdir(parents=True, exist_ok=True)
    program = optimize(program, target.family, precision)
    compiled = target.compile(program, precision, folder)
    contract = program.contract
    if compiled.operators:
        report = DelegationReport(target=target_id, operators=compiled.operators)
        write_atomic(folder / DELEGATION, encode_json(report))
    if codebook_name(contract.postprocess):
        write_atomic(folder / CODEBOOK, codebook_bytes(contract.postprocess))
    files = list_files(folder)
    ram_bytes = compiled.needs.ram_bytes or sum(entry.bytes for entry in files)
    manifest = Manifest(
        model=program.name,
        task=contract.task,
        target=target_id,
        precision=precision,
        files=files,
        inputs=compiled.inputs,
        outputs=compiled.outputs,
        steps=(*program.steps, *compiled.steps),
        source=program.source,
        needs=msgspec.structs.replace(compiled.needs, ram_bytes=ram_bytes),
        preprocess=contract.preprocess,
        postprocess=contract.postprocess,
        labels=contract.labels,
        delegation=summarize(compiled.operators, compiled.rejected) if compiled.operators else None,
        estimates=dict(compiled.estimates),
        signature=_signature(program, target, precision, compiled),
    )
    return write_manifest(folder, manifest)


def _signature(program: Program, target: Target, precision: str, compiled: Compiled) -> str:
    """Return a key of what the artifact computes and where: vendors' compilers write other bytes at every run."""
    calibration = [values.tobytes() for inputs in program.calibration for _, values in sorted(inputs.items())]
    return program_digest(
        program,
        target.id,
        precision,
        str(compiled.operators),
        str(compiled.steps),
        str(program.recipe),
        hashlib.sha256(b"".join(calibration)).hexdigest(),
    )
