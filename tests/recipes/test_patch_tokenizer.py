"""The published tokenizer: its weights are ternary, load as any checkpoint, and give the picture back as recorded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from convert.load import load_user
from convert.program import Model
from edge.images import read_image
from quant.ternary import ternary_of

HERE = Path(__file__).parents[2] / "recipes" / "patch_tokenizer"
WITHIN_DB = 0.1  # of the recorded ratio: another machine rounds sums in another order


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {
        part: load_user(f"{HERE / 'model.py'}:{part}", HERE / f"{part}.safetensors") for part in ("encoder", "decoder")
    }


def test_the_wide_layers_are_ternary_and_the_files_small(models) -> None:
    for part, model in models.items():
        wide = {name: weight for name, weight in model.module.state_dict().items() if ".widen.weight" in name}
        wide |= {name: weight for name, weight in model.module.state_dict().items() if ".narrow.weight" in name}
        assert len(wide) == 4
        for weight in wide.values():
            ternary_of(weight.numpy())  # raises for any other
        assert (HERE / f"{part}.safetensors").stat().st_size < 0.2 * 4 * sum(
            weight.numel() for weight in model.module.parameters()
        )


def test_a_picture_that_was_not_trained_on_comes_back_as_recorded(models, photos) -> None:
    recorded = json.loads((HERE / "result.json").read_text())["psnr_db_astronaut"]["ternary"]
    picture = read_image(next(path for path in photos if path.name == "astronaut.png"))
    whole = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255
    half = F.interpolate(whole, scale_factor=0.5, mode="bilinear", antialias=True)
    top, left = (half.shape[2] - 128) // 2, (half.shape[3] - 128) // 2
    cut = half[:, :, top : top + 128, left : left + 128]
    with torch.no_grad():
        numbers = models["encoder"].module(cut)
        bits = torch.from_numpy(np.packbits(numbers.numpy() >= 0, axis=-1))  # 2 bytes a patch
        assert bits.shape == (1, 256, 2)
        signs = torch.from_numpy(np.unpackbits(bits.numpy(), axis=-1)).float() * 2 - 1
        again = models["decoder"].module(signs).clamp(0, 1)
    assert float(-10 * torch.log10(F.mse_loss(again, cut))) == pytest.approx(recorded, abs=WITHIN_DB)
