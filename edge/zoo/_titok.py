"""TiTok's decoder (arXiv:2406.07550): 1D tokens to a grid of VQGAN codes to a picture, under the published keys."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.zoo._maskgit_vq import PixelDecoder
from edge.zoo._vit import TransformerBlock


class _Codebook(nn.Module):
    def __init__(self, codes: int, depth: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, depth)


class _TokenDecoder(nn.Module):
    """Turn token vectors (N, K, depth) into logits over the VQGAN's codes (N, codes, grid, grid).

    A mask token stands at every place of the grid; after the transformer it has become the place's code. The sequence
    is a class token, the grid, the tokens.
    """

    def __init__(self, tokens: int, depth: int, width: int, layers: int, heads: int, grid: int, codes: int) -> None:
        super().__init__()
        scale = width**-0.5
        self.decoder_embed = nn.Linear(depth, width)
        self.class_embedding = nn.Parameter(scale * torch.randn(1, width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(grid**2 + 1, width))
        self.mask_token = nn.Parameter(scale * torch.randn(1, 1, width))
        self.latent_token_positional_embedding = nn.Parameter(scale * torch.randn(tokens, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = nn.ModuleList([TransformerBlock(width, heads) for _ in range(layers)])
        self.ln_post = nn.LayerNorm(width)
        self.ffn = nn.Sequential(nn.Conv2d(width, 2 * width, 1), nn.Tanh(), nn.Conv2d(2 * width, codes, 1))
        self._grid = grid

    def forward(self, vectors: Tensor) -> Tensor:
        places = self._grid**2
        masks = self.mask_token[0].expand(places, -1)
        grid = torch.cat([self.class_embedding, masks]) + self.positional_embedding
        tokens = self.decoder_embed(vectors) + self.latent_token_positional_embedding
        x = self.ln_pre(torch.cat([grid.expand(vectors.shape[0], -1, -1), tokens], dim=1))
        for block in self.transformer:
            x = block(x)
        x = self.ln_post(x[:, 1 : 1 + places])
        logits: Tensor = self.ffn(x.transpose(1, 2).unflatten(2, (self._grid, self._grid)))
        return logits


class TiTokDecoder(nn.Module):
    """Decode token ids (N, K) to {"image": (N, 3, 16·grid, 16·grid)} in 0…1.

    Ids beyond the codebook are taken as its ends: as an index they would end a GPU's whole process. Before the VQGAN's
    decoder every place takes the mean of all code vectors by the softmax of its logits, as published.
    """

    def __init__(self, quantize: _Codebook, decoder: nn.Module, pixel_quantize: _Codebook, pixels: nn.Module) -> None:
        super().__init__()
        self.quantize = quantize
        self.decoder = decoder
        self.pixel_quantize = pixel_quantize
        self.pixel_decoder = pixels

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        codebook = self.quantize.embedding
        known = tokens.clamp(0, codebook.num_embeddings - 1)
        vectors = F.normalize(codebook(known), dim=-1)
        shares = self.decoder(vectors).softmax(dim=1)
        means = torch.einsum("nchw,cd->ndhw", shares, self.pixel_quantize.embedding.weight)
        return {"image": self.pixel_decoder(means).clamp(0.0, 1.0)}


def build(
    *, tokens: int, width: int, layers: int, heads: int, codes: int = 4096, depth: int = 12, grid: int = 16,
    pixel_codes: int = 1024, pixel_depth: int = 256, pixel_width: int = 128,
) -> TiTokDecoder:  # fmt: skip
    """Build a decoder; what has a default is the same in all published ones."""
    return TiTokDecoder(
        _Codebook(codes, depth),
        _TokenDecoder(tokens, depth, width, layers, heads, grid, pixel_codes),
        _Codebook(pixel_codes, pixel_depth),
        PixelDecoder(pixel_depth, pixel_width),
    )
