"""TiTok (arXiv:2406.07550): a picture to 1D tokens and back, under the keys of bytedance/1d-tokenizer.

Its legacy tokenizers decode tokens to a grid of VQGAN codes that a second network makes a picture of; the single-stage
ones decode straight to patches of RGB.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.zoo._maskgit_vq import PixelDecoder
from edge.zoo._vit import TransformerBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Say how large a tokenizer is; what has a default is the same in the published legacy ones."""

    tokens: int
    width: int
    layers: int  # of the encoder, and of the decoder
    heads: int
    legacy: bool = True
    normalised: bool = True  # code vectors and latents are compared by their directions
    codes: int = 4096
    depth: int = 12  # of a code vector
    grid: int = 16  # patches a side
    patch: int = 16  # pixels a side
    pixel_codes: int = 1024  # of the legacy decoder's second stage, as the next two
    pixel_depth: int = 256
    pixel_width: int = 128


class Codebook(nn.Module):
    """Hold code vectors (codes, depth)."""

    def __init__(self, codes: int, depth: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, depth)


class TokenEncoder(nn.Module):
    """Turn pictures (N, 3, H, W) and latent tokens (K, width) into latents (N, K, depth).

    The sequence is a class token, the patches, the tokens. The published legacy encoders take the memory of the tokens
    (K, width) for (width, K) before they are projected, and their weights were trained so; it is done likewise here.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, scale = sizes.width, sizes.width**-0.5
        self.patch_embed = nn.Conv2d(3, width, sizes.patch, stride=sizes.patch)
        self.class_embedding = nn.Parameter(scale * torch.randn(1, width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(sizes.grid**2 + 1, width))
        self.latent_token_positional_embedding = nn.Parameter(scale * torch.randn(sizes.tokens, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = nn.ModuleList([TransformerBlock(width, sizes.heads) for _ in range(sizes.layers)])
        self.ln_post = nn.LayerNorm(width)
        self.conv_out = nn.Conv2d(width, sizes.depth, 1)
        self._legacy = sizes.legacy

    def forward(self, image: Tensor, latent_tokens: Tensor) -> Tensor:
        count = image.shape[0]
        patches = self.patch_embed(image).flatten(2).transpose(1, 2) + self.positional_embedding[1:]
        first = self.class_embedding + self.positional_embedding[:1]
        tokens = latent_tokens + self.latent_token_positional_embedding
        parts = [first.expand(count, -1, -1), patches, tokens.expand(count, -1, -1)]
        x = self.ln_pre(torch.cat(parts, dim=1))
        for block in self.transformer:
            x = block(x)
        x = self.ln_post(x[:, 1 + patches.shape[1] :])
        if self._legacy:
            x = x.reshape(count, x.shape[2], x.shape[1]).transpose(1, 2)
        return F.linear(x, self.conv_out.weight.flatten(1), self.conv_out.bias)


class TiTokEncoder(nn.Module):
    """Encode pictures (N, 3, H, W) of 0…1 to {"z": (N, K, depth)}; the codebook is held for who looks the codes up."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.latent_tokens = nn.Parameter(sizes.width**-0.5 * torch.randn(sizes.tokens, sizes.width))
        self.encoder = TokenEncoder(sizes)
        self.quantize = Codebook(sizes.codes, sizes.depth)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"z": self.encoder(image, self.latent_tokens)}


