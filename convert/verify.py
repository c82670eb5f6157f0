"""Artifact + reference → Parity: execute what was compiled and compare it with the eager fp32 model."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from convert.reference import Arrays, Reference, Sample, read_reference
from edge.artifact import Artifact, OutputParity, Parity, TaskParity, read_manifest, write_manifest
from edge.contract import Contract, Layout, TensorSpec
from edge.errors import Unexecutable
from edge.images import read_image, write_image
from edge.runtimes import Session, open_session
from edge.tasks import TASKS, Prediction
from edge.zoo import DEFAULT_LIMITS, MODELS, Limits

PSNR_CAP_DB = 200.0  # identical tensors; JSON has no infinity


def verify_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Verify one artifact folder, write its manifest and preview; the child-process side of `verify`."""
    artifact = read_manifest(Path(payload["artifact"]))
    reference = read_reference(Path(payload["prepared"]))
    preview = Path(payload["preview"]) if payload.get("preview") else None
    if artifact.manifest.precision != "fp32":
        reference = reference.meaningful()
    limits = limits_for(artifact.manifest.model, artifact.manifest.precision)
    parity = verify(artifact, reference, limits, preview=preview)
    if payload.get("write", True):
        write_manifest(artifact.root, msgspec.structs.replace(artifact.manifest, parity=parity))
    result: dict[str, Any] = msgspec.to_builtins(parity)
    return result


def limits_for(model: str, precision: str) -> Limits:
    """Return the error limits that a model and a precision set."""
    table = MODELS[model].limits if model in MODELS else DEFAULT_LIMITS
    return table[precision]


def verify(artifact: Artifact, reference: Reference, limits: Limits, *, preview: Path | None = None) -> Parity:
    """Run an artifact on the reference's inputs and measure its error; draw the first picture into `preview`."""
    try:
        session = open_session(artifact)
        answers = [run_sample(session, artifact, reference.header.contract, sample) for sample in reference.samples]
    except Unexecutable as error:
        return Parity(passed=False, mode="unverified", inputs=reference.inputs_kind, reason=str(error))
    outputs = tuple(_compare(spec, answers, reference.samples, limits) for spec in reference.header.contract.outputs)
    task = _compare_task(session, answers, reference, limits, preview)
    reasons = [*_output_failures(outputs), *_task_failures(task)]
    if task is None and limits.task.get(TASKS[reference.header.contract.task].metric) and reference.shown is not None:
        reasons.append("no picture shows anything that the task's metric compares; give others with --data")
    note = getattr(session, "note", "")  # what a reference run does and does not show
    return Parity(
        passed=not reasons,
        mode=session.mode,
        inputs=reference.inputs_kind,
        outputs=outputs,
        task=task,
        reason="; ".join([*reasons, *([note] if note else [])]),
    )


def relayout(array: NDArray[Any], have: Layout, want: Layout) -> NDArray[Any]:
    """Permute a 4-axis array between NCHW and NHWC; other arrays pass through."""
    if have == want or "" in (have, want):
        return array
    axes = (0, 3, 1, 2) if want == "NCHW" else (0, 2, 3, 1)
    return np.ascontiguousarray(array.transpose(axes))


def run_sample(session: Session, artifact: Artifact, contract: Contract, sample: Sample) -> Arrays:
    """Run an artifact on a sample's inputs and return its outputs as the contract names and lays them out."""
    manifest = artifact.manifest
    inputs = {
        spec.name: relayout(sample.inputs[spec.name], own.layout, spec.layout)
        for spec, own in zip(manifest.inputs, contract.inputs, strict=True)
    }
    outputs = session.run(inputs)
    return {
        own.name: relayout(outputs[spec.name], spec.layout, own.layout)
        for spec, own in zip(manifest.outputs, contract.outputs, strict=True)
    }


def _compare(spec: TensorSpec, answers: list[Arrays], samples: tuple[Sample, ...], limits: Limits) -> OutputParity:
    got = np.stack([answer[spec.name] for answer in answers]).astype(np.float64)
    want = np.stack([sample.outputs[spec.name] for sample in samples]).astype(np.float64)
    return compare_arrays(spec.name, got, want, limits)


