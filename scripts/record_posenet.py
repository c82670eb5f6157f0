"""Record what the original PoseNet of rwightman/posenet-pytorch answers with weights by a rule.

    git clone https://github.com/rwightman/posenet-pytorch DIR
    python scripts/record_posenet.py DIR

Writes tests/golden/posenet_outputs.json: the four outputs on a picture of 65², and names and shapes of the state dict.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import torch

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests/golden/posenet_outputs.json"
NAMES = ("heatmap", "offset", "displacement_fwd", "displacement_bwd")
SIDE = 65


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    checkout = parser.parse_args().checkout
    filled = _module(ROOT / "tests/edge/zoo/filled.py")
    original = _module(checkout / "posenet/models/mobilenet_v1.py").MobileNetV1(75, 16)
    with torch.no_grad():
        outputs = filled.fill(original)(filled.picture(3, SIDE, SIDE))
    golden = {
        "side": SIDE,
        "state": {name: list(tensor.shape) for name, tensor in original.state_dict().items()},
        "outputs": {
            name: [float(f"{value:.6g}") for value in tensor.flatten().tolist()]
            for name, tensor in zip(NAMES, outputs, strict=True)
        },
    }
    GOLDEN.write_text(json.dumps(golden) + "\n")
    sys.stdout.write(f"{GOLDEN.relative_to(ROOT)}: {GOLDEN.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
