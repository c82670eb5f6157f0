"""Lower a quantized program to Ethos-U delegates and keep what the Arm backend says on the way."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.targets._executorch import lower
from convert.targets._vela import estimates, read_summary
from edge.errors import TargetError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_SHARED = ("sram_bytes", "dram_bytes", "clock_hz")


@dataclass(frozen=True, slots=True)
class VelaRun:
    """Keep one delegate's TOSA graph, what Vela made of it and Vela's summary."""

    tosa: bytes
    stream: bytes
    estimates: Mapping[str, float]  # Vela's, for one inference


@dataclass(frozen=True, slots=True)
class Lowering:
    """Keep a lowered program, its delegates, and why nodes were refused: name of the lowered node → reason."""

    manager: Any
    runs: tuple[VelaRun, ...]
    reasons: dict[str, str]


def lower_to_ethos_u(name: str, exported: ExportedProgram, spec: Any) -> Lowering:
    """Partition, lower to TOSA and compile with Vela; raises TargetError if any of them fails."""
    from executorch.backends.arm.ethosu import EthosUPartitioner
    from executorch.exir import EdgeCompileConfig

    for node in exported.graph.nodes:
        node.meta.pop("from_node", None)  # every later pass would copy the whole history again
    partitioner = EthosUPartitioner(spec)
    config = EdgeCompileConfig(_check_ir_validity=False)  # the quantized operators are not in the core set
    with _refusals(partitioner) as reporters, _recorded() as runs:
        manager = lower(name, exported, [partitioner], compile_config=config)
    reasons = {
        node.name: " ".join(reason.split())
        for reporter in reporters
        for node, reason in reporter._rejected_nodes.items()
        if node.op == "call_function"
    }
    return Lowering(manager, tuple(runs), reasons)


@contextlib.contextmanager
def _refusals(partitioner: Any) -> Iterator[list[Any]]:
    """Collect the reporters that the partitioner makes; it prints their tables, wrapped, to a log only."""
    reporters: list[Any] = []
    create = partitioner._create_operator_support

    def remember(program: Any, reporter: Any) -> Any:
        reporters.append(reporter)
        return create(program, reporter)

    partitioner._create_operator_support = remember
    yield reporters


@contextlib.contextmanager
def _recorded() -> Iterator[list[VelaRun]]:
    """Give every run of Vela a folder of its own and keep what it was given and left there."""
    from executorch.backends.arm.ethosu import backend

    runs: list[VelaRun] = []
    compile_graph = backend.vela_compile

    def record(tosa: bytes, flags: list[str], **options: Any) -> Any:
        with tempfile.TemporaryDirectory(prefix="vela-") as folder:
            options["intermediate_path"] = folder
            result = _checked(lambda: compile_graph(tosa, list(flags), **options))
            runs.append(VelaRun(tosa, bytes(result.processed_bytes), _estimates(Path(folder))))
        return result

    backend.vela_compile = record
    try:
        yield runs
    finally:
        backend.vela_compile = compile_graph


def _checked(run: Any) -> Any:
    """Run Vela; it leaves some errors by SystemExit, and others only as a missing file."""
    try:
        result = run()
    except (Exception, SystemExit) as error:
        text = str(error).strip() or type(error).__name__
        raise TargetError(f"Vela cannot compile the TOSA graph: {text.splitlines()[0]}") from error
    if not result.processed_bytes:
        raise TargetError("Vela ended without an error and without a command stream")
    return result


def _estimates(folder: Path) -> Mapping[str, float]:
    found = sorted(folder.rglob("*_summary_*.csv"))
    if not found:
        raise TargetError("Vela ended without an error and without its summary of cycles and memory")
    return estimates(read_summary(found[0]))


def total_estimates(runs: Sequence[VelaRun]) -> dict[str, float]:
    """Add up the estimates of delegates that run one after the other; memory that they share is the largest's."""
    keys = sorted({key for run in runs for key in run.estimates})
    total = {key: sum(run.estimates.get(key, 0.0) for run in runs) for key in keys}
    for key in keys:
        if key in _SHARED:
            total[key] = max(run.estimates.get(key, 0.0) for run in runs)
        elif key.endswith("_bytes_per_second"):
            traffic = total[key.replace("_bytes_per_second", "_traffic_bytes")]
            total[key] = traffic * 1e3 / total["inference_ms"] if total["inference_ms"] else 0.0
    if total.get("inference_ms"):
        total["inferences_per_second"] = 1e3 / total["inference_ms"]
    return total
