"""Run the function of a user's Python file that builds a model."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from edge.contract import Contract
from edge.errors import EdgeError, UsageError


def build_module(spec: str) -> tuple[Path, nn.Module, Contract | None]:
    """Import `path/to/model.py:function`, call the function and return the file, the module and its contract if any.

    The file's folder goes to the front of sys.path, as `python path/to/model.py` does. Raises UsageError.
    """
    text, _, name = spec.rpartition(":")
    path = Path(text)
    if path.suffix != ".py" or not name.isidentifier():
        raise UsageError(f"{spec!r} is not of the form path/to/model.py:function")
    if not path.is_file():
        raise UsageError(f"{path}: no such file; a model is named as path/to/model.py:function")
    function = getattr(_import(path), name, None)
    if not callable(function):
        raise UsageError(f"{path} has no function {name}; it defines {_functions(path) or 'none'}")
    return (path, *_split(_call(function, path, name), spec))


def _import(path: Path) -> ModuleType:
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    found = importlib.util.spec_from_file_location(path.stem, path)
    if found is None or found.loader is None:
        raise UsageError(f"{path} cannot be imported as a Python file")
    module = importlib.util.module_from_spec(found)
    before = sys.modules.get(path.stem)
    sys.modules[path.stem] = module  # dataclasses and pickles look their module up by name
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        if before is None:
            del sys.modules[path.stem]
        else:
            sys.modules[path.stem] = before
        raise _failure(error, path, "import") from error
    return module


def _call(function: Callable[[], object], path: Path, name: str) -> object:
    try:
        return function()
    except EdgeError:
        raise
    except (Exception, SystemExit) as error:
        raise _failure(error, path, f"{name}()") from error


def _failure(error: BaseException, path: Path, what: str) -> UsageError:
    """Name the last line of the user's own file on the way to the error."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line: int | None = error.lineno
    else:
        own = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
        line = own[-1] if own else None
    place = f"{path}:{line}" if line else str(path)
    reason = (str(error).strip() or "no message").split("\n", 1)[0]
    return UsageError(f"{place}: {what} raised {type(error).__name__}: {reason}")


def _functions(path: Path) -> str:
    module: Any = sys.modules[path.stem]
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == path.stem]
    return ", ".join(name for name in own if callable(vars(module)[name]))


def _split(built: object, spec: str) -> tuple[nn.Module, Contract | None]:
    if isinstance(built, nn.Module):
        return built, None
    if isinstance(built, tuple) and len(built) == 2:
        module, contract = built
        if isinstance(module, nn.Module) and isinstance(contract, Contract):
            return module, contract
    kind = f"a tuple of {', '.join(type(item).__name__ for item in built)}" if isinstance(built, tuple) else ""
    raise UsageError(
        f"{spec} returned {kind or type(built).__name__}; expected a torch.nn.Module, or a Module and an edge Contract"
    )
