"""One artifact against eager PyTorch: run it, match its tensors, measure every stretch."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from convert.bisect.match import Match, Walk, arrangements, match_taps, own_error
from convert.bisect.network import Network, Stretch
from convert.bisect.policy import FLOORS, OwnError, allowance, first_divergence
from convert.bisect.records import Row, Side
from convert.bisect.reproducer import write_reproducer
from convert.bisect.twin import TWINS, reference_program, twin_taps
from convert.calibration import calibration_inputs
from convert.delegation import count_macs, operator_name
from convert.passes import optimize
from convert.program import Program, load_program
from convert.reference import Arrays, Reference, Sample, read_reference
from convert.targets import TARGETS
from convert.verify import relayout
from edge.artifact import Artifact, read_manifest
from edge.errors import UsageError
from edge.runtimes._taps import READERS, Tap, Taps, read_taps, relative_difference

MAX = sys.float_info.max  # JSON has no infinity
_PASSES_KEEP = 1e-3  # of the rms: what the passes may change in an output
SQNR_CAP_DB = 200.0


def trace_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Trace the payload's artifact; the child-process side of `edge bisect`.

    `compiled_from` names a prepared folder whose program the artifact was made from, if that is not the right one.
    """
    artifact = read_manifest(Path(payload["artifact"]))
    prepared, folder = Path(payload["prepared"]), Path(payload["folder"])
    program = load_program(prepared)
    manifest = artifact.manifest
    if TARGETS[manifest.target].measures(manifest.precision):
        program = replace(program, calibration=calibration_inputs(prepared))
    sample = _sample(read_reference(prepared), Path(payload["image"]) if payload["image"] else None)
    wrong = payload.get("compiled_from")
    other = replace(load_program(Path(wrong)), calibration=program.calibration) if wrong else None
    side = trace(artifact, program, sample, folder, compiled_from=other)
    result: dict[str, Any] = msgspec.to_builtins(side)
    return {"side": result, "inputs": sample.image.name if sample.image else "seeded random numbers"}


def trace(
    artifact: Artifact, program: Program, sample: Sample, folder: Path, *, compiled_from: Program | None = None
) -> Side:
    """Compare an artifact with eager PyTorch on one sample, operator by operator.

    Writes tensors.npz, the matched tensors by operator, and the reproducer of a divergence into `folder`. Compilers
    whose artifacts are opaque compile a twin with more outputs from `compiled_from`, or else from `program`. Raises
    UsageError for a program of another model, Unexecutable for an artifact that cannot be looked into.
    """
    manifest = artifact.manifest
    optimized = optimize(program, manifest.target.partition(":")[0], manifest.precision)
    contract = optimized.contract
    if len(manifest.inputs) != len(contract.inputs) or len(manifest.outputs) != len(contract.outputs):
        raise UsageError(f"{artifact.root} has other inputs and outputs than {program.name}; pass its own model")
    reference = reference_program(optimized, manifest.target, manifest.precision)
    network = Network(reference, [torch.from_numpy(sample.inputs[spec.name]) for spec in contract.inputs])
    given = {
        spec.name: relayout(sample.inputs[own.name], own.layout, spec.layout)
        for spec, own in zip(manifest.inputs, contract.inputs, strict=True)
    }
    taps = _taps(artifact, compiled_from or program, given)
    outputs = _outputs(artifact, network, taps, program)
    free = [tap for tap in taps.taps if not any(_equal(tap, match) for match in outputs.values())]
    walk = match_taps(network, free, outputs, manifest.precision)
    side, stretches = _side(artifact, network, walk, replace(taps, taps=tuple(free)))
    side = msgspec.structs.replace(side, notes=(*side.notes, *_passes_differ(network, contract.outputs, sample)))
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "tensors.npz", allow_pickle=False, **{node.name: match.value for node, match in walk.matches.items()}
    )
    if side.first is not None:
        write_reproducer(folder / "reproducer", network, stretches[side.first], walk.matches, side.rows[side.first])
    return side


def _taps(artifact: Artifact, program: Program, inputs: Arrays) -> Taps:
    family = artifact.manifest.target.partition(":")[0]
    if family not in READERS and family in TWINS:
        return twin_taps(artifact, program, inputs)
    return read_taps(artifact, inputs)


def _sample(reference: Reference, image: Path | None) -> Sample:
    if image is None:
        return reference.shown or reference.samples[0]
    from convert.prepare import make_samples

    header = reference.header
    [sample] = make_samples(header.contract, header.name, [image])
    return replace(sample, image=image)


