"""A small image tokenizer of linear layers: a patch of 8×8 pixels becomes 16 bits, and a picture again.

    edge deploy recipes/patch_tokenizer/model.py:encoder --checkpoint recipes/patch_tokenizer/encoder.safetensors …
    edge deploy recipes/patch_tokenizer/model.py:decoder --checkpoint recipes/patch_tokenizer/decoder.safetensors …

Two programs, because the bits between them are a file or a message: the encoder ends with 16 numbers a patch whose
signs are the bits (lookup-free quantization, Yu et al., 2024, arXiv:2310.05737), the decoder begins with them as ±1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.contract import Contract, Preprocess, TensorSpec

PATCH = 8  # pixels a side
BITS = 16  # of a patch
WIDTH = 192  # numbers of a patch between layers
BLOCKS = 2  # in the encoder, and in the decoder
SIDE = 128  # pixels of a deployed picture
GRID = SIDE // PATCH


class Block(nn.Module):
    """Mix each patch with its neighbours, then its own numbers through two wide linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.neighbours = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.widen = nn.Linear(WIDTH, 4 * WIDTH)
        self.narrow = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, tokens: Tensor, rows: int) -> Tensor:
        """Return tokens (N, T, WIDTH) of tokens that lie in `rows` rows."""
        grid = tokens.transpose(1, 2).reshape(tokens.shape[0], WIDTH, rows, -1)
        tokens = tokens + self.neighbours(grid).flatten(2).transpose(1, 2)
        widened = F.relu(self.widen(self.norm(tokens)))
        result: Tensor = tokens + self.narrow(widened)
        return result


class Encoder(nn.Module):
    """Return (N, T, BITS) numbers of pictures (N, 3, H, W) in [0, 1]; their signs are the bits."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3 * PATCH * PATCH, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, BITS)

    def forward(self, pictures: Tensor) -> Tensor:
        rows = pictures.shape[2] // PATCH
        tokens = self.embed(F.pixel_unshuffle(pictures - 0.5, PATCH).flatten(2).transpose(1, 2))
        for block in self.blocks:
            tokens = block(tokens, rows)
        found: Tensor = self.head(self.norm(tokens))
        return found


class Decoder(nn.Module):
    """Return pictures (N, 3, H, W) of bits (N, T, BITS) as ±1, which lie in `rows` rows."""

    def __init__(self, rows: int = GRID) -> None:
        super().__init__()
        self.rows = rows
        self.embed = nn.Linear(BITS, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 3 * PATCH * PATCH)

    def forward(self, bits: Tensor) -> Tensor:
        tokens = self.embed(bits)
        for block in self.blocks:
            tokens = block(tokens, self.rows)
        patches = self.head(self.norm(tokens)).transpose(1, 2)
        grid = patches.reshape(patches.shape[0], 3 * PATCH * PATCH, self.rows, -1)
        return F.pixel_shuffle(grid, PATCH) + 0.5


def encoder() -> tuple[nn.Module, Contract]:
    """Return the encoder of one picture, untrained, and its contract."""
    torch.manual_seed(0)
    picture = TensorSpec(name="picture", shape=(1, 3, SIDE, SIDE), layout="NCHW")
    numbers = TensorSpec(name="numbers", shape=(1, GRID * GRID, BITS))
    return Encoder(), Contract(inputs=(picture,), outputs=(numbers,), preprocess=Preprocess(size=(SIDE, SIDE)))


def decoder() -> tuple[nn.Module, Contract]:
    """Return the decoder of one picture, untrained, and its contract."""
    torch.manual_seed(0)
    bits = TensorSpec(name="bits", shape=(1, GRID * GRID, BITS))
    picture = TensorSpec(name="picture", shape=(1, 3, SIDE, SIDE), layout="NCHW")
    return Decoder(), Contract(inputs=(bits,), outputs=(picture,))
