"""A whole TiTok tokenizer, to train: encoder, straight-through quantizer, decoder, one state dict for both halves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.zoo._titok import Codebook, Sizes, TokenDecoder, TokenEncoder


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What a training step compares and adds up."""

    image: Tensor  # (N, 3, H, W), about 0 to 1, not clamped
    codes: Tensor  # (N, K) int64
    commitment: Tensor  # the mean square of what separates latents from their vectors, which pulls the latents
    codebook: Tensor  # the same number, which pulls the vectors


class TiTok(nn.Module):
    """Encode, quantize and decode pictures (N, 3, H, W) of 0…1.

    Gradients pass the quantizer as if it were not there: van den Oord et al., Neural Discrete Representation Learning
    (arXiv:1711.00937), whose losses are commitment · 0.25 + codebook. The keys are those of the published whole
    tokenizers: `edge deploy` loads either half from the one file.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.latent_tokens = nn.Parameter(sizes.width**-0.5 * torch.randn(sizes.tokens, sizes.width))
        self.encoder = TokenEncoder(sizes)
        self.quantize = Codebook(sizes.codes, sizes.depth)
        self.decoder = TokenDecoder(sizes)
        self._normalised = sizes.normalised

    def forward(self, image: Tensor) -> Reconstruction:
        latents = self._comparable(self.encoder(image, self.latent_tokens))
        codes = self.lookup(latents)
        vectors = self._comparable(F.embedding(codes, self.quantize.embedding.weight))
        passed = latents + (vectors - latents).detach()
        return Reconstruction(
            image=self.decoder(passed),
            codes=codes,
            commitment=F.mse_loss(latents, vectors.detach()),
            codebook=F.mse_loss(vectors, latents.detach()),
        )

    @torch.no_grad()
    def lookup(self, latents: Tensor) -> Tensor:
        """Return the index of the nearest code vector (N, K) of latents (N, K, depth), compared in float32."""
        vectors = self._comparable(self.quantize.embedding.weight).float()
        likeness = F.linear(latents.float(), vectors, -0.5 * vectors.square().sum(dim=-1))
        return likeness.argmax(dim=-1)

    @torch.no_grad()
    def renew(self, latents: Tensor, used: Tensor) -> int:
        """Put random latents (M, depth) in the place of code vectors that `used` (codes,) says nothing chose.

        Returns how many were replaced. Unused vectors get no gradient and would stay unused.
        """
        unused = (~used).nonzero().flatten()
        if len(latents) and len(unused):
            chosen = torch.randint(len(latents), (len(unused),), device=latents.device)
            self.quantize.embedding.weight[unused] = latents[chosen].to(self.quantize.embedding.weight)
        return len(unused) if len(latents) else 0

    def _comparable(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors, dim=-1) if self._normalised else vectors


def build(sizes: Sizes) -> TiTok:
    """Build a single-stage tokenizer with weights drawn as the published ones were (normal, σ = 0.02).

    Raises ValueError for a legacy one, whose decoder makes codes of another network and not a picture.
    """
    if sizes.legacy:
        raise ValueError("a legacy tokenizer decodes to another network's codes; train a single-stage one")
    whole = TiTok(sizes)
    for part in whole.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.trunc_normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    nn.init.uniform_(whole.quantize.embedding.weight, -1.0 / sizes.codes, 1.0 / sizes.codes)
    return whole
