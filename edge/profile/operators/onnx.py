"""ONNX Runtime's session profile: every node's kernel time, its provider and the shapes it met."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge.artifact import Artifact, read_manifest
from edge.delegation import Operator, Unit, read_delegation
from edge.errors import InputError, TargetError
from edge.profile.inputs import read_inputs
from edge.profile.operators import Found, Site, operators
from edge.profile.operators._inputs import launch_all, refuse_prefix
from edge.profile.operators._interleave import interleave
from edge.profile.operators._onnx_costs import costs
from edge.profile.operators._samples import Launch, Row
from edge.profile.operators._sources import source_names

_KERNEL = "_kernel_time"
_RUN = "model_run"
_NUMBERED = re.compile(r"_token_\d+$")  # of nodes that the runtime inserts: another number in every process
_UNITS: dict[str, Unit] = {
    "CPUExecutionProvider": "cpu", "XnnpackExecutionProvider": "cpu", "DnnlExecutionProvider": "cpu",
    "QNNExecutionProvider": "npu", "VitisAIExecutionProvider": "npu", "RknpuExecutionProvider": "npu",
    "CUDAExecutionProvider": "gpu", "TensorrtExecutionProvider": "gpu", "DmlExecutionProvider": "gpu",
    "WebGpuExecutionProvider": "gpu", "JsExecutionProvider": "gpu", "ROCMExecutionProvider": "gpu",
}  # fmt: skip  # NNAPI, Core ML and OpenVINO choose a unit themselves and do not say which: unknown


class Event(msgspec.Struct, frozen=True):
    """One entry of the profile, in microseconds; unknown keys are passed over."""

    cat: str = ""
    name: str = ""
    dur: float = 0.0
    ts: float = 0.0
    args: dict[str, Any] = {}


def parse(content: bytes) -> tuple[list[float], list[list[Event]]]:
    """Return every run's time, and its nodes in order of execution, from a profile of one session.

    Raises InputError for a file that is no profile, or whose runs made different nodes.
    """
    try:
        events = msgspec.json.decode(content, type=list[Event])
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InputError(f"this is no profile of ONNX Runtime: {error}") from None
    runs = sorted((event for event in events if event.cat == "Session" and event.name == _RUN), key=_start)
    nodes = sorted((event for event in events if event.cat == "Node" and event.name.endswith(_KERNEL)), key=_start)
    found: list[list[Event]] = [[] for _ in runs]
    place = 0
    for node in nodes:
        while place < len(runs) and node.ts >= runs[place].ts + runs[place].dur:
            place += 1
        if place < len(runs) and node.ts >= runs[place].ts:
            found[place].append(node)
    if found and any(len(nodes) != len(found[0]) for nodes in found):
        raise InputError("the runs of the profile made different nodes: the model has control flow")
    return [run.dur for run in runs], found


def _start(event: Event) -> float:
    return event.ts


def table(content: bytes, keep: Sequence[int] | None = None, delegated: Sequence[Operator] = ()) -> Launch:
    """Return the operators of a profile over the runs `keep` (all, if not given); raises InputError."""
    durations, runs = parse(content)
    chosen = [index for index in (keep if keep is not None else range(len(runs))) if index < len(runs)]
    if not chosen:
        raise InputError("the profile has none of the runs that are asked for")
    order = _ordered(runs, chosen)
    first = order[0]
    found = [costs(str(node.args.get("op_name", "")), node.args) for node in first]
    bases = [_NUMBERED.sub("", node.name.removesuffix(_KERNEL)) for node in first]
    sources = source_names(bases, [cost.macs for cost in found], delegated)
    begin = min((node.ts for node in first), default=0.0)
    exported = {operator.name: operator.macs for operator in delegated}
    found = [
        cost if cost.macs is not None else cost.told(exported.get(source, 0))
        for cost, source in zip(found, sources, strict=True)
    ]
    rows = tuple(
        Row(
            name=bases[index],
            type=str(node.args.get("op_name", "")) or "node",
            unit=_UNITS.get(str(node.args.get("provider", "")), "unknown"),
            backend=str(node.args.get("provider", "")),
            us=tuple(float(nodes[index].dur) for nodes in order),
            source=sources[index],
            start_us=float(node.ts - begin),
            flops=found[index].flops,
            bytes=found[index].bytes,
            dtype=found[index].dtype,
        )
        for index, node in enumerate(first)
    )
    return Launch(rows=rows, whole_us=tuple(durations[index] for index in chosen))


def _ordered(runs: Sequence[Sequence[Event]], chosen: Sequence[int]) -> list[list[Event]]:
    """Return the nodes of the chosen runs in the first one's order, which threads may change from run to run."""
    names = [node.name for node in runs[chosen[0]]]
    if len(set(names)) != len(names):
        return [list(runs[index]) for index in chosen]
    ordered = []
    for index in chosen:
        by_name = {node.name: node for node in runs[index]}
        if set(by_name) != set(names):
            raise InputError("the runs of the profile made different nodes")
        ordered.append([by_name[name] for name in names])
    return ordered


@operators("onnx", devices=("host",))
def profile_onnx(artifact: Artifact, site: Site) -> Found:
    """Time the nodes in ONNX Runtime's own profiler; raises MissingError without it, Refused off this machine."""
    launches = launch_all("edge.profile.operators.onnx:launch_job", artifact, site)
    return Found(tool="ONNX Runtime session profile", launches=tuple(launches), remarks=refuse_prefix(site))


def launch_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Run a session with the profiler and one without it by turns; return a Launch."""
    artifact = read_manifest(Path(payload["artifact"]))
    inputs = read_inputs(artifact, payload["inputs"])
    prefix = Path(payload["folder"]) / f"session-{payload['launch']}"
    seen, unseen = _open(artifact, prefix), _open(artifact, None)
    turns = interleave(lambda: seen.run(None, inputs), lambda: unseen.run(None, inputs))
    content = Path(seen.end_profiling()).read_bytes()
    launch = table(content, turns.kept, read_delegation(artifact.root).operators)
    complete = msgspec.structs.replace(launch, profiled_us=turns.profiled_us, plain_us=turns.plain_us)
    return dict(msgspec.to_builtins(complete))


def _open(artifact: Artifact, profile: Path | None) -> Any:
    from edge.runtimes.onnx import first_line, session_options
    from edge.runtimes.onnx_ternary import register

    options = session_options()
    if artifact.manifest.target.startswith("onnx-ternary"):
        register(options)
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    import onnxruntime

    path = artifact.file(".onnx")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        raise TargetError(f"ONNX Runtime cannot open {path} for its profile: {first_line(error)}") from error
