"""Variables of a published MOAT checkpoint (google-research/deeplab2) → the state dict of `edge.zoo._moat.MOAT`.

TensorFlow reads its checkpoints; `numpy.savez(path, **{name: reader.get_tensor(name) for name in names})` with
`reader = tf.train.load_checkpoint(folder)` and `names = reader.get_variable_to_shape_map()` makes the file read here.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.errors import CheckpointError

_ROOT = "moat/"
_BLOCK = re.compile(r"block_(\d\d)_(\d\d)/")
# Not the backbone's: the classifier, moving averages of trained variables, the optimiser's state.
_OTHERS = re.compile(
    r"^moat/(final_layer_norm|logits_head)/|/(ExponentialMovingAverage|Adam\w*|Momentum|RMSProp\w*)$|^global_step"
)
_NAMES = {
    "kernel": "weight", "depthwise_kernel": "weight", "gamma": "weight", "beta": "bias",
    "moving_mean": "running_mean", "moving_variance": "running_var",
}  # fmt: skip


def read_moat(path: Path) -> dict[str, Tensor]:
    """Read an `.npz` of a checkpoint's variables by their published names.

    Raises CheckpointError for a file that is missing, of another kind or of another network.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; save the variables of the TensorFlow checkpoint as .npz")
    try:
        with np.load(path, allow_pickle=False) as archive:
            variables = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged or no .npz of arrays ({error}); save it again") from error
    return moat_state(variables, source=str(path))


def moat_state(variables: Mapping[str, NDArray[Any]], *, source: str = "the checkpoint") -> dict[str, Tensor]:
    """Return the backbone's tensors by our keys, in PyTorch's order of axes; the classifier is left out.

    Raises CheckpointError with the names that no MOAT has, or if none is one's.
    """
    state: dict[str, Tensor] = {}
    unknown: list[str] = []
    for name, array in variables.items():
        if _OTHERS.search(name):
            continue
        key = moat_key(name)
        if key is None:
            unknown.append(name)
        else:
            state[key] = torch.from_numpy(np.ascontiguousarray(_turned(name, array), np.float32))
            if key.endswith("running_var"):
                state[key.replace("running_var", "num_batches_tracked")] = torch.tensor(0)
    if unknown:
        shown = ", ".join(sorted(unknown)[:3]) + (", …" if len(unknown) > 3 else "")
        raise CheckpointError(f"{source}: {len(unknown)} variables are not a MOAT's ({shown}); pass a MOAT checkpoint")
    if not state:
        raise CheckpointError(f"{source} holds no variable of a MOAT; its names begin with {_ROOT}")
    return state


def moat_key(name: str) -> str | None:
    """Return our key for a variable's published name, or None for a name that a MOAT's backbone has not."""
    if not name.startswith(_ROOT):
        return None
    inner = name.removeprefix(_ROOT)
    block = _BLOCK.match(inner)
    if block is None and not inner.startswith("stem/"):
        return None
    if block is not None:
        inner = f"stages/{int(block[1])}/{int(block[2])}/{inner[block.end() :]}"
    *path, last = inner.split("/")
    return ".".join((*path, _NAMES.get(last, last)))


def _turned(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Put a variable's axes into PyTorch's order: outputs first."""
    if name.endswith("/kernel"):
        return array.transpose(3, 2, 0, 1)  # (kH, kW, I, O)
    if name.endswith("/depthwise_kernel"):
        return array.transpose(2, 3, 0, 1)  # (kH, kW, C, 1)
    if "/attention/" not in name or name.endswith("relative_position_embedding"):
        return array
    if name.endswith("/bias"):
        return array.reshape(-1)
    if name.endswith("/o/weight"):
        return array.reshape(-1, array.shape[-1]).T  # (heads, depth, O)
    return array.reshape(array.shape[0], -1).T  # (I, heads, depth)