def _outputs(artifact: Artifact, network: Network, taps: Taps, program: Program) -> dict[Any, Match]:
    found: dict[Any, Match] = {}
    last = len(taps.operators)
    for spec, own, node in zip(artifact.manifest.outputs, program.contract.outputs, network.outputs, strict=True):
        value = relayout(taps.outputs[spec.name], spec.layout, own.layout)
        right = network.values[node]
        if tuple(right.shape) != value.shape:
            raise UsageError(f"output {spec.name} is {list(value.shape)}, {program.name}'s is {list(right.shape)}")
        steps = [tap.step for tap in taps.taps if tap.step and tap.value.size == value.size]
        same = [tap for tap in taps.taps if tap.value.size == value.size and tap.name == spec.name]
        kind = same[0].kind if same else "output"
        found.setdefault(node, Match(Tap(spec.name, last, kind, value, min(steps, default=0.0)), value, "output"))
    return found


def _equal(tap: Tap, match: Match) -> bool:
    if tap.value.size != match.value.size:
        return False
    if tap.name == match.tap.name:  # of the same file under another optimization
        return True
    return any(
        np.array_equal(value.astype(np.float64), match.value.astype(np.float64), equal_nan=True)
        for value in arrangements(tap.value, match.value.shape)
    )


def _side(artifact: Artifact, network: Network, walk: Walk, taps: Taps) -> tuple[Side, list[Stretch]]:
    manifest = artifact.manifest
    rows: list[Row] = []
    errors: list[OwnError] = []
    stretches: list[Stretch] = []
    known = dict.fromkeys(walk.matches)
    for node in sorted(walk.matches, key=network.order.__getitem__):
        stretch = network.stretch(node, known)
        error = _own(network, walk, stretch)
        stretches.append(stretch)
        errors.append(error)
        rows.append(_row(network, walk.matches[node], stretch, error))
    first = first_divergence(errors, manifest.precision)
    used = {id(match.tap) for match in walk.matches.values()}
    matched = set(walk.matches)
    side = Side(
        artifact=str(artifact.root),
        target=manifest.target,
        precision=manifest.precision,
        mode=taps.mode,
        rows=tuple(rows),
        unmatched=tuple(f"{tap.name} ({tap.kind})" for tap in taps.taps if id(tap) not in used),
        hidden=tuple(node.name for node in network.tensors() if node not in matched),
        allowance=allowance(errors, manifest.precision) if errors else FLOORS[manifest.precision],
        first=first,
        notes=taps.notes,
    )
    return side, stretches


def _own(network: Network, walk: Walk, stretch: Stretch) -> OwnError:
    """Measure a stretch's result on the artifact's own tensors; its inputs' size bounds what cancellation may hide."""
    match = walk.matches[stretch.result]
    reach = 0.0
    for node in stretch.inputs:
        value = walk.matches[node].value if node in walk.matches else network.values[node].numpy()
        if value.dtype.kind == "f" and value.size:
            with np.errstate(all="ignore"):
                reach = max(reach, float(np.sqrt(np.mean(value.astype(np.float64) ** 2))))
    return own_error(
        match.value, walk.own[stretch.result].numpy(), match.tap.step, reach if math.isfinite(reach) else 0
    )


def _row(network: Network, match: Match, stretch: Stretch, error: OwnError) -> Row:
    right = network.values[stretch.result].numpy()
    accumulated = relative_difference(match.value, right)
    return Row(
        depth=network.order[stretch.result],
        node=_headline(stretch).name,
        op=operator_name(_headline(stretch)),
        shape=tuple(right.shape),
        tap=match.tap.name,
        kind=match.tap.kind,
        how=match.how,
        accumulated=min(accumulated, MAX),
        sqnr_db=_sqnr_db(accumulated),
        own=min(error.relative, MAX),
        excess=min(error.excess, MAX),
        stretch=tuple(node.name for node in stretch.operators),
    )


def _headline(stretch: Stretch) -> Any:
    """Return the operator that a stretch is called after: the one with the most arithmetic, or the last."""
    heaviest = max(stretch.operators, key=count_macs)
    return heaviest if count_macs(heaviest) else stretch.result


def _sqnr_db(relative: float) -> float:
    if relative == 0:
        return SQNR_CAP_DB
    return -SQNR_CAP_DB if not math.isfinite(relative) else float(np.clip(-20 * math.log10(relative), -200, 200))


def _passes_differ(network: Network, specs: Any, sample: Sample) -> tuple[str, ...]:
    """Note where the rewritten program itself is not what the model answers, which no compiler is to blame for."""
    notes = []
    for spec, node in zip(specs, network.outputs, strict=True):
        wanted: NDArray[Any] | None = sample.outputs.get(spec.name)
        if wanted is not None:
            error = relative_difference(network.values[node].numpy(), wanted)
            if error > _PASSES_KEEP:
                notes.append(f"the kit's own passes change output {spec.name} by {error:.2g} of its rms")
    return tuple(notes)
