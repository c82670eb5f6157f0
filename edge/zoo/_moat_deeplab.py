"""DeepLabv3+ on MOAT: a pyramid over the features at stride 32, fused with those at stride 4."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from edge.zoo._deeplabv3 import resize_like
from edge.zoo._moat import MOAT, Sizes
from edge.zoo._separable_head import FusedHead, SeparablePyramid

_RATES = (3, 6, 9)  # at stride 32 the reach of DeepLab's 6, 12 and 18 at stride 16
_KERNEL = 5  # of the decoder's depthwise convolutions, as in deeplab2


class MOATDeepLab(nn.Module):
    """Segment (N, 3, H, W) pictures into class logits {"out": (N, classes, H, W)}.

    Features pass GELU before the head, as deeplab2's do.
    """

    def __init__(self, sizes: Sizes, classes: int = 21, width: int = 128) -> None:
        super().__init__()
        self.backbone = MOAT(sizes)
        self.pyramid = SeparablePyramid(sizes.widths[-1], width, _RATES)
        self.head = FusedHead(sizes.widths[0], width, classes, kernel=_KERNEL)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.backbone(image)
        shallow, deep = F.gelu(features[0]), F.gelu(features[-1])
        return {"out": resize_like(self.head(shallow, self.pyramid(deep)), image)}