class TiTokIndexer(TiTokEncoder):
    """Encode pictures (N, 3, H, W) of 0…1 to {"codes": (N, K) int32}, looked up inside the graph."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self._normalised = sizes.normalised

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        latents = self.encoder(image, self.latent_tokens)
        vectors = self.quantize.embedding.weight
        if self._normalised:  # of directions the nearest has the largest product, however long the latent is
            likeness = F.linear(latents, F.normalize(vectors, dim=-1))
        else:
            likeness = F.linear(latents, vectors, -0.5 * vectors.square().sum(dim=-1))
        return {"codes": likeness.argmax(dim=-1).to(torch.int32)}


class _Patches(nn.Sequential):
    """Project places (N, width, grid, grid) to patches of RGB and lay them side by side, (N, 3, H, W).

    The published channels are (row, column, colour) of the patch; pixel_shuffle, which runtimes know, wants the colour
    first: the projection's rows are sorted, not its results.
    """

    def __init__(self, width: int, patch: int) -> None:
        super().__init__(nn.Conv2d(width, 3 * patch**2, 1))
        self._patch = patch

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self[0].parameters()
        by_colour = weight.reshape(-1, 3, weight.shape[1], 1, 1).transpose(0, 1).flatten(0, 1)
        return F.pixel_shuffle(F.conv2d(x, by_colour, bias.reshape(-1, 3).T.flatten()), self._patch)


def _logits(sizes: Sizes) -> nn.Sequential:
    wide = 2 * sizes.width
    return nn.Sequential(nn.Conv2d(sizes.width, wide, 1), nn.Tanh(), nn.Conv2d(wide, sizes.pixel_codes, 1))


class TokenDecoder(nn.Module):
    """Turn token vectors (N, K, depth) into what `ffn` makes of every place of the grid (N, ·, grid, grid).

    A mask token stands at every place of the grid; after the transformer it has become the place's content. The
    sequence is a class token, the grid, the tokens. Legacy decoders make logits over the VQGAN's codes, others RGB.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, scale = sizes.width, sizes.width**-0.5
        self.decoder_embed = nn.Linear(sizes.depth, width)
        self.class_embedding = nn.Parameter(scale * torch.randn(1, width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(sizes.grid**2 + 1, width))
        self.mask_token = nn.Parameter(scale * torch.randn(1, 1, width))
        self.latent_token_positional_embedding = nn.Parameter(scale * torch.randn(sizes.tokens, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = nn.ModuleList([TransformerBlock(width, sizes.heads) for _ in range(sizes.layers)])
        self.ln_post = nn.LayerNorm(width)
        self.ffn = _logits(sizes) if sizes.legacy else _Patches(width, sizes.patch)
        self.conv_out = nn.Identity() if sizes.legacy else nn.Conv2d(3, 3, 3, padding=1)
        self._grid = sizes.grid

    def forward(self, vectors: Tensor) -> Tensor:
        places = self._grid**2
        masks = self.mask_token[0].expand(places, -1)
        grid = torch.cat([self.class_embedding, masks]) + self.positional_embedding
        tokens = self.decoder_embed(vectors) + self.latent_token_positional_embedding
        x = self.ln_pre(torch.cat([grid.expand(vectors.shape[0], -1, -1), tokens], dim=1))
        for block in self.transformer:
            x = block(x)
        x = self.ln_post(x[:, 1 : 1 + places])
        made: Tensor = self.conv_out(self.ffn(x.transpose(1, 2).unflatten(2, (self._grid, self._grid))))
        return made


class TiTokDecoder(nn.Module):
    """Decode token ids (N, K) to {"image": (N, 3, H, W)} in 0…1; the single-stage form.

    Ids beyond the codebook are taken as its ends: as an index they would end a GPU's whole process.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.quantize = Codebook(sizes.codes, sizes.depth)
        self.decoder = TokenDecoder(sizes)
        self._normalised = sizes.normalised

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        codebook = self.quantize.embedding
        vectors = codebook(tokens.clamp(0, codebook.num_embeddings - 1))
        if self._normalised:
            vectors = F.normalize(vectors, dim=-1)
        return {"image": self._pixels(self.decoder(vectors)).clamp(0.0, 1.0)}

    def _pixels(self, decoded: Tensor) -> Tensor:
        return decoded


class LegacyTiTokDecoder(TiTokDecoder):
    """Decode token ids (N, K) to {"image": (N, 3, 16·grid, 16·grid)} in 0…1 through a VQGAN's decoder.

    Before it every place takes the mean of all the VQGAN's code vectors by the softmax of its logits, as published.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self.pixel_quantize = Codebook(sizes.pixel_codes, sizes.pixel_depth)
        self.pixel_decoder = PixelDecoder(sizes.pixel_depth, sizes.pixel_width)

    def _pixels(self, decoded: Tensor) -> Tensor:
        shares = decoded.softmax(dim=1)
        pixels: Tensor = self.pixel_decoder(torch.einsum("nchw,cd->ndhw", shares, self.pixel_quantize.embedding.weight))
        return pixels


def build_decoder(sizes: Sizes) -> TiTokDecoder:
    """Build a decoder from token ids."""
    return LegacyTiTokDecoder(sizes) if sizes.legacy else TiTokDecoder(sizes)
