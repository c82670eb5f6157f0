"""MaskConver (arXiv:2312.06052): panoptic segmentation by convolutions alone, with centres in the place of queries.

There is no published PyTorch version; the layers and sizes are those of tensorflow/models,
official/projects/maskconver/modeling, and of its experiment maskconver_mobilenetv3p5_rf_256_coco.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.zoo._mobilenet_multi import DEEP_CHANNELS, SHALLOW_CHANNELS, Backbone
from edge.zoo._separable_head import FusedHead, SeparablePyramid

RATES = (6, 12, 18)
_KERNEL = 7  # of the heads' depthwise convolutions
_PRIOR = -2.19  # logit of a centre before anything is learnt: one place in ten
_EPSILON = 1e-6


class MaskConver(nn.Module):
    """Say of (N, 3, H, W) pictures where centres are and what masks they have.

    Returns "class_heatmap" (N, classes, H/8, W/8), the logits of centres, "centre_embeddings" and "pixel_embeddings"
    (N, width, H/8, W/8). Which centres count is for the decoder to choose, whose few weights are `mask_embedding`:
    `masks` computes what it does, and is what training differentiates.
    """

    def __init__(self, classes: int = 201, width: int = 256) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.pyramid = SeparablePyramid(DEEP_CHANNELS, width, RATES)
        self.class_head = FusedHead(SHALLOW_CHANNELS, width, classes, kernel=_KERNEL)
        self.centre_head = FusedHead(SHALLOW_CHANNELS, width, width, kernel=_KERNEL)
        self.pixel_head = FusedHead(SHALLOW_CHANNELS, width, width, kernel=_KERNEL)
        self.mask_embedding = nn.Parameter(_untrained(classes, width))
        self._initialise()

    def _initialise(self) -> None:
        """Begin as the published training does: features keep their scale, centres are rare."""
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Conv2d):
                gain = 2.0 if "_head" in name else 1.0
                nn.init.normal_(layer.weight, std=(gain / layer.weight[0].numel()) ** 0.5)
        for head, bias in ((self.class_head, _PRIOR), (self.centre_head, 0.0), (self.pixel_head, 0.0)):
            nn.init.normal_(head.predict.weight, std=0.01)
            nn.init.constant_(head.predict.bias, bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        shallow, deep = self.backbone(image)
        context = self.pyramid(deep)
        return {
            "class_heatmap": self.class_head(shallow, context),
            "centre_embeddings": self.centre_head(shallow, context),
            "pixel_embeddings": self.pixel_head(shallow, context),
        }

    def masks(self, outputs: dict[str, Tensor], classes: Tensor, places: Tensor) -> Tensor:
        """Return the mask logits (N, K, h, w) of centres of `classes` (N, K) at `places` (N, K), row · w + column.

        A centre's embedding times that of its class, which tells apart centres that fall together, passes two layers;
        its product with a pixel's is the mask there.
        """
        centres, pixels = outputs["centre_embeddings"].flatten(2), outputs["pixel_embeddings"]
        width = centres.shape[1]
        table, hidden, bias, scale, shift, out, offset = torch.split(
            self.mask_embedding, [len(self.mask_embedding) - 2 * width - 4, width, 1, 1, 1, width, 1]
        )
        features = centres.gather(2, places[:, None, :].expand(-1, width, -1)).transpose(1, 2)  # (N, K, width)
        x = F.linear(features * table[classes], hidden, bias[0])
        x = F.relu(F.layer_norm(x, (width,), scale[0], shift[0], _EPSILON))
        logits: Tensor = F.linear(x, out, offset[0]) @ pixels.flatten(2)
        return logits.reshape(*places.shape, *pixels.shape[2:])


def _untrained(classes: int, width: int) -> Tensor:
    """Return the weights that make masks of centres, one matrix of rows of `width` numbers.

    First the classes' embeddings, then the first layer and its bias, a layer norm's scale and shift, the second layer
    and its bias; a layer has one row an output.
    """
    layer = nn.Linear(width, width)
    other = nn.Linear(width, width)
    rows = (
        torch.rand(classes, width) * 0.1 - 0.05,
        layer.weight, layer.bias[None], torch.ones(1, width), torch.zeros(1, width),
        other.weight, torch.zeros(1, width),
    )  # fmt: skip
    return torch.cat(rows).detach()
