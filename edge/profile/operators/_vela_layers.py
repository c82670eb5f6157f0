"""Vela's estimate of every layer: runs the compiler again on what it was given, in a process with its packages."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge.delegation import Unit
from edge.errors import InputError, TargetError
from edge.profile.operators._samples import Launch, Row

_COLUMNS = ("Original Operator", "NNG Operator", "Target", "Op Cycles", "MAC Count", "Name")
_UNITS: dict[str, Unit] = {"NPU": "npu", "CPU": "cpu"}


def layers(text: str, clock_hz: float, backend: str = "Ethos-U") -> tuple[Row, ...]:
    """Return the layers of a `*_per-layer.csv` of `--verbose-performance`, in microseconds at a clock.

    Vela writes 0 cycles for layers that it leaves to the CPU, and so do their rows: a requirement must see them, though
    their time is not known.
    Raises InputError for a file of another form.
    """
    reader = csv.DictReader(io.StringIO(text))
    try:
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        lines = list(reader)
    except csv.Error as error:
        raise InputError(f"this is no per-layer file of Vela: {error}") from None
    if missing or clock_hz <= 0:
        raise InputError(f"this is no per-layer file of Vela: {f'it lacks {missing[0]!r}' if missing else 'no clock'}")
    rows = []
    for number, line in enumerate(lines):
        unit = _UNITS.get(str(line["Target"]).strip().upper())
        try:
            cycles, macs = float(line["Op Cycles"] or 0), int(float(line["MAC Count"] or 0))
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"line {number + 2} of Vela's per-layer file has no numbers where they belong") from None
        if cycles < 0 or macs < 0 or cycles != cycles:
            raise InputError(f"line {number + 2} of Vela's per-layer file has a negative number")
        rows.append(
            Row(
                name=str(line["Name"] or "").strip() or f"layer {number}",
                type=f"{line['Original Operator']}".strip() or str(line["NNG Operator"]).strip(),
                unit=unit or "unknown",
                backend=backend if unit == "npu" else "",
                us=(1e6 * cycles / clock_hz,),
                flops=2 * macs if macs else None,
            )
        )
    return tuple(rows)


def left_to_cpu(text: str) -> int:
    """Return how many layers Vela leaves to the CPU."""
    return sum(1 for line in csv.DictReader(io.StringIO(text)) if str(line.get("Target", "")).strip().upper() == "CPU")


def vela_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Compile the files again with the words that made the artifact; return one Launch for all of them."""
    folder, whole_us, left = Path(payload["folder"]), 0.0, 0
    rows: list[Row] = []
    for number, name in enumerate(payload["files"]):
        out = folder / f"out{number}"
        _run([*payload["words"], "--output-dir", str(out), "--verbose-performance", name])
        text, clock_hz, seconds = _found(out)
        rows += layers(text, clock_hz, payload["backend"])
        whole_us += 1e6 * seconds
        left += left_to_cpu(text)
    remarks = (f"{left} layers are left to the CPU: their time is not estimated and stands as 0",) if left else ()
    return dict(msgspec.to_builtins(Launch(rows=tuple(rows), whole_us=(whole_us,), remarks=remarks)))


def _found(out: Path) -> tuple[str, float, float]:
    tables, summaries = sorted(out.glob("*per-layer*.csv")), sorted(out.glob("*_summary_*.csv"))
    if not tables or not summaries:
        raise TargetError("Vela wrote no per-layer estimates: this version has no --verbose-performance file")
    with summaries[0].open(newline="") as stream:
        row = next(iter(csv.DictReader(stream)), {})
    try:
        return tables[0].read_text(), float(row["core_clock"]), float(row["inference_time"])
    except (KeyError, ValueError):
        raise TargetError(f"{summaries[0].name} does not tell the clock and the time of an inference") from None


def _run(arguments: Sequence[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ethosu.vela", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    log = done.stdout.decode(errors="replace")
    print(log)  # into the job's log
    if done.returncode != 0:
        last = ([line for line in log.splitlines() if line.strip()] or ["it printed nothing"])[-1]
        raise TargetError(f"Vela ended with code {done.returncode}: {last[-300:]}")
