"""What computes in the recipe titok-tiny."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.images import read_image, warp
from edge.tasks import Image
from edge.tasks._geometry import stretch_matrix
from edge.train.data.augment import Augmentation, Augmented
from edge.train.data.mix import mix, shuffled
from edge.train.data.people import People
from edge.train.data.sample import SyntheticSamples
from edge.train.perceptual import PerceptualDistance
from edge.train.plan import SourceRecord
from edge.train.recipes import Setting
from edge.train.recipes._people import SHARES, EmptyRooms, SampleStream, held_out_paths, kept, unlabelled
from edge.train.recipes._sources import RENDERED, ROOMS
from edge.train.study import Batch, Learner, Metrics, Study, frozen
from edge.zoo._efficientnet_lite import build as build_features
from edge.zoo._efficientnet_lite import pretrained_weights
from edge.zoo._titok_whole import TiTok
from edge.zoo._titok_whole import build as build_tokenizer
from edge.zoo.titok import tiny

_SIDE = 128
_WEIGHTS = {"l1": 1.0, "l2": 1.0, "perceptual": 1.0, "commitment": 0.25, "codebook": 1.0}
_RENEW_EVERY = 50  # steps, after which code vectors that nothing chose are put where pictures are
_MOST_HELD_OUT = 64
_BYTES = 80  # of the tokens of a picture: 64 of 10 bits


class TokenizerLearner(Learner[TiTok]):
    """Encode, quantize, decode and compare; code vectors that stay unused are moved."""

    used: Tensor
    steps: Tensor

    def __init__(self, network: TiTok, looks: PerceptualDistance, codes: int) -> None:
        super().__init__()
        self.network = network
        self._looks = looks
        self.register_buffer("used", torch.zeros(codes, dtype=torch.bool))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of pictures `image` (N, 3, 128, 128) of 8 bits."""
        picture = batch["image"].float() / 255.0
        found = self.network(picture)
        self._renew(picture, found.codes)
        losses = {
            "l1": F.l1_loss(found.image, picture),
            "l2": F.mse_loss(found.image, picture),
            "perceptual": self._looks(found.image, picture),
            "commitment": found.commitment,
            "codebook": found.codebook,
        }
        return {name: _WEIGHTS[name] * value for name, value in losses.items()}

    @torch.no_grad()
    def _renew(self, picture: Tensor, codes: Tensor) -> None:
        """Count which codes are used, and now and then renew the others in place, in all processes alike."""
        self.used[codes.flatten()] = True
        self.steps += 1
        if int(self.steps) % _RENEW_EVERY:
            return
        latents = self.network.encoder(picture, self.network.latent_tokens)
        self.network.renew(latents.flatten(0, 1), self.used)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.broadcast(self.network.quantize.embedding.weight, 0)
        self.used.zero_()


def study(setting: Setting) -> Study:
    """Return what a training needs."""
    seed, sizes = setting.plan.seed, tiny()
    features = frozen(build_features(None if setting.smoke else pretrained_weights()))
    how = Augmentation(size_hw=(_SIDE, _SIDE), margin=1.5, shift=0.3, scale=1.8, rotation=0.1, blurred=0.0, noise=0.0,
                       compressed=0.0, occluded=0.0)  # fmt: skip
    paths = held_out_paths(setting)[:_MOST_HELD_OUT]
    held_out = [_square(read_image(path)) for path in paths]
    frames, records = unlabelled(setting, len(held_out))
    sources = (
        SyntheticSamples(People(seed, size_hw=(_SIDE, _SIDE))),
        shuffled(kept(frames), seed),
        EmptyRooms(seed, (_SIDE, _SIDE)),
    )
    made = [
        SourceRecord(name=source.name, licence=source.licence, training=0, held_out=0, sha256="")
        for source in (RENDERED, ROOMS)
    ]
    return Study(
        learner=TokenizerLearner(build_tokenizer(sizes), PerceptualDistance(features), sizes.codes),
        stream=SampleStream(Augmented(mix(sources, SHARES, seed), how, seed)),
        evaluate=lambda network, device: reconstruction(network, held_out, device),
        references=lambda _: {
            "mean colour PSNR dB": _mean_psnr(held_out, lambda picture: _thumbnail(picture, 1)),
            f"thumbnail of {3 * _thumbnail_side() ** 2} bytes PSNR dB": _mean_psnr(
                held_out, lambda picture: _thumbnail(picture, _thumbnail_side())
            ),
        },
        frozen=(features,),
        data=(*records, *made),
    )


def _square(image: Image) -> Tensor:
    """Return a picture (3, 128, 128) in 0…1, stretched as the model's contract has it."""
    size = (_SIDE, _SIDE)
    pixels = warp(image, stretch_matrix((image.shape[0], image.shape[1]), size), size, border=None)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float() / 255.0


def reconstruction(network: nn.Module, pictures: Sequence[Tensor], device: torch.device) -> Metrics:
    """Return the mean PSNR of pictures that were encoded and decoded, and how many of the codes they need."""
    values, used = [], set()
    for picture in pictures:
        with torch.no_grad():
            found = network(picture[None].to(device))
        values.append(psnr(found.image[0].float().cpu().clamp(0.0, 1.0), picture))
        used |= set(found.codes.flatten().tolist())
    return {"PSNR dB": float(np.mean(values)), "codes used": float(len(used))}


def psnr(found: Tensor, target: Tensor) -> float:
    """Return the peak signal-to-noise ratio in dB of a picture in 0…1; 100 for equal ones."""
    error = float((found - target).square().mean())
    return min(100.0, -10.0 * math.log10(max(error, 1e-10)))


def _thumbnail_side() -> int:
    """Return the side of the largest square of RGB that takes no more bytes than the tokens."""
    return math.isqrt(_BYTES // 3)


def _thumbnail(picture: Tensor, side: int) -> Tensor:
    """Return the picture shrunk to so many pixels a side, in 8 bits, and enlarged again."""
    small = (F.adaptive_avg_pool2d(picture[None], side) * 255.0).round() / 255.0
    return F.interpolate(small, size=picture.shape[-2:], mode="bicubic", align_corners=False)[0].clamp(0.0, 1.0)


def _mean_psnr(pictures: Sequence[Tensor], change: Callable[[Tensor], Tensor]) -> float:
    return float(np.mean([psnr(change(picture), picture) for picture in pictures]))
