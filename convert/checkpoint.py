"""Read a checkpoint file into tensors, without running code from it, and load it strictly."""

from __future__ import annotations

import json
import pickle
import pickletools
import re
import tarfile
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edge.errors import CheckpointError
from quant.ternary import PackedError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

SUFFIXES = (".safetensors", ".pt", ".pth", ".tar", ".bin", ".pt2", ".npz")  # .tar: what torch.save writes to x.pth.tar
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIX = "module."  # what DataParallel puts before every key
_SAVE = "save the weights alone with torch.save(model.state_dict(), path) or as .safetensors"
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tensors of a file and what was taken off to reach them ("state_dict", "module.")."""

    tensors: dict[str, Tensor]
    unwrapped: tuple[str, ...] = ()


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a `.safetensors`, `.pt`, `.pth`, `.pth.tar`, `.bin`, `.pt2` or `.npz` file by name.

    Raises CheckpointError for a file that is missing, damaged, of another kind, or that would run code.
    """
    return open_checkpoint(path).tensors


def open_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint as `read_checkpoint` does, and keep what was unwrapped."""
    _check_file(path)
    if path.suffix == ".safetensors":
        return Checkpoint(_read_safetensors(path))
    if path.suffix == ".npz":
        return _unwrap(_read_arrays(path), path)
    if path.suffix == ".pt2" or _is_exported(path):
        return _unwrap(dict(read_exported(path).state_dict), path)
    return _unwrap(_read_pickle(path), path)


def read_exported(path: Path) -> ExportedProgram:
    """Read a `torch.export` archive; raises CheckpointError if it is not one, or would run code."""
    from convert.frozen import load_archive

    _check_file(path)
    try:
        return load_archive(path)
    except CheckpointError:
        raise
    except Exception as error:  # the archive reader raises whatever its layers raise
        reason = _first_line(error)
        raise CheckpointError(
            f"{path} is not a torch.export archive ({reason}); write it with torch.export.save"
        ) from error


def _check_file(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise CheckpointError(
            f"{path}: a checkpoint ends in {', '.join(SUFFIXES)}, not in {path.suffix or 'nothing'!r}"
        )
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint file")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path} is empty; download or save the checkpoint again")
    if path.suffix == ".tar" and tarfile.is_tarfile(path):
        raise CheckpointError(f"{path} is an archive of files; unpack it and pass the checkpoint that is in it")


def _is_exported(path: Path) -> bool:
    """Tell a `torch.export` archive from `torch.save`'s; both are zip files."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in archive.namelist())


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError

    from quant.ternary.checkpoint import read_packed

    try:
        return read_packed(path)
    except PackedError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def _read_arrays(path: Path) -> dict[str, Tensor]:
    import numpy as np

    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {name: torch.from_numpy(np.asarray(archive[name])) for name in archive.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from error


class _NumpyNumber:
    """Stand for a numpy number, or its dtype, that a training loop kept beside the weights; its value is not read."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...


# Numpy's own functions never see what the file says: a number's state could be made to break its dtype.
_NUMPY_NUMBERS: list[Any] = [
    (_NumpyNumber, name) for name in ("numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
]


def _read_pickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about pickle protocols; what cannot be read is an error
            with torch.serialization.safe_globals(_NUMPY_NUMBERS):
                return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+\.\w+)", str(error))
        wanted = named[1] if named else _first_global(path)
        if wanted:
            raise CheckpointError(f"{path} would run {wanted} when opened, which is refused; {_SAVE}") from error
        raise _damaged(path, ValueError("not a pickle of tensors")) from error
    except Exception as error:  # the reader of a damaged file fails in any of its layers
        raise _damaged(path, error) from error


def _first_global(path: Path) -> str:
    """Return what a bare pickle imports first, found without running it, or an empty string."""
    strings: list[str] = []
    try:
        with path.open("rb") as stream:
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name == "GLOBAL":
                    return str(argument).replace(" ", ".")
                if opcode.name == "STACK_GLOBAL":
                    return ".".join(strings[-2:])
                if isinstance(argument, str):
                    strings.append(argument)
    except Exception:  # not a pickle at all
        return ""
    return ""


def _damaged(path: Path, error: Exception) -> CheckpointError:
    size, reason = path.stat().st_size, _first_line(error)
    return CheckpointError(
        f"{path} ({size:,} bytes) is truncated, damaged or not a checkpoint ({reason}); download or save it again"
    )


def _first_line(error: Exception) -> str:
    text = str(error).strip().split("\n", 1)[0].rstrip(".")
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__


def _unwrap(loaded: Any, path: Path) -> Checkpoint:
    unwrapped: list[str] = []
    while isinstance(loaded, Mapping) and not _tensors_only(loaded):
        wrapper = next((name for name in _WRAPPERS if isinstance(loaded.get(name), Mapping)), None)
        if wrapper is None:
            break
        unwrapped.append(wrapper)
        loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping) or not _tensors_only(loaded):
        raise CheckpointError(f"{path} holds {_describe(loaded)}, not tensors by name; {_SAVE}")
    tensors = {str(name): tensor for name, tensor in loaded.items() if isinstance(tensor, Tensor)}
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors; {_SAVE}")
    if all(name.startswith(_PREFIX) for name in tensors):
        unwrapped.append(_PREFIX)
        tensors = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
    return Checkpoint(tensors, tuple(unwrapped))


def _tensors_only(loaded: Mapping[Any, Any]) -> bool:
    return all(isinstance(value, Tensor) for value in loaded.values())


def _describe(loaded: Any) -> str:
    if isinstance(loaded, Mapping):
        return f"a dict of {', '.join(json.dumps(str(key)) for key in list(loaded)[:_SHOWN])}"
    return f"a {type(loaded).__name__}"


def used_tensors(state: Mapping[str, Tensor], unused: tuple[str, ...]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with none of `unused`."""
    return {name: tensor for name, tensor in state.items() if not name.startswith(unused)}


def load_strict(module: nn.Module, state: Mapping[str, Tensor], *, path: Path, expected: str = "the model") -> None:
    """Load every tensor into the module of the same name and shape.

    `expected` names the model in messages. Raises CheckpointError with the missing, unexpected and
    mis-shaped names, and the zoo model that the file fits if it fits another; the module is then untouched.
    """
    faults = _faults(module.state_dict(), state)
    if faults:
        other = _matching_model(state)
        hint = f"; it fits {other}: deploy that model, or pass a checkpoint of {expected}" if other else ""
        raise CheckpointError(f"{path} does not fit {expected}: {'; '.join(faults)}{hint}")
    module.load_state_dict(dict(state), strict=True)


def _faults(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted]
    shaped = [
        f"{name} is {list(found[name].shape)}, expected {list(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in found and found[name].shape != tensor.shape
    ]
    kinds = (("missing", missing), ("unexpected", unexpected), ("mis-shaped", shaped))
    return [f"{len(names)} {kind} ({_head(names)})" for kind, names in kinds if names]


def _head(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def _matching_model(state: Mapping[str, Tensor]) -> str:
    """Return the zoo network whose names and shapes are exactly the file's, or an empty string."""
    from edge.zoo import MODELS

    for name, entry in sorted(MODELS.items(), key=lambda item: item[1].runs):  # the small ones of devices first
        if entry.network is not None:
            with torch.device("meta"):
                wanted = entry.network().state_dict()
            if not _faults(wanted, used_tensors(state, entry.unused_keys)):
                return name
    return ""
