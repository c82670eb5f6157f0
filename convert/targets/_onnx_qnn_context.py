"""ONNX model → context model: the graph compiled for one chip, inside the one node that ONNX Runtime needs."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from convert.targets._onnx_qnn_chips import CHIPS
from edge.errors import TargetError
from edge.runtimes.onnx_qnn import first_line, session_options

QNN_VERSION = "2.50"
_NODE = re.compile(r"Operator type: (?P<op>\S+) Node name: (?P<name>\S*) Node index")
_FAILED = re.compile(r"Validation FAILED for .*?REASON : (?P<reason>[^\n]*)", re.DOTALL)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Left:
    """Name a node that the CPU runs, what it writes, and the compiler's reason if it gave one."""

    name: str
    op: str
    outputs: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Context:
    """A context model, the nodes that the NPU refused (node name → the compiler's reason), and who compiled it."""

    model: Any
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def sdk_version(self) -> str:
        """Return the version of the compiler, as the model records it."""
        return _attribute(_contexts(self.model)[0], "ep_sdk_version").removeprefix("v")

    @property
    def count(self) -> int:
        """Return in how many pieces the NPU runs the model."""
        return len(_contexts(self.model))

    def left(self) -> tuple[Left, ...]:
        """Return the nodes left to the CPU; quantizing and dequantizing at the borders is not counted."""
        return tuple(
            Left(node.name, node.op_type, tuple(node.output), self.refused.get(node.name, ""))
            for node in self.model.graph.node
            if node.op_type not in ("EPContext", "QuantizeLinear", "DequantizeLinear")
        )


def compile_context(model: bytes, chip: str, *, half: bool) -> Context:
    """Compile a model for a chip, whole if the NPU takes every node, else with the rest left to the CPU.

    Raises TargetError if the compiler fails or leaves something else than a context for this chip.
    """
    with tempfile.TemporaryDirectory() as scratch:
        source, result = Path(scratch) / "source.onnx", Path(scratch) / "context.onnx"
        source.write_bytes(model)
        refused: dict[str, str] = {}
        error, log = _attempt(source, result, chip, half=half, whole=True)
        if error is not None:
            result.unlink(missing_ok=True)
            error, log = _attempt(source, result, chip, half=half, whole=False)
            refused = _refusals(log)
        if error is not None:
            raise TargetError(f"QNN cannot compile for {chip}: {first_line(error)}{_last_errors(log)}") from error
        return Context(_read(result, chip, log), refused)


def _contexts(model: Any) -> list[Any]:
    return [node for node in model.graph.node if node.op_type == "EPContext"]


def _attempt(source: Path, result: Path, chip: str, *, half: bool, whole: bool) -> tuple[Exception | None, str]:
    import onnxruntime

    entry = CHIPS[chip]
    provider = {
        # An unknown number is an error to QNN, an unknown architecture only a warning: both come from our table.
        "soc_model": str(entry.soc_model),
        "htp_arch": str(entry.htp_arch),
        "enable_htp_fp16_precision": "1" if half else "0",
    }
    options = session_options(provider, verbose=not whole)
    for key, value in {
        "session.disable_cpu_ep_fallback": "1" if whole else "0",
        "ep.context_enable": "1",
        "ep.context_file_path": str(result),
        "ep.context_embed_mode": "1",  # one file: nothing to refer to, so the folder can be moved
    }.items():
        options.add_session_config_entry(key, value)
    error: Exception | None = None
    with tempfile.TemporaryFile() as log:
        with _captured(log):
            try:
                onnxruntime.InferenceSession(str(source), options)
            except Exception as raised:  # ONNX Runtime's exceptions share no base of their own
                error = raised
        log.seek(0)
        return error, _COLOUR.sub("", log.read().decode(errors="replace"))


@contextlib.contextmanager
def _captured(log: IO[bytes]) -> Iterator[None]:
    """Collect what native code writes to stdout and stderr; ONNX Runtime's logger has no other way out of Python."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [(descriptor, os.dup(descriptor)) for descriptor in (1, 2)]
    try:
        for descriptor, _ in saved:
            os.dup2(log.fileno(), descriptor)
        yield
    finally:
        for descriptor, copy in saved:
            os.dup2(copy, descriptor)
            os.close(copy)


def _read(path: Path, chip: str, log: str) -> Any:
    """Read a compiled model back; raises TargetError unless it holds a context for this chip."""
    import onnx

    if not path.is_file():
        raise TargetError(f"QNN compiled nothing for {chip} and reported no error{_last_errors(log)}")
    model = onnx.load(str(path))
    binaries = [(node, _bytes(node, "ep_cache_context")) for node in _contexts(model)]
    if not any(binary for _, binary in binaries):
        raise TargetError(f"QNN took none of the operators for {chip}{_last_errors(log)}")
    for node, binary in binaries:
        if binary:
            _check_chip(binary, _attribute(node, "ep_sdk_version"), chip)
    return model


def _check_chip(binary: bytes, sdk_version: str, chip: str) -> None:
    """Raise TargetError for a context of another chip or another compiler; the binary holds its compiler's settings."""
    entry = CHIPS[chip]
    if f"soc_type={chip};".encode() not in binary or f"min_arch={entry.htp_arch};".encode() not in binary:
        raise TargetError(f"QNN built for another chip than {chip} (v{entry.htp_arch}): its context does not name it")
    if not sdk_version.startswith(f"v{QNN_VERSION}."):
        raise TargetError(
            f"the SDK in QNN_SDK_ROOT is {sdk_version}, expected {QNN_VERSION}; get it with `edge sdk install qnn`"
        )


def _attribute(node: Any, name: str) -> str:
    return _bytes(node, name).decode(errors="replace")


def _bytes(node: Any, name: str) -> bytes:
    return next((bytes(attribute.s) for attribute in node.attribute if attribute.name == name), b"")


def _refusals(log: str) -> dict[str, str]:
    """Return node name → reason for the groups of nodes that the provider's verbose log calls refused."""
    found: dict[str, str] = {}
    for match in _FAILED.finditer(log):
        for node in _NODE.finditer(match.group(0)):
            found.setdefault(node["name"], match["reason"].strip())
    return found


def _last_errors(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if re.search(r"\[E:|error", line, re.IGNORECASE)]
    return f" ({lines[-1][:300]})" if lines else ""
