"""LiteRT's ahead-of-time compilation: a vendor's plugin turns the operators it takes into one bytecode.

`apply_plugin_main` runs as a program of its own with the vendor's libraries on its path. It prints its failures and
may end with 0 all the same: what counts is that the file it wrote is whole and dispatches to the NPU.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from convert.delegation import Placement, place
from convert.targets import Compiled
from convert.targets._litert import border_specs
from convert.targets._litert_origin import (
    FileOperator,
    kind_of,
    place_operators,
    read_model,
    read_operators,
    remaining,
    unnamed,
)
from convert.targets._litert_precision import to_quantized
from edge.artifact import Needs, Step, write_atomic
from edge.elf import write_empty_library
from edge.errors import MissingError, TargetError

if TYPE_CHECKING:
    from convert.program import Program

FILE = "model.tflite"
TWIN = "reference.tflite"  # the graph before the plugin
DISPATCH = "DISPATCH_OP"
_SELECTED = re.compile(r"Partitioned subgraph<(\d+)>, selected (\d+) ops, from a total of (\d+) ops")
_REFUSED = re.compile(r"LiteRT Op #\d+ '(?P<kind>\w+)' \(code=\d+\) (?P<why>[^\n]*)(?P<rest>(?:\n {2,}[^\n]*)*)")
_INVALID = re.compile(
    r"QNN op validation failed: '[^']*' \((?P<what>[^)]*)\)\n {2}Inputs:\n {4}\[0\][^\n]*dtype=(?P<dtype>\w+)"
)
_OUTPUT = re.compile(r"Outputs:\n\s*\[0\] name=\"([^\"]*)\"")
_UNUSABLE = re.compile(r"cannot open shared object file|[Ff]ailed to load|[Cc]ould not load|undefined symbol")
_SDK = re.compile(r"Applying plugin with SDK version: (\S+)")
_STAND_IN = "libedge_words.so"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """Say how LiteRT's plugin for one maker of chips is called and what it loads."""

    manufacturer: str  # as the plugin knows it
    folder: str  # below ai_edge_litert/vendors
    backend: str  # for reports
    sdk: str  # what `edge sdk install` takes
    library: str  # the vendor's library that the plugin loads first
    unused: tuple[str, ...] = ()  # libraries it names and never calls: empty ones satisfy the loader
    words: tuple[str, ...] = ()  # variables that the plugin was linked without and never reads
    emulated: bool = False  # whether something here executes the bytecode
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """What the plugin made: the file, and the operators it did not take, by index in the file before."""

    content: bytes
    taken: int
    refused: Mapping[int, str]  # index in the file before → reason
    sdk_version: str


def compile_ahead(program: Program, precision: str, folder: Path, vendor: Vendor, model: str) -> Compiled:
    """Write model.tflite with the vendor's bytecode for chip `model`; inputs and outputs are channels-last float32.

    Raises Refused without pictures to calibrate on, MissingError if the vendor's library cannot be loaded, and
    TargetError if the plugin fails or takes no operator.
    """
    content, steps = to_quantized(program, precision)
    operators = read_operators(content, program)
    applied = apply_plugin(content, vendor, model, operators)
    write_atomic(folder / FILE, applied.content)
    if applied.refused or not vendor.emulated:
        write_atomic(folder / TWIN, content)  # what `edge verify` executes
    taken = Placement("npu", vendor.backend)
    left = {index: Placement("cpu", "LiteRT", reason) for index, reason in applied.refused.items()}
    return Compiled(
        inputs=border_specs(program.contract.inputs, "NHWC"),
        outputs=border_specs(program.contract.outputs, "NHWC"),
        steps=(*steps, aot_step(vendor, model, applied)),
        needs=Needs(min_runtime=f"LiteRT {metadata.version('ai-edge-litert')}"),
        operators=place(program, place_operators(program, operators, taken, left)),
        rejected=unnamed(operators, applied.refused),
    )


def aot_step(vendor: Vendor, model: str, applied: Applied) -> Step:
    """Return the step that records the plugin."""
    return Step(
        tool="litert-aot",
        version=metadata.version("ai-edge-litert"),
        options={
            "plugin": vendor.folder,
            "chip": model,
            "sdk": applied.sdk_version,
            "file_operators": applied.taken + len(applied.refused),
            "taken": applied.taken,
        },
    )


