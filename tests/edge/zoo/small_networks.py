"""Small variants of large networks: the same keys as the published ones have, few layers, narrow."""

from edge.contract import Contract, TensorSpec
from edge.zoo._maskbit import MaskBitDecoder
from edge.zoo._titok import Sizes, TiTokEncoder, TiTokIndexer, build_decoder
from edge.zoo.deeplabv3 import _residual_network
from edge.zoo.kmax import _network, _Sizes

_KMAX = _Sizes(
    backbone_blocks=(1, 1, 1, 1),
    backbone_width=8,
    decoder_blocks=(1, 2, 1, 1),
    decoder_widths=(64, 32, 16, 8),
    layers=(1, 1, 1),
    queries=10,
    width=32,
    classes=6,
)


def _picture(side):
    return Contract(inputs=(TensorSpec(name="image", shape=(1, 3, side, side), layout="NCHW"),))


def titok_sizes(*, legacy=True):
    return Sizes(
        tokens=8,
        width=32,
        layers=2,
        heads=4,
        grid=2,
        codes=64,
        pixel_codes=16,
        pixel_depth=8,
        pixel_width=8,
        legacy=legacy,
    )


_TOKENS = Contract(inputs=(TensorSpec(name="tokens", shape=(1, 8), dtype="int32"),))
_FOUR_TOKENS = Contract(inputs=(TensorSpec(name="tokens", shape=(1, 4), dtype="int32"),))
SMALL = {  # by the full model's name: what builds the small one, and its contract
    "deeplabv3-resnet101": (lambda: _residual_network((1, 1, 2, 2), 8, 16), _picture(65)),
    "kmax-deeplab-r50": (lambda: _network(_KMAX), _picture(65)),
    "maskbit-tokenizer-18bit-decoder": (lambda: MaskBitDecoder(18, 32, 2), _FOUR_TOKENS),
    "titok-s128-decoder": (lambda: build_decoder(titok_sizes()), _TOKENS),
    "titok-tiny-decoder": (lambda: build_decoder(titok_sizes(legacy=False)), _TOKENS),
    "titok-s128": (lambda: TiTokEncoder(titok_sizes()), _picture(32)),
    "titok-tiny": (lambda: TiTokEncoder(titok_sizes(legacy=False)), _picture(32)),
    "titok-s128-ids": (lambda: TiTokIndexer(titok_sizes()), _picture(32)),
}
TWINS = {  # models whose small variant is another's
    "titok-l32-decoder": "titok-s128-decoder",
    "titok-b64-decoder": "titok-s128-decoder",
    "titok-b64": "titok-s128",
    "titok-l32": "titok-s128",
    "titok-tiny-ids": "titok-s128-ids",
}
SMALL |= {name: SMALL[twin] for name, twin in TWINS.items()}