def compare_arrays(name: str, got: NDArray[Any], want: NDArray[Any], limits: Limits) -> OutputParity:
    """Measure max abs error, PSNR over the reference's range (dB) and cosine similarity.

    Values that are not finite count as the largest error there is.
    """
    scale = float(np.abs(want).max(initial=0.0))
    known: dict[str, Any] = {"name": name, "scale": scale, "limit": limits.relative, "limit_psnr_db": limits.psnr_db}
    if not np.isfinite(got).all():
        return OutputParity(max_abs=sys.float_info.max, psnr_db=0.0, cosine=0.0, **known)
    error = np.abs(got - want)
    rmse = float(np.sqrt(np.mean(error**2)))
    spread = float(want.max() - want.min()) or scale or 1.0
    psnr = PSNR_CAP_DB if rmse == 0 else min(PSNR_CAP_DB, 20 * float(np.log10(spread / rmse)))
    norms = float(np.linalg.norm(got) * np.linalg.norm(want))
    cosine = float(np.vdot(got, want)) / norms if norms else float(rmse == 0)
    return OutputParity(max_abs=float(error.max(initial=0.0)), psnr_db=psnr, cosine=cosine, **known)


def _compare_task(
    session: Session, answers: list[Arrays], reference: Reference, limits: Limits, preview: Path | None
) -> TaskParity | None:
    contract = reference.header.contract
    task = TASKS[contract.task]
    pairs: list[tuple[Prediction, Prediction]] = []
    shown = reference.shown
    for answer, sample in zip(answers, reference.samples, strict=True):
        if sample.image is None or sample.frame is None or not task.metric:
            continue
        expected = task.decode(sample.outputs, contract, sample.frame)
        result = predict(session, answer, contract, sample, expected)
        if not getattr(expected, "empty", False):
            pairs.append((result, expected))
        if sample is shown and preview is not None:
            write_image(preview, task.draw(read_image(sample.image), result))
    if not pairs:
        return None
    return TaskParity(metric=task.metric, value=task.compare_all(pairs), limit=limits.task.get(task.metric, task.limit))


def predict(session: Session, answer: Arrays, contract: Contract, sample: Sample, expected: Prediction) -> Prediction:
    """Decode the outputs, or let a runtime that runs the whole task answer for the picture itself.

    A pose bundle answers with landmarks whichever of its two models was deployed; for the detector that shows that
    the bundle runs, and its own outputs are decoded for the comparison.
    """
    if sample.image is None or sample.frame is None:
        raise ValueError("only samples of pictures are decoded")
    predict = getattr(session, "predict", None)
    if predict is not None:
        prediction: Prediction = predict(read_image(sample.image))
        if type(prediction) is type(expected):
            return prediction
    return TASKS[contract.task].decode(answer, contract, sample.frame)


def _output_failures(outputs: tuple[OutputParity, ...]) -> list[str]:
    return [
        f"output {output.name}: max abs error {output.max_abs:.3g} is over "
        f"{output.limit:g} × its scale {output.scale:.3g} (PSNR {output.psnr_db:.1f} dB)"
        for output in outputs
        if not within_limits(output)
    ]


def within_limits(output: OutputParity) -> bool:
    """Say whether an output's largest error, or its PSNR where that has a limit, is good enough."""
    near = output.max_abs <= output.limit * (output.scale or 1.0)  # false for NaN
    return near or (output.limit_psnr_db is not None and output.psnr_db >= output.limit_psnr_db)


def _task_failures(task: TaskParity | None) -> list[str]:
    if task is None or task.value >= task.limit:
        return []
    return [f"{task.metric} {task.value:.4f} is under {task.limit:g}"]


def draw_reference(reference: Reference, preview: Path) -> None:
    """Draw the eager model's result on the first picture; writes nothing for inputs that are no pictures."""
    contract = reference.header.contract
    sample = reference.shown
    if sample is None or sample.image is None or sample.frame is None:
        return
    task = TASKS[contract.task]
    write_image(preview, task.draw(read_image(sample.image), task.decode(sample.outputs, contract, sample.frame)))
