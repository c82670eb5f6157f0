"""Record what TensorFlow.js itself answers on the published graphs of PoseNet and MoveNet, decoding tail included.

    npm install --prefix DIR @tensorflow/tfjs@4.22.0
    python scripts/record_tfjs.py DIR/node_modules

Writes tests/golden/tfjs_keypoints.json: every output, large ones thinned to every n-th value. The pictures are slices
of the astronaut, so that nothing of the kit's own is between them and the network.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.images import read_image
from edge.samples import sample_photos
from edge.store import fetch_file
from edge.zoo import MODELS, TfjsGraph

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests/golden/tfjs_keypoints.json"
MOST_VALUES = 600  # of one output
SLICES = {  # model: picture slices (rows, columns, step)
    "posenet-mobilenetv1": ((60, 60, 1), (127, 0, 1)),
    "movenet-lightning": ((0, 64, 2), (128, 100, 2)),
    "movenet-thunder": ((0, 0, 2),),
}
POSENET = ("heatmap_2", "offset_2", "displacement_fwd_2", "displacement_bwd_2")


def picture(photo: NDArray[np.uint8], side: int, start: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return a square slice (side, side, 3), the part beyond the photograph black."""
    row, column, step = start
    cut = photo[row : row + side * step : step, column : column + side * step : step]
    whole = np.zeros((side, side, 3), np.uint8)
    whole[: cut.shape[0], : cut.shape[1]] = cut
    return whole


def _run(node_modules: Path, graph: TfjsGraph, values: NDArray[Any], outputs: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        raw, request = Path(name) / "input.raw", Path(name) / "request.json"
        raw.write_bytes(values.tobytes())
        request.write_text(json.dumps({"shape": values.shape, "dtype": values.dtype.name, "outputs": outputs}))
        files = [str(fetch_file(file)) for file in (graph.topology, graph.weights)]
        command = ["node", str(ROOT / "scripts/run_tfjs.js"), str(node_modules), *files, str(raw), str(request)]
        answer: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return answer


def _thinned(tensor: dict[str, Any]) -> dict[str, Any]:
    step = max(1, len(tensor["values"]) // MOST_VALUES)
    while math.gcd(step, tensor["shape"][-1]) > 1:  # every plane has its turn
        step += 1
    values = [float(f"{value:.7g}") for value in tensor["values"][::step]]
    return {"shape": tensor["shape"], "step": step, "values": values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("node_modules", type=Path)
    node_modules = parser.parse_args().node_modules.resolve()
    photo = read_image(sample_photos()[0])
    cases, version = [], ""
    for name, slices in SLICES.items():
        graph, side = MODELS[name].graph, MODELS[name].contract.inputs[0].shape[2]
        assert isinstance(graph, TfjsGraph)
        movenet = bool(graph.inputs)
        heads = list(graph.outputs) or [f"MobilenetV1/{head}/BiasAdd" for head in POSENET]
        for start in slices:
            pixels = picture(photo, side, start)[None]
            values = pixels.astype(np.int32) if movenet else (pixels / np.float32(127.5) - 1).astype(np.float32)
            answer = _run(node_modules, graph, values, [*heads, *(["Identity"] if movenet else [])])
            version = answer["version"]
            tensors = [_thinned(answer[head]) for head in heads]
            people = answer["Identity"]["values"] if movenet else None
            cases.append({"model": name, "slice": start, "heads": tensors, "keypoints": people})
    GOLDEN.write_text(json.dumps({"tfjs": version, "cases": cases}) + "\n")
    print(f"{GOLDEN.relative_to(ROOT)}: {GOLDEN.stat().st_size} bytes, TensorFlow.js {version}")


if __name__ == "__main__":
    main()
