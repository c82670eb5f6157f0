"""What the eager fp32 model finds in a set of pictures, kept beside the program: the yardstick of evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock

from convert.header import read_header
from edge.artifact import file_digest, write_atomic
from edge.contract import image_contract, takes_image
from edge.errors import UsageError
from edge.images import read_image
from edge.jobs import Job, progressing, run_job
from edge.packed import pack, unpack
from edge.store import content_key
from edge.tasks import TASKS, Prediction, Region

EXPECT_TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True)
class Expected:
    """One picture, the region in it that a landmark model is shown, and the eager model's result."""

    image: Path
    region: Region | None
    result: Prediction


class _Record(msgspec.Struct, frozen=True):
    """A picture's position in the set, its region, and its packed result."""

    index: int
    region: Region | None
    result: bytes


def expectations(prepared: Path, pictures: Sequence[Path], log: Path) -> tuple[Expected, ...]:
    """Return what the eager model of a prepared folder finds in pictures; those without a result are left out.

    The first call for a set runs the model in a child process. Raises UsageError if the model takes no pictures,
    InputError for one that cannot be read.
    """
    contract = read_header(prepared).contract
    if not takes_image(contract):
        raise UsageError(f"{read_header(prepared).name} does not take one colour picture: there is nothing to evaluate")
    key = content_key(*(file_digest(path) for path in pictures))
    path = prepared / f"expected-{key}.msgpack"
    with FileLock(prepared / f".expected-{key}.lock"):
        if not path.is_file():
            payload = {"prepared": str(prepared), "pictures": [str(p.resolve()) for p in pictures], "path": str(path)}
            run_job(Job(function="convert.expect:expect_job", payload=payload, log=log, timeout_s=EXPECT_TIMEOUT_S))
    kind = TASKS[contract.task].result
    records = msgspec.msgpack.decode(path.read_bytes(), type=list[_Record])
    return tuple(Expected(pictures[r.index], r.region, unpack(r.result, kind)) for r in records)


def expect_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Run the eager model on pictures and write what it finds; the child-process side of `expectations`."""
    import torch

    from convert.export import flatten
    from convert.prepare import find_region, wants_person
    from convert.program import load_program

    program = load_program(Path(payload["prepared"]))
    contract, module = image_contract(program.contract), program.exported.module()
    task, person = TASKS[contract.task], wants_person(program.name, contract)
    records = []
    for index, picture in enumerate(progressing(payload["pictures"], f"{program.name}: eager")):
        image = read_image(Path(picture))
        region = find_region(program.name, image) if person else None
        if person and region is None:
            continue
        region = region if task.needs_region else None
        inputs, frame = task.prepare(image, contract, region)
        with torch.no_grad():
            outputs = flatten(module(*(torch.from_numpy(inputs[spec.name]) for spec in contract.inputs)))
        named = {spec.name: tensor.numpy() for spec, tensor in zip(contract.outputs, outputs, strict=True)}
        result = task.decode(named, contract, frame)
        if not getattr(result, "empty", False):
            records.append(_Record(index, region, pack(result)))
    write_atomic(Path(payload["path"]), msgspec.msgpack.encode(records))
    return {"count": len(records)}
