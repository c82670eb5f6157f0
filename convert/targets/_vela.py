"""Arm's Vela: int8 `.tflite` → command stream for an Ethos-U, with its estimates and what it leaves to the CPU.

Vela and its packages live in an SDK folder of their own; a child with that folder on its path runs it.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convert.targets._litert_origin import FileOperator, kind_of, read_model, remaining
from edge.errors import TargetError

CUSTOM = "ethos-u"
_WARNING = re.compile(
    r"Warning \((?:supported operators|[^)]*)\) operator: (?P<kind>[^\n,]+), ofm: '(?P<output>[^']*)'\n"
    r"Reason: (?P<reason>(?:[^\n]+\n?)+?)(?=\n|Warning|#|Network|\Z)"
)
_VERSION = re.compile(r"\b(\d+\.\d+\.\d+)\b")
_KIB = 1024.0


@dataclass(frozen=True, slots=True)
class Streamed:
    """What Vela made: the file, its estimates, and the operators it left, by index in the file before."""

    content: bytes
    estimates: Mapping[str, float]
    left: Mapping[int, str]
    version: str
    system: str
    memory: str


def run_vela(content: bytes, accelerator: str, operators: Sequence[FileOperator]) -> Streamed:
    """Compile an int8 `.tflite` for an accelerator configuration such as ethos-u65-512; raises TargetError."""
    with tempfile.TemporaryDirectory(prefix="edge-vela-") as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(content)
        log = _vela(folder, "model.tflite", "--accelerator-config", accelerator, "--output-dir", "out")
        made, summary = folder / "out/model_vela.tflite", sorted((folder / "out").glob("model_summary_*.csv"))
        if not made.is_file() or not summary:
            raise TargetError(f"Vela wrote no file for {accelerator}: {_last_line(log)}")
        result = made.read_bytes()
        row = read_summary(summary[0])
        version = _VERSION.search(_vela(folder, "--version"))
    left = left_operators(result, operators, log)
    if not any(kind_of(code) == CUSTOM for code in read_model(result).operatorCodes):
        reasons = "; ".join(sorted(set(left.values()))[:3])
        raise TargetError(f"Vela takes no operator of the model for {accelerator}: {reasons or _last_line(log)}")
    return Streamed(
        content=result,
        estimates=estimates(row),
        left=left,
        version=version.group(1) if version else "",
        system=row.get("system_config", ""),
        memory=row.get("memory_mode", ""),
    )


def _vela(folder: Path, *arguments: str) -> str:
    """Run Vela in `folder` and return what it printed; raises TargetError with its last line if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "ethosu.vela", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder, check=False,
    )  # fmt: skip
    log = done.stdout.decode(errors="replace")
    print(log)  # into the job's log
    if done.returncode != 0:
        raise TargetError(f"Vela ended with code {done.returncode}: {_last_line(log)}")
    return log


def _last_line(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("Error", "ERROR"))]
    return (errors or lines or ["it printed nothing"])[-1][-300:]


def read_summary(path: Path) -> dict[str, str]:
    """Return the one row of Vela's summary CSV by column."""
    with path.open(newline="") as stream:
        return next(iter(csv.DictReader(stream)), {})


def estimates(row: Mapping[str, str]) -> dict[str, float]:
    """Return Vela's estimates for one inference in cycles, bytes, milliseconds and bytes a second.

    Vela prints memory in KiB and times in seconds; traffic is in bytes.
    """

    def number(column: str) -> float:
        return float(row.get(column) or 0.0)

    seconds = number("inference_time")
    traffic = {name: number(f"{name}_total_bytes") for name in ("sram", "dram", "on_chip_flash", "off_chip_flash")}
    found = {
        "npu_cycles": number("cycles_npu"),
        "total_cycles": number("cycles_total"),
        "inference_ms": seconds * 1e3,
        "inferences_per_second": number("inferences_per_second"),
        "macs": number("nn_macs"),
        "clock_hz": number("core_clock"),
    }
    for name, count in traffic.items():
        used = number(f"{name}_memory_used") * _KIB
        if used or count:
            found |= {f"{name}_bytes": used, f"{name}_traffic_bytes": count}
            found[f"{name}_bytes_per_second"] = count / seconds if seconds else 0.0
    return found


def left_operators(made: bytes, operators: Sequence[FileOperator], log: str) -> dict[int, str]:
    """Return the operators that are still the CPU's, by index in the file before, with Vela's words."""
    reasons = refusals(log)
    return {
        operator.index: next(
            (reasons[name] for name in operator.outputs if name in reasons), "left to the CPU by Vela without a reason"
        )
        for operator in remaining(made, operators, CUSTOM)
    }


def refusals(log: str) -> dict[str, str]:
    """Return Vela's reason for every operator it warned about, by the name of its result."""
    found = {}
    for match in _WARNING.finditer(log):
        kind, reason = match["kind"].strip(), " ".join(match["reason"].split())
        found[match["output"]] = reason if kind == "None" else f"{kind}: {reason}"  # None: a kind Vela has no name for
    return found
