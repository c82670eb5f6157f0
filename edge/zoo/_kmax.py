"""kMaX-DeepLab put together, under the keys of the published PyTorch re-implementation."""

from __future__ import annotations

from torch import Tensor, nn


class _Head(nn.Module):
    def __init__(self, pixel_decoder: nn.Module, predictor: nn.Module) -> None:
        super().__init__()
        self.pixel_decoder = pixel_decoder
        self.predictor = predictor


class KMaXDeepLab(nn.Module):
    """Segment (N, 3, H, W) pictures by queries: "class_logits" (N, L, classes + 1), "mask_logits" (N, L, H/4, W/4).

    The last class stands for nothing. Axes of odd length are aligned at their corners, so that position i of a mask
    lies at pixel 4·i. Raises IndexError for pictures whose features at stride 16 are longer than 255.
    """

    def __init__(self, backbone: nn.Module, pixel_decoder: nn.Module, predictor: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.sem_seg_head = _Head(pixel_decoder, predictor)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.sem_seg_head.pixel_decoder(self.backbone(image))
        classes, masks = self.sem_seg_head.predictor(features)
        return {"class_logits": classes, "mask_logits": masks}
