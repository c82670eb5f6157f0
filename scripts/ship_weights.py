"""Put a trained checkpoint among the kit's own weights: `python -m scripts.ship_weights OUT…`.

For each OUT, a folder that `edge train RECIPE --out OUT` filled, it writes edge/zoo/weights/MODEL.safetensors. Weights
of more than 5 MB are rounded to half precision, which the loader turns back; a zoo entry names the file as `trained`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
import torch
from safetensors.torch import save_file
from torch import Tensor

from convert.checkpoint import read_checkpoint
from edge.train.plan import RecipeReport
from edge.train.recipe import CHECKPOINT, RECORD
from edge.zoo import MODELS, TRAINED

MOST_BYTES = 5_000_000


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the state with matrices and kernels in half precision; statistics and biases keep theirs."""
    rounded = {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in state.items()}
    if not all(torch.isfinite(tensor).all() for tensor in rounded.values()):
        raise SystemExit("a weight is too large for half precision")
    return rounded


def main() -> None:
    """Write the weights of the trainings that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    TRAINED.mkdir(exist_ok=True)
    for folder in parser.parse_args().folders:
        report = msgspec.json.decode((folder / RECORD).read_bytes(), type=RecipeReport)
        state = read_checkpoint(folder / CHECKPOINT)
        if sum(tensor.nbytes for tensor in state.values()) > MOST_BYTES:
            state = halved(state)
        path = TRAINED / f"{report.model.replace('-', '_')}.safetensors"
        about = {"recipe": report.recipe, "licence": MODELS[report.model].licence, "sha256": report.checkpoint_sha256}
        save_file(state, path, metadata=about)
        path.chmod(0o644)
        if path.stat().st_size > MOST_BYTES:
            raise SystemExit(f"{path} has {path.stat().st_size:,} bytes; the kit ships {MOST_BYTES:,} at most")
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
