"""A `torch.export` archive as a model: its graph called like a module, its inputs as a contract's."""

from __future__ import annotations

import pickle
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn
from torch.export import ExportedProgram

from edge.contract import TensorSpec, parse_tensor
from edge.errors import CheckpointError, UsageError

_WRITE = "write it with torch.export.save from a model whose inputs and constants are tensors"
_NAMES = re.compile(r"[^\W\d]\w*")
_SYMBOL = re.compile(r"[a-z]{1,4}\d+|[A-Z][A-Za-z]*")  # s0, u1; Max, FloorDiv: Python's builtin functions are none
_QUOTED = re.compile(r"'([a-z]{1,4}\d+)'")
_ASSUMPTION = re.compile(r"\b(integer|positive|nonnegative|negative|nonpositive|real|zero)=(?=True\b|False\b)")
_loading = threading.Lock()


def load_archive(path: Path) -> ExportedProgram:
    """Load a `torch.export` archive without running code from it.

    `torch.export.load` itself opens members as pickles that may run anything, loads compiled libraries and evaluates
    expressions for sizes; each is refused at the call, whatever the archive's index says. Raises CheckpointError for
    what is refused, and whatever the archive reader raises for a damaged file.
    """
    import sympy  # type: ignore[import-untyped]
    from torch.export.pt2_archive import _package

    torch_load, sympify = torch.load, sympy.sympify

    def load_tensors(file: Any, *args: Any, **options: Any) -> Any:
        try:
            return torch_load(file, *args, **{**options, "weights_only": True})
        except pickle.UnpicklingError as error:
            named = re.search(r"GLOBAL ([\w.]+\.\w+)", str(error))
            raise _would_run(path, named[1] if named else "code") from error

    def sympify_sizes(expression: Any, *args: Any, **options: Any) -> Any:
        if isinstance(expression, str) and not _is_arithmetic(expression):
            raise _would_run(path, expression[:60])
        return sympify(expression, *args, **options)

    def refuse(*_args: object, **_options: object) -> Any:
        raise _would_run(path, "a custom object or a compiled library")

    class NoPickle:
        loads = staticmethod(refuse)
        __getattr__ = refuse

    with ExitStack() as patched:
        patched.enter_context(_loading)
        patched.enter_context(_replaced(torch, "load", load_tensors))
        patched.enter_context(_replaced(sympy, "sympify", sympify_sizes))
        patched.enter_context(_replaced(torch._C, "_pickle_load_obj", refuse))
        patched.enter_context(_replaced(_package, "_load_aoti", refuse))
        patched.enter_context(_swapped(_package, "pickle", NoPickle()))
        return torch.export.load(path)


def _would_run(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path} would run {what} when opened, which is refused; {_WRITE}")


def _is_arithmetic(expression: str) -> bool:
    """Tell a size such as `Mul(Integer(2), Symbol('s0', integer=True))` from other Python.

    No attributes, no builtin functions, and no strings but the names of symbols.
    """
    bare = _ASSUMPTION.sub("", _QUOTED.sub(r"\1", expression))
    plain = re.fullmatch(r"[\w\s+\-*/%(),<>=!&|~]*", bare) is not None
    return plain and all(_SYMBOL.fullmatch(name) for name in _NAMES.findall(bare))


@contextmanager
def _replaced(owner: Any, name: str, replacement: Callable[..., Any]) -> Iterator[None]:
    """Let this thread's calls of a function go to another; those of other threads stay as they are."""
    original, thread = getattr(owner, name), threading.get_ident()

    def dispatch(*args: Any, **options: Any) -> Any:
        return (replacement if threading.get_ident() == thread else original)(*args, **options)

    with _swapped(owner, name, dispatch):
        yield


@contextmanager
def _swapped(owner: Any, name: str, value: object) -> Iterator[None]:
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


class FrozenGraph(nn.Module):
    """Call an exported program like a module; it stays in the mode in which it was exported."""

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__()
        self.program = program.module(check_guards=False)
        self.training = False

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.program(*inputs)

    def train(self, mode: bool = True) -> FrozenGraph:
        """Leave the graph as it is: an exported one refuses to change its mode."""
        return self


def graph_inputs(program: ExportedProgram, path: Path) -> tuple[TensorSpec, ...]:
    """Return the program's inputs; raises UsageError for inputs that are no tensors or leave a size open."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    return tuple(_spec(str(name), values.get(str(name)), path) for name in program.graph_signature.user_inputs)


def _spec(name: str, value: object, path: Path) -> TensorSpec:
    if not isinstance(value, torch.Tensor):
        raise UsageError(f"{path}: input {name} is no tensor; export the model with tensors as its only inputs")
    if not all(isinstance(size, int) for size in value.shape):
        sizes = "x".join(map(str, value.shape))
        raise UsageError(f"{path}: input {name}={sizes} leaves sizes open; fix them with --input {name}=1x3x256x256")
    shape = "x".join(map(str, value.shape))
    dtype = str(value.dtype).removeprefix("torch.")
    return parse_tensor(f"{name}={shape}:{dtype}") if shape else _scalar(name, dtype)


def _scalar(name: str, dtype: str) -> TensorSpec:
    return msgspec.convert({"name": name, "shape": (), "dtype": dtype}, TensorSpec)
