"""`python3 runner.py --runtime litert|onnx --model F --tensor NAME:DTYPE:SHAPE… FLAGS`: one launch on a board.

It needs Python 3.9, numpy, the runtime and the file loop.py beside it, and nothing of the kit. FLAGS are those of every
runner, and what it prints are the events of loop.py. `--tensor image:float32:1,3,224,224` describes an input, in the
order of the files that `--input` names; without files the inputs are made up, always the same.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING or __package__:
    from edge.profile.board.loop import (
        Events,
        Run,
        add_flags,
        limits_of,
        measure,
        memory_line,
        own_stdout,
        status_bytes,
    )
else:  # copied to a board
    from loop import Events, Run, add_flags, limits_of, measure, memory_line, own_stdout, status_bytes

Tensors = dict[str, Any]
Opener = Callable[[str, int, str], "Opened"]
_LITERT_ROOT = b"TFL3"  # the FlatBuffers identifier at bytes 4…8: the interpreter would read past the end without it


class Failed(Exception):
    """End the launch with an event that names this class of the kit's errors."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class Opened:
    """A loaded model: a call runs it once, and `finish` writes the operators' profile."""

    __slots__ = ("finish", "run")

    def __init__(self, run: Callable[[Tensors], Any], finish: Callable[[], None] = lambda: None) -> None:
        self.run, self.finish = run, finish


def litert_package() -> tuple[str, Any]:
    """Return the name of the installed distribution with LiteRT's interpreter, and its class."""
    try:
        from ai_edge_litert.interpreter import Interpreter

        return "ai-edge-litert", Interpreter
    except ImportError:
        pass
    try:
        from tflite_runtime.interpreter import Interpreter as Older

        return "tflite-runtime", Older
    except ImportError as error:
        raise Failed("MissingError", f"{error}: {sys.executable} -m pip install ai-edge-litert") from None


def open_litert(model: str, threads: int, trace: str) -> Opened:
    """Load a .tflite; LiteRT's Python interpreter has no profiler of operators."""
    if trace:
        raise Failed("Refused", "LiteRT's Python interpreter cannot profile operators; leave --trace out")
    with open(model, "rb") as stream:
        content = stream.read()
    if content[4:8] != _LITERT_ROOT:
        raise Failed("TargetError", f"{model} is not a LiteRT file; deploy it again with `edge deploy`")
    interpreter = litert_package()[1](model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    signature = interpreter.get_signature_runner()
    return Opened(lambda inputs: signature(**inputs))


def onnx_package() -> tuple[str, Any]:
    """Return ONNX Runtime's distribution and module."""
    try:
        import onnxruntime
    except ImportError as error:
        raise Failed("MissingError", f"{error}: {sys.executable} -m pip install onnxruntime") from None
    return "onnxruntime", onnxruntime


def open_onnx(model: str, threads: int, trace: str) -> Opened:
    """Load a .onnx with the options that the kit's own sessions have."""
    onnxruntime = onnx_package()[1]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.x64quantprecision", "1")
    if trace:
        options.enable_profiling = True
        options.profile_file_prefix = trace
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    if not trace:
        return Opened(lambda inputs: session.run(names, inputs))
    return Opened(lambda inputs: session.run(names, inputs), lambda: os.replace(session.end_profiling(), trace))


RUNTIMES: dict[str, tuple[Callable[[], tuple[str, Any]], Opener]] = {
    "litert": (litert_package, open_litert),
    "onnx": (onnx_package, open_onnx),
}


def read_inputs(tensors: list[str], files: list[str]) -> Tensors:
    """Return the inputs from raw little-endian files, or made up: floats from 0 to 1, and 0 or 1 for all else."""
    if files and len(files) != len(tensors):
        raise Failed("InputError", f"{len(files)} files of inputs; the model takes {len(tensors)}")
    generator = np.random.default_rng(0)
    found = {}
    for index, text in enumerate(tensors):
        name, dtype, shape = described(text)
        if not files:
            made = generator.random(shape) if dtype.kind == "f" else generator.integers(0, 2, shape)
            found[name] = np.ascontiguousarray(made.astype(dtype))
            continue
        try:
            values = np.fromfile(files[index], dtype=dtype.newbyteorder("<")).astype(dtype)
        except OSError as error:
            raise Failed("InputError", f"{files[index]} cannot be read: {error.strerror}") from None
        if os.path.getsize(files[index]) != int(np.prod(shape)) * dtype.itemsize:
            raise Failed("InputError", f"{files[index]} holds {values.size} numbers; {name} has the shape {shape}")
        found[name] = values.reshape(shape)
    return found


def described(text: str) -> tuple[str, Any, tuple[int, ...]]:
    """Return the name, dtype and shape of NAME:DTYPE:1,3,224,224; a scalar's shape is empty."""
    try:
        name, dtype, shape = text.rsplit(":", 2)
        return name, np.dtype(dtype), tuple(int(size) for size in shape.split(",") if size)
    except (ValueError, TypeError):
        raise Failed(
            "UsageError", f"--tensor is {text!r}; expected NAME:DTYPE:SHAPE, as image:float32:1,3,8,8"
        ) from None


class Launch:
    """Loads of one model, each bound to the same inputs."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._inputs = read_inputs(options.tensor, options.input)
        self._finish: Callable[[], None] = lambda: None

    def load(self) -> Run:
        """Load the model; the result runs it once."""
        options = self._options
        opened = RUNTIMES[options.runtime][1](options.model, options.threads, options.trace)
        self._finish, options.trace = opened.finish, ""  # what is loaded again is not profiled
        inputs, run = self._inputs, opened.run
        return lambda: run(inputs)

    def finish(self) -> None:
        """Write the operators' profile, if one was taken."""
        self._finish()


def launch(options: argparse.Namespace, events: Events) -> None:
    """Measure what the command line describes."""
    package, _ = RUNTIMES[options.runtime][0]()
    prepared = Launch(options)
    start = {"k": "start", "schema": 1, "runtime": package, "version": metadata.version(package)}
    events.say(json.dumps({**start, "threads": options.threads}))
    before = status_bytes("/proc/self/status", "VmRSS:")

    def after_runs() -> None:
        if options.memory:
            events.say(memory_line(before))
        prepared.finish()

    measure(prepared.load, limits_of(options), events, after_runs)
    events.say('{"k":"end"}')


def parse(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="runner.py")
    parser.add_argument("--runtime", required=True, choices=sorted(RUNTIMES))
    parser.add_argument("--model", required=True)
    parser.add_argument("--tensor", action="append", default=[])
    add_flags(parser, threads=os.cpu_count() or 1)
    parser.add_argument("--trace", default="")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Run one launch; returns the exit code."""
    options = parse(words)
    events = Events(own_stdout())
    try:
        launch(options, events)
    except Failed as error:
        events.say(json.dumps({"k": "error", "type": error.kind, "message": str(error)}))
        return {"MissingError": 3, "TargetError": 1}.get(error.kind, 2)
    except Exception as error:  # of a runtime
        first = str(error).strip().partition("\n")[0]
        message = f"{options.model}: {type(error).__name__}: {first}"
        events.say(json.dumps({"k": "error", "type": "TargetError", "message": message}))
        return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    os._exit(code)  # some runtimes crash in their destructors at exit; all events are written
