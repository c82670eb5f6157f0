"""tiny-MOAT (arXiv:2210.01820), a backbone of convolutions and attention, with DeepLabv3+'s head: 21 VOC classes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from edge.zoo import ZooModel, model
from edge.zoo._voc import voc_segmentation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

_SIDE = 256


def _network(number: int, *, positions: bool = False) -> nn.Module:
    """Build tiny-MOAT-`number` with its head; without position embeddings it takes any size alike."""
    from edge.zoo._moat import POSITIONS, TINY, Sizes
    from edge.zoo._moat_deeplab import MOATDeepLab

    return MOATDeepLab(Sizes(TINY[number], positions=POSITIONS if positions else None))


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    from edge.zoo._moat_tf import from_tensorflow

    return from_tensorflow(tensors, prefix="backbone.")


def _tiny_moat(number: int, parameters: str) -> ZooModel:
    return ZooModel(
        name=f"deeplabv3plus-tiny-moat-{number}",
        summary=f"21-class semantic segmentation with attention, {parameters} parameters (tiny-MOAT, DeepLabv3+ head)",
        contract=voc_segmentation(_SIDE),
        licence="Apache-2.0",
        network=partial(_network, number),
        rename=_renamed,
        checkpoint_hint=(
            "your own training, whose backbone may begin with deeplab2's file "
            f"tiny_moat{number}_imagenet_1k_256_wo_position_embedding (docs/zoo.md says how)"
        ),
    )


@model
def tiny_moat_0() -> ZooModel:
    """Describe the smallest, whose backbone has 3.3 M parameters with its ImageNet classifier."""
    return _tiny_moat(0, "3.4 M")


@model
def tiny_moat_1() -> ZooModel:
    """Describe the one of width 40 to 320 (5.1 M)."""
    return _tiny_moat(1, "5.1 M")


@model
def tiny_moat_2() -> ZooModel:
    """Describe the one of width 56 to 448 (9.7 M)."""
    return _tiny_moat(2, "9.7 M")


@model
def tiny_moat_3() -> ZooModel:
    """Describe the largest of the tiny ones, of width 80 to 640 (19.5 M)."""
    return _tiny_moat(3, "19.4 M")
