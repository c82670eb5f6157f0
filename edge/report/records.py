"""The records of report.json."""

from __future__ import annotations

import datetime
import platform
from pathlib import Path
from typing import Any, Literal

import msgspec

from edge.artifact import FileEntry, Parity, Source, Step
from edge.delegation import Delegation
from edge.errors import InputError
from edge.evaluation import Evaluation
from edge.phones import PhoneChoice
from edge.profile.latency import Latency
from edge.profile.machine import host_name
from edge.versions import installed_version

REPORT = "report.json"
Status = Literal["ok", "needs-sdk", "refused", "failed"]
PACKAGES = (
    "edge-deployment-kit", "torch", "executorch", "litert-torch", "ai-edge-litert", "onnx", "onnxscript", "onnxruntime",
    "coremltools", "mediapipe", "numpy",
)  # fmt: skip


class CandidateReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was measured of one precision that `auto` considered."""

    precision: str
    status: Status
    reason: str = ""
    bytes: int = 0
    evaluation: Evaluation | None = None
    latency: Latency | None = None
    latency_reason: str = ""
    kept: int = 0  # layers that mixed keeps from 8 bits
    layers: int = 0  # that it could keep
    verdict: str = ""  # a sentence


class TargetReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What came of one target at one precision."""

    id: str
    precision: str
    status: Status
    reason: str = ""
    folder: str = ""  # relative to the report
    files: tuple[FileEntry, ...] = ()
    bytes: int = 0
    steps: tuple[Step, ...] = ()
    parity: Parity | None = None
    evaluation: Evaluation | None = None
    chosen: str = ""  # by `auto`: the precision of the artifact
    budget_met: bool | None = None  # by `auto`
    explanation: tuple[str, ...] = ()  # of what was planned, in sentences
    candidates: tuple[CandidateReport, ...] = ()  # that `auto` considered, in the order they were made
    delegation: Delegation | None = None
    unmet: tuple[str, ...] = ()  # what --require-unit asked for and this build does not reach
    latency: Latency | None = None
    latency_reason: str = ""
    preview: str = ""  # picture with the artifact's result drawn on it, relative to the report
    cached: bool = False  # taken whole, measurements too, from an earlier run with the same key
    seconds: float = 0.0  # compile + verify + measure, wall clock, of the run that made it
    compile_seconds: float = 0.0  # of these, in the compiler's process
    compile_peak_bytes: int = 0  # the largest resident set among the compiler's processes
    estimates: dict[str, float] = {}  # of the chip's compiler, not measured
    made_at: str = ""


class Environment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The machine and the exact versions that a report holds for."""

    date: str
    device: str
    system: str
    python: str
    packages: dict[str, str]


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about one deploy; written as report.json."""

    schema: Literal[1] = 1
    model: str
    task: str
    source: Source
    environment: Environment
    targets: tuple[TargetReport, ...]
    inputs: str = ""  # "real: 3" or "random: 2"
    preview: str = ""  # the eager model's result
    phones: tuple[PhoneChoice, ...] = ()  # what was chosen for each phone that was asked for, and why
    sensitivity: tuple[str, ...] = ()  # files of what rounding each layer costs, relative to the report


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def environment() -> Environment:
    """Return this machine, the date and the versions of the packages that matter."""
    return Environment(
        date=now(),
        device=host_name(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages={name: version for name in PACKAGES if (version := installed_version(name))},
    )


def read_report(folder: Path) -> Report:
    """Read report.json of a deploy's folder; raises InputError."""
    path = folder / REPORT
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except OSError as error:
        raise InputError(
            f"{folder} has no {REPORT} to read ({error.strerror}); make one with `edge deploy MODEL --out {folder}`"
        ) from None
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InputError(f"{path}: {error}; deploy again into {folder}") from None


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of report.json, generated from the types."""
    schema = msgspec.json.schema(Report)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Edge deploy report", **schema}
