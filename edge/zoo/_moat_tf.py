"""Variables of a published MOAT checkpoint (google-research/deeplab2) → the state dict of `edge.zoo._moat.MOAT`.

TensorFlow reads its checkpoints; `numpy.savez(path, **{name: reader.get_tensor(name) for name in names})` with
`reader = tf.train.load_checkpoint(folder)` and `names = reader.get_variable_to_shape_map()` makes a file that
`convert.checkpoint.read_checkpoint` reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

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


def from_tensorflow(variables: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """Return the backbone's state dict, its keys behind `prefix`; what has no variable of a MOAT stays as it is.

    The classifier and what belongs to the training alone are left out, and a name that is not known stays, for the
    loader to name.
    """
    if not any(name.startswith(_ROOT) for name in variables):
        return dict(variables)
    state: dict[str, Tensor] = {}
    for name, tensor in variables.items():
        if _OTHERS.search(name):
            continue
        key = moat_key(name)
        if key is None:
            state[name] = tensor
            continue
        state[prefix + key] = _turned(name, tensor).contiguous()
        if key.endswith("running_var"):
            state[prefix + key.replace("running_var", "num_batches_tracked")] = torch.tensor(0)
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


def _turned(name: str, tensor: Tensor) -> Tensor:
    """Put a variable's axes into PyTorch's order: outputs first."""
    if name.endswith("/kernel"):
        return tensor.permute(3, 2, 0, 1)  # (kH, kW, I, O)
    if name.endswith("/depthwise_kernel"):
        return tensor.permute(2, 3, 0, 1)  # (kH, kW, C, 1)
    if "/attention/" not in name or name.endswith("relative_position_embedding"):
        return tensor
    if name.endswith("/bias"):
        return tensor.reshape(-1)
    if name.endswith("/o/weight"):
        return tensor.reshape(-1, tensor.shape[-1]).T  # (heads, depth, O)
    return tensor.reshape(tensor.shape[0], -1).T  # (I, heads, depth)
