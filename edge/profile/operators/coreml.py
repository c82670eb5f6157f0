"""Core ML's own plan on a Mac: MLComputePlan names every operation's unit and its share of the estimated cost.

Written from coremltools 9.0's interface and never executed by this project, which has no Mac. The plan holds weights,
not times: they are spread over an inference that is timed beside it, and the pass is marked as an estimate.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edge.artifact import Artifact, read_manifest
from edge.delegation import Unit
from edge.errors import MissingError, Refused, TargetError
from edge.profile.inputs import read_inputs
from edge.profile.operators import Found, Site, operators
from edge.profile.operators._inputs import launch_all
from edge.profile.operators._samples import Launch, Row

_RUNS = 20
_UNITS: dict[str, Unit] = {
    "MLNeuralEngineComputeDevice": "npu", "MLGPUComputeDevice": "gpu", "MLCPUComputeDevice": "cpu",
}  # fmt: skip
_CONSTANTS = ("const", "constexpr_")


@operators("coreml", devices=("host",))
def profile_coreml(artifact: Artifact, site: Site) -> Found:
    """Read the plan of an `.mlpackage` and time whole predictions; raises Refused off a Mac."""
    if sys.platform != "darwin":
        raise Refused(
            f"Core ML tells where operators of {artifact.manifest.target} run on a Mac only "
            "(MLComputePlan, macOS 14.4); this machine is none"
        )
    launches = launch_all("edge.profile.operators.coreml:launch_job", artifact, site)
    remark = "Core ML tells relative costs: they are spread over the measured time of a prediction"
    return Found(tool="Core ML MLComputePlan", launches=tuple(launches), estimated=True, remarks=(remark,))


def launch_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Compile the package, read its plan and time predictions; return a Launch."""
    try:
        import coremltools
        from coremltools.models.compute_plan import MLComputePlan
    except ImportError as error:
        raise MissingError(
            f"coremltools cannot be imported ({error}): pip install 'edge-deployment-kit[coreml]'"
        ) from None
    artifact = read_manifest(Path(payload["artifact"]))
    inputs = read_inputs(artifact, payload["inputs"])
    package = artifact.file(".mlpackage")
    model = coremltools.models.MLModel(str(package), compute_units=coremltools.ComputeUnit.ALL)
    plan = MLComputePlan.load_from_path(path=model.get_compiled_model_path(), compute_units=coremltools.ComputeUnit.ALL)
    taken_us = [_prediction_us(model, inputs) for _ in range(_RUNS + 3)][3:]
    return dict(msgspec.to_builtins(table(_operations(plan), taken_us)))


def _prediction_us(model: Any, inputs: Mapping[str, Any]) -> float:
    start_ns = time.perf_counter_ns()
    model.predict(dict(inputs))
    return (time.perf_counter_ns() - start_ns) / 1e3


def _operations(plan: Any) -> list[tuple[str, str, str, float]]:
    """Return (result, operator, class of the preferred device, weight) of the main function's operations."""
    program = plan.model_structure.program
    if program is None:
        raise TargetError("Core ML's plan has no ML program; only .mlpackage programs are planned per operation")
    found = []
    for operation in program.functions["main"].block.operations:
        usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
        cost = plan.get_estimated_cost_for_mlprogram_operation(operation)
        if operation.operator_name.startswith(_CONSTANTS) or usage is None:
            continue
        name = operation.outputs[0].name if operation.outputs else operation.operator_name
        device = type(usage.preferred_compute_device).__name__
        found.append((name, operation.operator_name, device, float(cost.weight) if cost else 0.0))
    return found


def table(planned: list[tuple[str, str, str, float]], taken_us: list[float]) -> Launch:
    """Return the operations with their part of every prediction's time, by weight; raises TargetError without any."""
    total = sum(weight for *_, weight in planned)
    if total <= 0:
        raise TargetError("Core ML's plan gives no operation a cost")
    rows = tuple(
        Row(
            name=name,
            type=kind,
            unit=_UNITS.get(device, "unknown"),
            backend="Core ML",
            us=tuple(weight / total * whole for whole in taken_us),
        )
        for name, kind, device, weight in planned
    )
    return Launch(rows=rows, whole_us=tuple(taken_us))
