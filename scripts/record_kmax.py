"""Record keys, shapes and outputs of the published kMaX-DeepLab, in tests/golden/kmax.json.

    python -m scripts.record_kmax KMAX DETECTRON2

KMAX is a checkout of github.com/bytedance/kmax-deeplab (the recorded one: f8e1d04), DETECTRON2 one of
github.com/facebookresearch/detectron2, for its convolution and norm layers. The network is a small one of all the
parts, with the weights of `tests/edge/zoo/filled.py`, in float64: a pixel between two queries goes to either by the
last digit.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from torch import Tensor, nn

from edge.zoo.kmax import _network, _Sizes
from scripts.record_segmentation import ROOT, load_file, load_layers, record, stand_ins

GOLDEN = ROOT / "tests" / "golden" / "kmax.json"
SIZES = _Sizes((1, 1, 1, 1), 8, (1, 2, 1, 1), (64, 32, 16, 8), (1, 1, 1), 16, 256, 6)
SIDE = 97
_LEVELS = ("res2", "res3", "res4", "res5")


def main() -> None:
    """Write the golden file."""
    kmax, detectron2 = map(Path, sys.argv[1:3])
    sys.path.insert(0, str(ROOT / "tests" / "edge" / "zoo"))
    picture = importlib.import_module("filled").picture(3, SIDE, SIDE).double()
    _layers(detectron2)
    original = _Whole(kmax / "kmax_deeplab" / "modeling").double()
    with mock.patch.object(Tensor, "float", lambda tensor: tensor):  # the softmax asks for float32 in mixed precision
        golden = record(_network(SIZES).double(), original, lambda network: network(picture))
    GOLDEN.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


class _Whole(nn.Module):
    """The published parts, put together as its configuration does, without the losses."""

    def __init__(self, modeling: Path) -> None:
        super().__init__()
        parts = _parts(modeling)
        width = SIZES.backbone_width
        shapes = {
            level: SimpleNamespace(channels=4 * width << place, stride=4 << place)
            for place, level in enumerate(_LEVELS)
        }
        self.backbone = _backbone(parts["resnet"], width)
        self.sem_seg_head = nn.Module()
        self.sem_seg_head.pixel_decoder = parts["pixels"].kMaXPixelDecoder(
            shapes, dec_layers=SIZES.decoder_blocks, dec_channels=SIZES.decoder_widths, drop_path_prob=0.0,
            layer_types=("axial", "axial", "bottleneck", "bottleneck"), spatial_shape=(SIDE, SIDE),
        )  # fmt: skip
        self.sem_seg_head.predictor = parts["queries"].kMaXTransformerDecoder(
            dec_layers=SIZES.layers, in_channels=[4 * wide for wide in SIZES.decoder_widths], num_classes=SIZES.classes,
            num_queries=SIZES.queries, drop_path_prob=0.0, add_aux_semantic_pred=False, use_aux_semantic_decoder=False,
            input_shape_from_backbone=shapes,
        )  # fmt: skip

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        panoptic, semantic, scales = self.sem_seg_head.pixel_decoder.forward_features(self.backbone(image))
        found = self.sem_seg_head.predictor(scales, panoptic, semantic)
        return {"class_logits": found["pred_logits"], "mask_logits": found["pred_masks"]}


def _backbone(resnet: Any, width: int) -> nn.Module:
    stages = []
    inside = width
    for place, count in enumerate(SIZES.backbone_blocks):
        outside = 4 * width << place
        blocks = []
        for block in range(count):
            stride = 2 if block == 0 and place > 0 else 1
            blocks.append(
                resnet.BottleneckBlock(inside, outside, bottleneck_channels=outside // 4, stride=stride, norm="syncbn")
            )
            inside = outside
        stages.append(blocks)
    found: nn.Module = resnet.ResNet(resnet.BasicStem(3, width, "syncbn"), stages, out_features=list(_LEVELS))
    return found


def _layers(checkout: Path) -> None:
    """Import detectron2's layers; what only registers or configures is stood in for."""
    stand_ins(
        "fvcore", "fvcore.nn", "fvcore.nn.weight_init", "fvcore.nn.distributed", "detectron2", "detectron2.config",
        "detectron2.modeling", "detectron2.utils", "detectron2.utils.registry", "detectron2.utils.comm",
        "detectron2.utils.env", "detectron2.layers", "timm", "timm.models", "timm.models.layers",
    )  # fmt: skip
    vars(sys.modules["detectron2.modeling"])["Backbone"] = _Unfrozen
    load_layers(checkout, "wrappers", "batch_norm", "blocks")


class _Unfrozen(nn.Module):
    def freeze(self, at: int) -> None:
        """Stand for what is done in training."""


def _parts(modeling: Path) -> dict[str, Any]:
    stand_ins(*(f"kmax.{name}" for name in ("backbone", "pixel_decoder", "transformer_decoder")), "kmax")
    files = {
        "convnext": "backbone/convnext", "pixels": "pixel_decoder/kmax_pixel_decoder", "resnet": "backbone/resnet",
        "queries": "transformer_decoder/kmax_transformer_decoder",
    }  # fmt: skip
    return {name: load_file(f"kmax.{file.replace('/', '.')}", modeling / f"{file}.py") for name, file in files.items()}


if __name__ == "__main__":
    main()
