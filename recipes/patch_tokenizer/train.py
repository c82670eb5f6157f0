"""Train the tokenizer twice, with float weights and from there with ternary ones, and measure both.

    python recipes/patch_tokenizer/train.py --out out/patch_tokenizer

Pictures: the kit's photographs of cameras 1 and 2 and scikit-image's coffee and chelsea to train on; of cameras 3 and 4
and astronaut to measure on. Writes encoder.safetensors and decoder.safetensors with packed ternary weights, the float
ones beside them, result.json and losses.jsonl.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
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
from quant.ternary.checkpoint import write_packed
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
        picture = pictures[random.integers(len(pictures))]
        size = int(random.integers(SIDE, min(3 * SIDE, *picture.shape[:2]) + 1))
        top, left = (int(random.integers(extent - size + 1)) for extent in picture.shape[:2])
        cut = torch.from_numpy(picture[top : top + size, left : left + size].copy()).permute(2, 0, 1)[None] / 255
        cut = F.interpolate(cut, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
        cut = cut.flip(3) if random.random() < 0.5 else cut
        gain, shift = random.uniform(0.7, 1.3), random.uniform(-0.1, 0.1)
        batch.append((cut * gain + shift)[:, random.permutation(3)].clamp(0, 1))
    return torch.cat(batch)


def train(model: Tokenizer, pictures: Sequence[NDArray[np.uint8]], steps: int, log: Path, *, ternary: bool) -> None:
    """Train in place: squared error of the picture, and numbers near ±1."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LARGEST_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LARGEST_RATE, steps, pct_start=0.1)
    with log.open("a", buffering=1) as lines:
        for step in range(steps):
            if ternary:
                set_warmup(model, step / (ONSET * steps))
            batch = crops(pictures, step + (steps if ternary else 0))
            again, numbers = model(batch)
            error = F.mse_loss(again, batch)
            loss = error + COMMITMENT * (numbers.abs() - 1).square().mean() * float(error.detach())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            lines.write(json.dumps({"ternary": ternary, "step": step + 1, "error": float(error)}) + "\n")


@torch.no_grad()
def measure(model: Tokenizer, pictures: Sequence[NDArray[np.uint8]]) -> list[float]:
    """Return the peak signal-to-noise ratio in dB of each picture's middle 128×128 after halving, of [0, 1] values."""
    found = []
    for picture in pictures:
        whole = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255
        half = F.interpolate(whole, scale_factor=0.5, mode="bilinear", antialias=True)
        top, left = (half.shape[2] - 128) // 2, (half.shape[3] - 128) // 2
        cut = half[:, :, top : top + 128, left : left + 128]
        again = model(cut)[0].clamp(0, 1)
        found.append(float(-10 * torch.log10(F.mse_loss(again, cut))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3000, help="of each of the two trainings")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    options.out.mkdir(parents=True, exist_ok=True)
    photos, (astronaut, *others) = photographs(), sample_photos()
    seen = [read_image(path) for path in (*photos.calibration, *others)]
    unseen = [read_image(path) for path in dict.fromkeys((*photos.evaluation, astronaut)) if path not in others]
    began = time.monotonic()
    plain = Tokenizer()
    log = options.out / "losses.jsonl"
    log.unlink(missing_ok=True)
    train(plain, seen, options.steps, log, ternary=False)
    student = ternarize(plain, lambda name, part: isinstance(part, nn.Linear) and name.split(".")[-1] in LAYERS)
    train(student, seen, options.steps, log, ternary=True)
    frozen = freeze(student)
    result = write(plain.eval(), frozen.eval(), unseen, options.out)
    result |= {
        "steps": options.steps, "seconds": round(time.monotonic() - began), "training_pictures": len(seen),
        "threads": options.threads, "device": platform.machine(), "torch": torch.__version__,
    }  # fmt: skip
    (options.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


LAYERS = ("widen", "narrow")  # of the blocks; the first and the last layers stay in float


def write(plain: Tokenizer, frozen: Any, unseen: Sequence[NDArray[np.uint8]], out: Path) -> dict[str, Any]:
    """Write both trainings' weights and return what they reach on pictures that were not trained on."""
    weights = 0
    for part in ("encoder", "decoder"):
        packed = write_packed(out / f"{part}.safetensors", getattr(frozen, part).state_dict())
        write_packed(out / f"{part}-float.safetensors", getattr(plain, part).state_dict())
        weights += sum(tensor.trits.size for tensor in packed.values())
    scores = {"float": measure(plain, unseen), "ternary": measure(frozen, unseen)}
    sizes = {path.name: path.stat().st_size for path in sorted(out.glob("*.safetensors"))}
    return {
        "psnr_db": {name: round(float(np.mean(values)), 2) for name, values in scores.items()},
        "psnr_db_astronaut": {name: round(values[-1], 2) for name, values in scores.items()},
        "pictures": len(unseen), "bits_per_pixel": BITS / PATCH**2, "ternary_weights": weights, "bytes": sizes,
    }  # fmt: skip


if __name__ == "__main__":
    main()
