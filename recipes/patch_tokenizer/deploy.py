"""Deploy both halves of the tokenizer with their ternary weights, and compare each artifact with eager PyTorch.

    python recipes/patch_tokenizer/deploy.py --out out/patch_tokenizer

The decoder takes bits and no picture: the ranges of its activations, which Qualcomm's NPU needs, are measured on what
the encoder makes of photographs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

import edge
from convert.load import load_user
from edge.images import read_image
from edge.samples import photographs

HERE = Path(__file__).resolve().parent
TARGETS = (
    "onnx-cpu", "onnx-ternary", "litert-cpu", "executorch-xnnpack", "executorch-ternary", "coreml",
    "executorch-qnn:SM8650",
)  # fmt: skip
PICTURES = 16


def main() -> None:
    """Deploy, and print a line for each artifact."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--targets", nargs="+", default=list(TARGETS))
    parser.add_argument("--launches", type=int, default=3)
    options = parser.parse_args()
    models = {
        part: load_user(f"{HERE / 'model.py'}:{part}", HERE / f"{part}.safetensors") for part in ("encoder", "decoder")
    }
    pictures = list(_pictures())
    with torch.no_grad():
        numbers = [models["encoder"].module(picture).numpy() for picture in pictures]
    inputs: dict[str, list[dict[str, Any]]] = {
        "encoder": [{"picture": picture.numpy()} for picture in pictures],
        "decoder": [{"bits": np.where(values >= 0, 1.0, -1.0).astype(np.float32)} for values in numbers],
    }
    for part, model in models.items():
        report = edge.deploy(
            model.module, model.contract, targets=options.targets, precisions=["ternary"], out=options.out / part,
            calibration=inputs[part], launches=options.launches,
        )  # fmt: skip
        for row in report.targets:
            latency = f"{row.latency.median_ms:.1f} ms" if row.latency else "not timed"
            parity = "refused" if row.parity is None else "passed" if row.parity.passed else row.parity.reason
            print(f"{part} {row.id}: {row.bytes} bytes, {latency}, parity {parity}")


def _pictures() -> Iterator[torch.Tensor]:
    for path in photographs().calibration[:PICTURES]:
        whole = torch.from_numpy(read_image(path).copy()).permute(2, 0, 1)[None] / 255
        yield F.interpolate(whole, (128, 128), mode="bilinear", antialias=True)


if __name__ == "__main__":
    main()
