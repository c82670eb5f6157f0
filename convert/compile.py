"""Program → artifact folder: run one target's compile function and write the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from convert.passes import optimize
from convert.program import Program, load_program
from convert.targets import TARGETS
from edge.artifact import Artifact, Manifest, list_files, write_manifest


def compile_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Compile the program of a prepared folder; the child-process side of `compile_program`."""
    program = load_program(Path(payload["prepared"]))
    artifact = compile_program(program, payload["target"], payload["precision"], Path(payload["folder"]))
    return {"files": [entry.name for entry in artifact.manifest.files]}


def compile_program(program: Program, target_id: str, precision: str, folder: Path) -> Artifact:
    """Compile a program for a target into `folder` and write its manifest, parity still open."""
    target = TARGETS[target_id]
    target.check(precision, program.contract.task)
    folder.mkdir(parents=True, exist_ok=True)
    program = optimize(program, target.runtime)
    compiled = target.compile(program, precision, folder)
    contract = program.contract
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
        delegation=compiled.delegation,
    )
    return write_manifest(folder, manifest)
