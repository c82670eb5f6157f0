"""MaskBit's tokenizers (arXiv:2409.16211): a picture of 256² pixels in 16 × 16 tokens of 10 to 18 bits, no codebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.zoo import MODELS, ZooModel

if TYPE_CHECKING:
    from torch import nn

BITS = (10, 12, 14, 16, 18)
_SIDE, _GRID = 256, 16
# The code of the repository is Apache-2.0; its README says of the weights: trained on ImageNet, for research only.
_LICENCE = "Apache-2.0 (code); published weights for research purposes only"


def _encoder(bits: int) -> nn.Module:
    from edge.zoo._maskbit import MaskBitEncoder

    return MaskBitEncoder(bits)


def _decoder(bits: int) -> nn.Module:
    from edge.zoo._maskbit import MaskBitDecoder

    return MaskBitDecoder(bits)


def _hint(bits: int) -> str:
    return f"maskbit_tokenizer_{bits}bit.bin of huggingface.co/markweber/maskbit_tokenizer_{bits}bit (research only)"


def _size(bits: int) -> str:
    return f"{_GRID**2} tokens of {bits} bits ({_GRID**2 * bits // 8} bytes)"


def encoder(bits: int) -> ZooModel:
    """Describe an encoder; the published files hold whole tokenizers, `quantize` with constants alone."""
    return ZooModel(
        name=f"maskbit-tokenizer-{bits}bit",
        summary=f"a picture of 256² to {_size(bits)}, 25 M parameters; weights for research only",
        contract=Contract(
            inputs=(TensorSpec(name="image", shape=(1, 3, _SIDE, _SIDE), layout="NCHW"),),
            outputs=(TensorSpec(name="z", shape=(1, bits, _GRID, _GRID), layout="NCHW"),),
            task="tokenization",
            preprocess=Preprocess(size=(_SIDE, _SIDE)),
            postprocess=Postprocess(decoder="signs", settings={"codes": 1 << bits}),
        ),
        licence=_LICENCE,
        network=lambda: _encoder(bits),
        checkpoint_hint=_hint(bits),
        unused_keys=("decoder.", "quantize."),
    )


def decoder(bits: int) -> ZooModel:
    """Describe a decoder, which is meant for servers."""
    return ZooModel(
        name=f"maskbit-tokenizer-{bits}bit-decoder",
        summary=f"{_size(bits)} to a picture of 256², 29 M parameters; weights for research only",
        contract=Contract(
            inputs=(TensorSpec(name="tokens", shape=(1, _GRID**2), dtype="int32"),),
            outputs=(TensorSpec(name="image", shape=(1, 3, _SIDE, _SIDE), layout="NCHW"),),
            task="detokenization",
            postprocess=Postprocess(decoder="picture", settings={"codes": 1 << bits}),
        ),
        licence=_LICENCE,
        network=lambda: _decoder(bits),
        checkpoint_hint=_hint(bits),
        unused_keys=("encoder.", "quantize."),
        runs="server",
    )


for _bits in BITS:  # five sizes of one definition
    for _entry in (encoder(_bits), decoder(_bits)):
        MODELS.add(_entry.name, _entry)
