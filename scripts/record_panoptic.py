"""Record what the published code makes of the tests' scenes, in tests/golden/panoptic.json.

    python -m scripts.record_panoptic DETECTRON2 PANOPTICAPI

Both are checkouts: github.com/facebookresearch/detectron2 (Panoptic-DeepLab's post-processing) and
github.com/cocodataset/panopticapi (panoptic quality).
"""

from __future__ import annotations

import base64
import importlib.util
import json
import sys
import tempfile
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden" / "panoptic.json"
SEEDS = range(4)
PAIRS = range(6)
SETTINGS = {"threshold": 0.1, "nms_kernel": 7, "top_k": 200, "stuff_area": 300}
DIVISOR = 1000


def main() -> None:
    """Write the golden file."""
    detectron2, panopticapi = map(Path, sys.argv[1:3])
    sys.path[:0] = [str(ROOT / "tests" / "edge" / "tasks"), str(panopticapi)]
    scenes = importlib.import_module("panoptic_scenes")
    processing = _module(detectron2 / "projects/Panoptic-DeepLab/panoptic_deeplab/post_processing.py")
    golden = {
        "settings": SETTINGS,
        "maps": [_grouped(processing, scenes, seed) for seed in SEEDS],
        "quality": _quality(scenes),
    }
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


def _module(path: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location(path.stem, path)
    if found is None or found.loader is None:
        raise SystemExit(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def _grouped(processing: ModuleType, scenes: ModuleType, seed: int) -> dict[str, Any]:
    """Return class · 1000 + number of every pixel, −1 for none, deflated as int16."""
    classes, heat, offsets = scenes.scene(seed)
    result, _ = processing.get_panoptic_segmentation(
        torch.from_numpy(classes.astype(np.int64))[None], torch.from_numpy(heat)[None], torch.from_numpy(offsets),
        thing_ids=set(range(scenes.THINGS)), label_divisor=DIVISOR, void_label=-1, **SETTINGS,
    )  # fmt: skip
    found = result[0].numpy().astype("<i2")
    return {"shape": found.shape, "data": base64.b64encode(zlib.compress(found.tobytes(), 9)).decode()}


def _quality(scenes: ModuleType) -> dict[str, Any]:
    from panopticapi.evaluation import pq_compute_single_core
    from panopticapi.utils import id2rgb

    categories = {i: {"id": i, "isthing": int(i < scenes.THINGS)} for i in range(scenes.CLASSES)}
    with tempfile.TemporaryDirectory() as folder:
        annotations = []
        for seed in PAIRS:
            pair = []
            for side, panoptic in zip(("result", "reference"), scenes.annotated_pair(seed), strict=True):
                name = f"{side}{seed}.png"
                listed = {0, *(segment.id for segment in panoptic.segments)}
                if not set(np.unique(panoptic.ids).tolist()) <= listed:
                    raise SystemExit(f"scene {seed} has a number without a segment")
                Image.fromarray(id2rgb(panoptic.ids.astype(np.uint32))).save(Path(folder, name))
                segments = [
                    {"id": s.id, "category_id": s.category, "iscrowd": int(s.crowd), "area": s.area}
                    for s in panoptic.segments
                ]
                pair.append({"image_id": seed, "file_name": name, "segments_info": segments})
            annotations.append((pair[1], pair[0]))
        found = pq_compute_single_core(0, annotations, folder, folder, categories)
    return {
        name: found.pq_average(categories, isthing=isthing)[0]
        for name, isthing in (("all", None), ("things", True), ("stuff", False))
    }


if __name__ == "__main__":
    main()
