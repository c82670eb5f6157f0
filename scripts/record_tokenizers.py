"""Write tests/golden/{titok,maskbit}_outputs.json: what the published code computes with weights by a rule.

    python scripts/record_tokenizers.py titok CHECKOUT      # of github.com/bytedance/1d-tokenizer (942a96f)
    python scripts/record_tokenizers.py maskbit CHECKOUT    # of github.com/markweberdev/maskbit (5ea3d73)

One at a time: both call their package `modeling`. They need einops, omegaconf, huggingface_hub and accelerate beside
torch; torchvision, which only their losses use, is left out. The weights are those of tests/edge/zoo/filled.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "edge" / "zoo"))

from filled import fill, picture, scatter  # noqa: E402

TOKENS, SIDE = 8, 32


def values(tensor: torch.Tensor) -> Any:
    """Return a tensor as nested lists of seven digits."""
    if not tensor.is_floating_point():
        return tensor.tolist()
    flat = [float(f"{value:.7g}") for value in tensor.flatten().tolist()]
    return {"shape": list(tensor.shape), "values": flat}


def titok_config(*, legacy: bool) -> dict[str, Any]:
    vq = {
        "codebook_size": 4096, "token_size": 12, "use_l2_norm": True, "commitment_cost": 0.25,
        "vit_enc_model_size": "small", "vit_dec_model_size": "small", "vit_enc_patch_size": 16,
        "vit_dec_patch_size": 16, "num_latent_tokens": TOKENS, "finetune_decoder": legacy, "is_legacy": legacy,
    }  # fmt: skip
    return {"model": {"vq_model": vq}, "dataset": {"preprocessing": {"crop_size": SIDE}}}


def record_titok() -> dict[str, Any]:
    from modeling.quantizer.quantizer import VectorQuantizer
    from modeling.titok import TiTok

    found: dict[str, Any] = {}
    image = (picture(3, SIDE, SIDE).double() + 1) / 2
    tokens = torch.arange(TOKENS)[None] * 257 % 4096
    for name, legacy in (("legacy", True), ("single-stage", False)):
        whole = fill(TiTok(titok_config(legacy=legacy)).double())
        scatter(whole.quantize.embedding.weight)
        latents = whole.encoder(pixel_values=image, latent_tokens=whole.latent_tokens)
        quantized = whole.float().quantize(latents)
        whole = whole.double()
        found[name] = {
            "z": values(latents[0, :, 0].T),  # (tokens, depth)
            "codes": values(quantized[1]["min_encoding_indices"].flatten()),
            "tokens": values(tokens[0]),
            "image": values(whole.decode_tokens(tokens[:, None])[0]),
            "keys": {key: list(tensor.shape) for key, tensor in whole.state_dict().items()},
        }
    for name, normalised in (("by direction", True), ("by distance", False)):
        quantizer = VectorQuantizer(4096, 12, use_l2_norm=normalised)
        scatter(quantizer.embedding.weight)
        latents = torch.sin(torch.arange(40 * 12).double() * 0.913).reshape(1, 40, 1, 12).permute(0, 3, 2, 1).float()
        found[name] = values(quantizer(latents)[1]["min_encoding_indices"].flatten())
    return found


def record_maskbit() -> dict[str, Any]:
    from modeling.conv_vqgan import ConvVQModel
    from omegaconf import OmegaConf

    found: dict[str, Any] = {}
    image = (picture(3, SIDE, SIDE).double() + 1) / 2
    for bits in (10, 18):
        config = {
            "quantizer_type": "lookup-free", "codebook_size": 4096, "token_size": bits, "commitment_cost": 0.25,
            "entropy_loss_weight": 0.02, "entropy_loss_temperature": 0.01, "entropy_gamma": 1.0, "num_channels": 3,
            "hidden_channels": 32, "channel_mult": [1, 1, 2, 2, 4], "num_resolutions": 5, "num_res_blocks": 2,
            "sample_with_conv": True,
        }  # fmt: skip
        whole = ConvVQModel(OmegaConf.create(config)).double()
        constants = {key: tensor.clone() for key, tensor in whole.quantize.state_dict().items()}
        fill(whole)
        whole.quantize.load_state_dict(constants)
        whole.decoder.register_forward_pre_hook(lambda _, given: (given[0].double(),))  # its bits are float32
        tokens = torch.arange(4).reshape(1, 2, 2) * 61_909 % (1 << bits)
        found[f"{bits} bits"] = {
            "z": values(whole.encoder(image)[0]),
            "codes": values(whole.encode(image)[1]["min_encoding_indices"].flatten()),
            "tokens": values(tokens.flatten()),
            "image": values(whole.decode_tokens(tokens.flatten(1))[0]),
            "keys": {key: list(tensor.shape) for key, tensor in whole.state_dict().items()},
        }
    return found


def main() -> None:
    name, checkout = sys.argv[1:]
    sys.path.insert(0, checkout)
    for absent in ("torchvision", "torchvision.models", "torchvision.models.feature_extraction"):
        sys.modules[absent] = MagicMock()
    with torch.no_grad():
        found = {"titok": record_titok, "maskbit": record_maskbit}[name]()
    path = ROOT / "tests" / "golden" / f"{name}_outputs.json"
    path.write_text(json.dumps(found, separators=(",", ":")).replace('},"', '},\n"') + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
