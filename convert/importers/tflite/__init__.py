"""From a `.tflite` file to an eager, trainable PyTorch module in PyTorch's axis order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.contract import TensorSpec
from edge.errors import ContractError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class ImportedGraph:
    """A module whose inputs and outputs keep the file's names and order; images are (N, C, H, W)."""

    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def import_tflite(path: Path) -> ImportedGraph:
    """Read a `.tflite` file into a torch.fx.GraphModule in eval mode that computes the same in float32.

    Half-precision, sparse and quantised weights become float32 parameters. The module returns a tensor, or a
    tuple of them if the file has several outputs. Raises InputError for a file that cannot be read, and
    ContractError that lists every unsupported operator by name and count.
    """
    from convert.importers.tflite.importer import build

    path = Path(path)
    try:
        return build(path)
    except ContractError as error:  # of a tensor, which does not know the file that it came from
        if path.name in str(error):
            raise
        raise ContractError(f"{path.name}: {error}") from None