def apply_plugin(content: bytes, vendor: Vendor, model: str, operators: Sequence[FileOperator]) -> Applied:
    """Run the vendor's plugin over a `.tflite`; raises MissingError or TargetError with the line that tells why."""
    with tempfile.TemporaryDirectory(prefix="edge-aot-") as name:
        folder = Path(name)
        source, result = folder / "in.tflite", folder / "out.tflite"
        source.write_bytes(content)
        code, log = _run(folder, source, result, vendor, model)
        print(log)  # into the job's log
        made = result.read_bytes() if result.is_file() else b""
    found = _SELECTED.findall(log)
    taken = sum(int(selected) for _, selected, _ in found)
    refused = refusals(log, operators)
    if code != 0 or made[4:8] != b"TFL3" or not taken or not _dispatches(made):
        raise _failure(log, code, vendor, model, refused)
    refused |= _left_unnamed(made, operators, refused)
    total = sum(int(total) for _, _, total in found)
    if taken + len(refused) != total:
        raise TargetError(
            f"LiteRT's {vendor.manufacturer} plugin says that it took {taken} of {total} operators, "
            f"but {len(refused)} of them are left in its file"
        )
    version = _SDK.search(log)
    return Applied(made, taken, refused, version.group(1) if version else "")


def _run(folder: Path, source: Path, result: Path, vendor: Vendor, model: str) -> tuple[int, str]:
    root = package_root()
    for library in vendor.unused:
        write_empty_library(folder / library)
    paths = [os.environ.get("LD_LIBRARY_PATH", ""), str(folder)]  # the vendor's own, if it has them, come first
    command = [
        str(root / "tools/apply_plugin_main"),
        "--cmd=apply",
        f"--model={source}",
        f"--o={result}",
        f"--soc_manufacturer={vendor.manufacturer}",
        f"--soc_model={model}",
        f"--libs={root / 'vendors' / vendor.folder / 'compiler'}",
        *vendor.flags,
    ]
    environment = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(path for path in paths if path)}
    if vendor.words:
        write_empty_library(folder / _STAND_IN, vendor.words)
        environment["LD_PRELOAD"] = str(folder / _STAND_IN)
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, cwd=folder, check=False
    )
    return done.returncode, done.stdout.decode(errors="replace")


def package_root() -> Path:
    """Return the folder of ai-edge-litert; raises MissingError."""
    spec = find_spec("ai_edge_litert")
    if spec is None or not spec.submodule_search_locations:
        raise MissingError("ai-edge-litert is not installed: pip install 'edge-deployment-kit[litert]'")
    return Path(spec.submodule_search_locations[0])


def refusals(log: str, operators: Sequence[FileOperator]) -> dict[int, str]:
    """Return the operators that the plugin's log refuses, by index, with the plugin's own words.

    Where QNN's validator named a part of the operator and the type of its data just before, those follow.
    """
    by_output = {name: operator.index for operator in operators for name in operator.outputs}
    found: dict[int, str] = {}
    start = 0
    for match in _REFUSED.finditer(log):
        output = _OUTPUT.search(match["rest"])
        if output and output[1] in by_output:
            found[by_output[output[1]]] = f"{match['kind']} {match['why']}".strip() + _detail(
                log[start : match.start()]
            )
        start = match.end()
    return found


def _detail(log: str) -> str:
    invalid = list(_INVALID.finditer(log))
    return f" QNN refuses {invalid[-1]['what']} on {invalid[-1]['dtype']}" if invalid else ""


def _left_unnamed(made: bytes, operators: Sequence[FileOperator], refused: Mapping[int, str]) -> dict[int, str]:
    """Return the operators of the file before that the file after still has, though the log does not refuse them."""
    return {
        operator.index: f"{operator.kind} is left to the CPU without a reason"
        for operator in remaining(made, operators, DISPATCH)
        if operator.index not in refused
    }


def _dispatches(content: bytes) -> bool:
    return any(kind_of(code) == DISPATCH for code in read_model(content).operatorCodes)


def _failure(log: str, code: int, vendor: Vendor, model: str, refused: Mapping[int, str]) -> MissingError | TargetError:
    """Tell from the log whether a vendor's library is missing or foreign, nothing was taken, or the compiler failed."""
    lines = [line.strip(" └") for line in log.splitlines() if "Accelerator" not in line and "accelerator" not in line]
    what = f"LiteRT's {vendor.manufacturer} plugin"
    unusable = [line for line in lines if _UNUSABLE.search(line)]
    if unusable and code:
        return MissingError(
            f"{what} cannot use {vendor.library} for {model}: {_short(unusable[0])}; "
            f"give it the whole SDK: edge sdk install {vendor.sdk}"
        )
    if refused and not code:
        return TargetError(f"{what} takes no operator for {model}: {'; '.join(sorted(set(refused.values())))}")
    errors = [line for line in lines if "ERROR" in line or "<E>" in line]
    reason = _short(errors[-1]) if errors else "its output has no operator for the NPU"
    return TargetError(f"{what} failed for {model} (exit code {code}): {reason}")


def _short(line: str) -> str:
    return re.sub(r"^(?:ERROR|WARNING|INFO): \[[^\]]*\] ", "", line)[-300:]
