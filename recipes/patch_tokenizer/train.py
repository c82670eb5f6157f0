"""Train the tokenizer with float weights, go on from there with ternary ones and with float ones, and measure all.

    python recipes/patch_tokenizer/train.py --out out/patch_tokenizer

Pictures: the kit's photographs of cameras 1 and 2 and scikit-image's coffee and chelsea to train on; of cameras 3 and 4
and astronaut to measure on. Writes encoder.safetensors and decoder.safetensors of each training, ternary weights
packed, a line of losses a step, and result.json. A training whose files are there is not repeated.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))
from model import BITS, PATCH, Decoder, Encoder

from edge.images import read_image
from edge.samples import photographs, sample_photos
from quant.ternary import unpack
from quant.ternary.checkpoint import KEY, read_packed, write_packed
from quant.ternary.layers import freeze, set_warmup, ternarize

SIDE = 64  # of a crop
BATCH = 24
LARGEST_RATE = 2e-3
ONSET = 0.4  # of the ternary training: the share over which rounding sets in
COMMITMENT = 0.02  # weight of keeping the numbers near ±1


class Tokenizer(nn.Module):
    """Encode, round to signs and decode; gradients pass the signs as if they were tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder(SIDE // PATCH)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pictures again, and the numbers before rounding."""
        numbers = self.encoder(pictures)
        soft = torch.tanh(numbers)
        self.decoder.rows = pictures.shape[2] // PATCH
        return self.decoder(soft + (signs(numbers) - soft).detach()), numbers


def signs(numbers: Tensor) -> Tensor:
    """Return ±1; 0 counts as positive."""
    return torch.where(numbers >= 0, 1.0, -1.0)


def crops(pictures: Sequence[NDArray[np.uint8]], step: int) -> Tensor:
    """Return a batch (BATCH, 3, SIDE, SIDE) in [0, 1], chosen by the step alone: scaled, cut, mirrored, relit."""
    random = np.random.default_rng((7, step))
    batch = []
    for _ in range(BATCH):
        picture = pictures[int(random.integers(len(pictures)))]
        size = int(random.integers(SIDE, min(3 * SIDE, *picture.shape[:2]) + 1))
        top, left = (int(random.integers(extent - size + 1)) for extent in picture.shape[:2])
        cut = torch.from_numpy(picture[top : top + size, left : left + size].copy()).permute(2, 0, 1)[None] / 255
        cut = F.interpolate(cut, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
        cut = cut.flip(3) if random.random() < 0.5 else cut
        gain, shift = random.uniform(0.7, 1.3), random.uniform(-0.1, 0.1)
        batch.append((cut * gain + shift)[:, random.permutation(3)].clamp(0, 1))
    return torch.cat(batch)


def train(model: Any, pictures: Sequence[NDArray[np.uint8]], steps: int, log: Path, *, first: int = 0) -> None:
    """Train in place on the crops from step `first` on: squared error of the picture, and numbers near ±1."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LARGEST_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LARGEST_RATE, steps, pct_start=0.1)
    with log.open("w", buffering=1) as lines:
        for step in range(steps):
            set_warmup(model, step / (ONSET * steps))
            batch = crops(pictures, first + step)
            again, numbers = model(batch)
            error = F.mse_loss(again, batch)
            size = float(error.detach())
            loss = error + COMMITMENT * (numbers.abs() - 1).square().mean() * size
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            lines.write(json.dumps({"step": step + 1, "error": size}) + "\n")


@torch.no_grad()
def measure(again: Callable[[Tensor], Tensor], pictures: Sequence[NDArray[np.uint8]]) -> list[float]:
    """Return the peak signal-to-noise ratio in dB of each picture's middle 128×128 after halving, of [0, 1] values."""
    found = []
    for picture in pictures:
        whole = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255
        half = F.interpolate(whole, scale_factor=0.5, mode="bilinear", antialias=True)
        top, left = (half.shape[2] - 128) // 2, (half.shape[3] - 128) // 2
        cut = half[:, :, top : top + 128, left : left + 128]
        found.append(float(-10 * torch.log10(F.mse_loss(again(cut).clamp(0, 1), cut))))
    return found


def shrunk(pictures: Tensor) -> Tensor:
    """Return pictures from one colour a patch (24 bits, half as many again as the tokenizer's), interpolated."""
    small = (F.avg_pool2d(pictures, PATCH) * 255).round() / 255
    return F.interpolate(small, scale_factor=PATCH, mode="bicubic", align_corners=False)


def stage(name: str, out: Path, model: Tokenizer, learn: Callable[[Tokenizer], Tokenizer]) -> Tokenizer:
    """Return a trained model: what an earlier run wrote, or what `learn` makes of a copy of `model`."""
    folder, trained = out / name, copy.deepcopy(model)
    files = {part: folder / f"{part}.safetensors" for part in ("encoder", "decoder")}
    if not all(path.is_file() for path in files.values()):
        folder.mkdir(parents=True, exist_ok=True)
        print(f"training {name}", flush=True)
        trained = learn(trained)
        for part, path in files.items():
            write_packed(path, getattr(trained, part).state_dict())
    for part, path in files.items():
        getattr(trained, part).load_state_dict(read_packed(path))
    return trained.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000, help="of each of the three trainings")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    photos, (astronaut, *others) = photographs(), sample_photos()
    seen = [read_image(path) for path in (*photos.calibration, *others)]
    unseen = [read_image(path) for path in dict.fromkeys((*photos.evaluation, astronaut)) if path not in others]
    steps, out = options.steps, options.out

    def plainly(model: Tokenizer) -> Tokenizer:
        train(model, seen, steps, out / "float" / LOSSES)
        return model

    def longer(model: Tokenizer) -> Tokenizer:
        train(model, seen, steps, out / "float-longer" / LOSSES, first=steps)
        return model

    def ternarized(model: Tokenizer) -> Tokenizer:
        student = ternarize(model, lambda name, part: isinstance(part, nn.Linear) and name.split(".")[-1] in LAYERS)
        train(student, seen, steps, out / "ternary" / LOSSES, first=steps)
        return freeze(student)

    plain = stage("float", out, Tokenizer(), plainly)
    models = {
        "float": plain,
        "float-longer": stage("float-longer", out, plain, longer),
        "ternary": stage("ternary", out, plain, ternarized),
    }
    scores = {name: measure(lambda cut, model=model: model(cut)[0], unseen) for name, model in models.items()}
    scores["a colour a patch"] = measure(shrunk, unseen)
    weights = [
        tensor for part in ("encoder", "decoder") for tensor in ternary_weights(out / "ternary" / f"{part}.safetensors")
    ]
    result = {
        "psnr_db": {name: round(float(np.mean(values)), 2) for name, values in scores.items()},
        "psnr_db_astronaut": {name: round(values[-1], 2) for name, values in scores.items()},
        "pictures": len(unseen), "bits_per_pixel": BITS / PATCH**2, "ternary_weights": sum(weights),
        "bytes": {str(path.relative_to(out)): path.stat().st_size for path in sorted(out.glob("*/*.safetensors"))},
        "steps": steps, "training_pictures": len(seen), "threads": options.threads, "device": platform.machine(),
        "torch": str(torch.__version__),
    }  # fmt: skip
    (out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def ternary_weights(path: Path) -> list[int]:
    """Return the sizes of the packed weights in a checkpoint."""
    from safetensors import safe_open

    with safe_open(path, "np") as stream:
        return [unpack(stream.get_tensor(name).tobytes()).trits.size for name in json.loads(stream.metadata()[KEY])]


LOSSES = "losses.jsonl"
LAYERS = ("widen", "narrow")  # of the blocks; the first and the last layers stay in float


if __name__ == "__main__":
    main()
