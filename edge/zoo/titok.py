"""TiTok (arXiv:2406.07550): a picture of 256² pixels in 32 or 128 tokens of 12 bits, decoded on servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edge.contract import Contract, Postprocess, TensorSpec
from edge.zoo import ZooModel, model

if TYPE_CHECKING:
    from torch import nn

_SIDE = 256
_CODES = 4096
_PUBLISHED = "huggingface.co/yucornetto"
# The code of the repository is Apache-2.0; its README says of the weights: trained on ImageNet, for research only.
_LICENCE = "Apache-2.0 (code); published weights for research purposes only"


def _small_network() -> nn.Module:
    from edge.zoo._titok import build

    return build(tokens=128, width=512, layers=8, heads=8)


def _large_network() -> nn.Module:
    from edge.zoo._titok import build

    return build(tokens=32, width=1024, layers=24, heads=16)


def _contract(tokens: int) -> Contract:
    return Contract(
        inputs=(TensorSpec(name="tokens", shape=(1, tokens), dtype="int32"),),
        outputs=(TensorSpec(name="image", shape=(1, 3, _SIDE, _SIDE), layout="NCHW"),),
        task="detokenization",
        postprocess=Postprocess(decoder="picture", settings={"codes": _CODES}),
    )


def _decoder(name: str, tokens: int, size: str, network: Callable[[], nn.Module]) -> ZooModel:
    """Describe one decoder; the published files hold whole tokenizers."""
    return ZooModel(
        name=f"titok-{name}-decoder",
        summary=f"{tokens} tokens ({tokens * 12 // 8} bytes) to a picture of 256², {size}; weights for research only",
        contract=_contract(tokens),
        licence=_LICENCE,
        network=network,
        checkpoint_hint=f"model.safetensors of {_PUBLISHED}/tokenizer_titok_{name}_imagenet (research only)",
        unused_keys=("encoder.", "latent_tokens"),
        runs="server",
    )


@model
def titok_s128_decoder() -> ZooModel:
    """Describe the decoder of TiTok-S-128."""
    return _decoder("s128", 128, "58 M parameters", _small_network)


@model
def titok_l32_decoder() -> ZooModel:
    """Describe the decoder of TiTok-L-32."""
    return _decoder("l32", 32, "338 M parameters", _large_network)
