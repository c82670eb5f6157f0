"""TiTok (arXiv:2406.07550): a picture of 256² pixels in 32, 64 or 128 tokens of 12 bits; one of 128² in 64 of 10.

Encoders end in the latents z; the nearest code vectors are looked up on the CPU, in floats. The models `…-ids` look
them up inside the graph, for apps that want ids from the model itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.zoo import TOKEN_IDS, ZooModel, model

if TYPE_CHECKING:
    from torch import nn

    from edge.zoo._titok import Sizes

_CODEBOOK = "quantize.embedding.weight"
_PUBLISHED = "huggingface.co/yucornetto"
# The code of the repository is Apache-2.0; its README says of the weights: trained on ImageNet, for research only.
_LICENCE = "Apache-2.0 (code); published weights for research purposes only"
_SECOND_HALF = ("decoder.", "pixel_quantize.", "pixel_decoder.")
_FIRST_HALF = ("encoder.", "latent_tokens")
Half = Literal["encoder", "indexer", "decoder"]


def s128() -> Sizes:
    """Return the sizes of TiTok-S-128."""
    from edge.zoo._titok import Sizes

    return Sizes(tokens=128, width=512, layers=8, heads=8)


def b64() -> Sizes:
    """Return the sizes of TiTok-B-64."""
    from edge.zoo._titok import Sizes

    return Sizes(tokens=64, width=768, layers=12, heads=12)


def l32() -> Sizes:
    """Return the sizes of TiTok-L-32."""
    from edge.zoo._titok import Sizes

    return Sizes(tokens=32, width=1024, layers=24, heads=16)


def sl256_encoder() -> Sizes:
    """Return the sizes of the encoder of TiTok-SL-256-VQ8k, a single-stage tokenizer with a small encoder."""
    from edge.zoo._titok import Sizes

    return Sizes(tokens=256, width=512, layers=8, heads=8, legacy=False, normalised=False, codes=8192, depth=64)


def sl256_decoder() -> Sizes:
    """Return the sizes of the large decoder of TiTok-SL-256-VQ8k."""
    from dataclasses import replace

    return replace(sl256_encoder(), width=1024, layers=24, heads=16)


def tiny() -> Sizes:
    """Return the sizes of a single-stage tokenizer for phones, whose halves have 2.4 million parameters each."""
    from edge.zoo._titok import Sizes

    return Sizes(tokens=64, width=192, layers=5, heads=3, legacy=False, codes=1024, grid=8)


def network(sizes: Callable[[], Sizes], half: Half) -> Callable[[], nn.Module]:
    """Return what builds one half of a tokenizer: its encoder to latents or to ids, or its decoder."""

    def build() -> nn.Module:
        from edge.zoo._titok import TiTokEncoder, TiTokIndexer, build_decoder

        return {"encoder": TiTokEncoder, "indexer": TiTokIndexer, "decoder": build_decoder}[half](sizes())

    return build


def latents_contract(
    tokens: int, *, side: int = 256, codes: int = 4096, depth: int = 12, normalised: int = 1
) -> Contract:
    """Return the contract of an encoder to latents, whose codebook is bound when weights are loaded."""
    settings: dict[str, float | int | str | list[float]] = {"codes": codes, "depth": depth, "normalised": normalised}
    return Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, side, side), layout="NCHW"),),
        outputs=(TensorSpec(name="z", shape=(1, tokens, depth)),),
        task="tokenization",
        preprocess=Preprocess(size=(side, side)),
        postprocess=Postprocess(decoder="nearest", settings=settings),
    )


def ids_contract(tokens: int, *, side: int = 256, codes: int = 4096) -> Contract:
    """Return the contract of an encoder that ends in ids."""
    return Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, side, side), layout="NCHW"),),
        outputs=(TensorSpec(name="codes", shape=(1, tokens), dtype="int32"),),
        task="tokenization",
        preprocess=Preprocess(size=(side, side)),
        postprocess=Postprocess(decoder="ids", settings={"codes": codes}),
    )


def picture_contract(tokens: int, *, side: int = 256, codes: int = 4096) -> Contract:
    """Return the contract of a decoder."""
    return Contract(
        inputs=(TensorSpec(name="tokens", shape=(1, tokens), dtype="int32"),),
        outputs=(TensorSpec(name="image", shape=(1, 3, side, side), layout="NCHW"),),
        task="detokenization",
        postprocess=Postprocess(decoder="picture", settings={"codes": codes}),
    )


def _hint(name: str) -> str:
    return f"model.safetensors of {_PUBLISHED}/tokenizer_titok_{name}_imagenet (research only)"


def _encoder(name: str, tokens: int, size: str, sizes: Callable[[], Sizes]) -> ZooModel:
    """Describe one encoder; the published files hold whole tokenizers."""
    return ZooModel(
        name=f"titok-{name}",
        summary=f"a picture of 256² to {tokens} tokens ({tokens * 12 // 8} bytes), {size}; weights for research only",
        contract=latents_contract(tokens),
        licence=_LICENCE,
        network=network(sizes, "encoder"),
        checkpoint_hint=_hint(name),
        unused_keys=_SECOND_HALF,
        codebook=_CODEBOOK,
    )


def _decoder(name: str, tokens: int, size: str, sizes: Callable[[], Sizes]) -> ZooModel:
    return ZooModel(
        name=f"titok-{name}-decoder",
        summary=f"{tokens} tokens ({tokens * 12 // 8} bytes) to a picture of 256², {size}; weights for research only",
        contract=picture_contract(tokens),
        licence=_LICENCE,
        network=network(sizes, "decoder"),
        checkpoint_hint=_hint(name),
        unused_keys=_FIRST_HALF,
        runs="server",
    )


@model
def titok_s128() -> ZooModel:
    """Describe the encoder of TiTok-S-128."""
    return _encoder("s128", 128, "25.9 M parameters", s128)


@model
def titok_b64() -> ZooModel:
    """Describe the encoder of TiTok-B-64."""
    return _encoder("b64", 64, "86 M parameters", b64)


@model
def titok_l32() -> ZooModel:
    """Describe the encoder of TiTok-L-32."""
    return _encoder("l32", 32, "303 M parameters", l32)


@model
def titok_s128_ids() -> ZooModel:
    """Describe the encoder of TiTok-S-128 with the lookup inside the graph."""
    return ZooModel(
        name="titok-s128-ids",
        summary="titok-s128 with the codebook inside the graph, for apps: ids come out; weights for research only",
        contract=ids_contract(128),
        licence=_LICENCE,
        network=network(s128, "indexer"),
        checkpoint_hint=_hint("s128"),
        unused_keys=_SECOND_HALF,
        limits=TOKEN_IDS,
    )


@model
def titok_s128_decoder() -> ZooModel:
    """Describe the decoder of TiTok-S-128."""
    return _decoder("s128", 128, "58 M parameters", s128)


@model
def titok_b64_decoder() -> ZooModel:
    """Describe the decoder of TiTok-B-64."""
    return _decoder("b64", 64, "119 M parameters", b64)


@model
def titok_l32_decoder() -> ZooModel:
    """Describe the decoder of TiTok-L-32."""
    return _decoder("l32", 32, "338 M parameters", l32)


@model
def titok_sl256_vq8k() -> ZooModel:
    """Describe the encoder of TiTok-SL-256-VQ8k."""
    return ZooModel(
        name="titok-sl256-vq8k",
        summary="a picture of 256² to 256 tokens (416 bytes), single-stage, 26 M parameters; research only",
        contract=latents_contract(256, codes=8192, depth=64, normalised=0),
        licence=_LICENCE,
        network=network(sl256_encoder, "encoder"),
        checkpoint_hint=_hint("sl256_vq8k"),
        unused_keys=_SECOND_HALF,
        codebook=_CODEBOOK,
    )


@model
def titok_sl256_vq8k_decoder() -> ZooModel:
    """Describe the decoder of TiTok-SL-256-VQ8k."""
    return ZooModel(
        name="titok-sl256-vq8k-decoder",
        summary="256 tokens (416 bytes) to a picture of 256², single-stage, 304 M parameters; research only",
        contract=picture_contract(256, codes=8192),
        licence=_LICENCE,
        network=network(sl256_decoder, "decoder"),
        checkpoint_hint=_hint("sl256_vq8k"),
        unused_keys=_FIRST_HALF,
        runs="server",
    )


_TINY_LICENCE = "Apache-2.0 (code); the weights' own"
_TINY_HINT = "the checkpoint.safetensors of `edge train titok-tiny`, which holds both halves"


@model
def titok_tiny() -> ZooModel:
    """Describe the encoder of a small single-stage tokenizer."""
    return ZooModel(
        name="titok-tiny",
        summary="a picture of 128² to 64 tokens of 10 bits (80 bytes), 2.4 M parameters; single-stage",
        contract=latents_contract(64, side=128, codes=1024),
        licence=_TINY_LICENCE,
        network=network(tiny, "encoder"),
        checkpoint_hint=_TINY_HINT,
        unused_keys=_SECOND_HALF,
        codebook=_CODEBOOK,
    )


@model
def titok_tiny_ids() -> ZooModel:
    """Describe the encoder of the small tokenizer with the lookup inside the graph."""
    return ZooModel(
        name="titok-tiny-ids",
        summary="titok-tiny with the codebook inside the graph, for apps: ids come out",
        contract=ids_contract(64, side=128, codes=1024),
        licence=_TINY_LICENCE,
        network=network(tiny, "indexer"),
        checkpoint_hint=_TINY_HINT,
        unused_keys=_SECOND_HALF,
        limits=TOKEN_IDS,
    )


@model
def titok_tiny_decoder() -> ZooModel:
    """Describe the decoder of the small tokenizer, which runs on a phone too."""
    return ZooModel(
        name="titok-tiny-decoder",
        summary="64 tokens of 10 bits (80 bytes) to a picture of 128², 2.4 M parameters; single-stage",
        contract=picture_contract(64, side=128, codes=1024),
        licence=_TINY_LICENCE,
        network=network(tiny, "decoder"),
        checkpoint_hint=_TINY_HINT,
        unused_keys=_FIRST_HALF,
    )
