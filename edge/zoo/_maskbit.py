"""The convolutional tokenizer of MaskBit (arXiv:2409.16211), under the keys of markweberdev/maskbit."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.zoo._maskgit_vq import Residual, conv, norm

MULTIPLES = (1, 1, 2, 2, 4)  # of the width, from the picture's size down to the grid's
_BLOCKS = 2  # a stage


class _Stage(nn.Module):
    """Apply residual blocks."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.res_blocks = nn.ModuleList([Residual(channels if i == 0 else out, out) for i in range(_BLOCKS)])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.res_blocks:
            x = block(x)
        return x


class _Down(_Stage):
    """Apply residual blocks, then halve height and width; SAME padding as TensorFlow's, right and below."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(channels, out)
        self.down_conv = nn.Conv2d(out, out, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        half: Tensor = self.down_conv(F.pad(super().forward(x), (0, 1, 0, 1)))
        return half


class _Up(_Stage):
    """Apply residual blocks, then double height and width."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(channels, out)
        self.upsample_conv = conv(out, out)

    def forward(self, x: Tensor) -> Tensor:
        wide: Tensor = self.upsample_conv(F.interpolate(super().forward(x), scale_factor=2.0, mode="nearest"))
        return wide


class _Encoder(nn.Module):
    def __init__(self, bits: int, width: int) -> None:
        super().__init__()
        widths = [width * multiple for multiple in MULTIPLES]
        inputs = [width, *widths[:-1]]
        kinds = [*[_Down] * (len(widths) - 1), _Stage]
        self.conv_in = conv(3, width, bias=False)
        self.down = nn.ModuleList([kind(*pair) for kind, *pair in zip(kinds, inputs, widths, strict=True)])
        self.mid = _Stage(widths[-1], widths[-1])
        self.norm_out = norm(widths[-1])
        self.conv_out = conv(widths[-1], bits, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for stage in (*self.down, self.mid):
            x = stage(x)
        latents: Tensor = self.conv_out(F.silu(self.norm_out(x)))
        return latents


class _Decoder(nn.Module):
    def __init__(self, bits: int, width: int) -> None:
        super().__init__()
        widths = [width * multiple for multiple in reversed(MULTIPLES)]
        inputs = [widths[0], *widths[:-1]]
        kinds = [*[_Up] * (len(widths) - 1), _Stage]
        self.conv_in = conv(bits, widths[0])
        self.mid = _Stage(widths[0], widths[0])
        self.up = nn.ModuleList([kind(*pair) for kind, *pair in zip(kinds, inputs, widths, strict=True)])
        self.norm_out = norm(widths[-1])
        self.conv_out = conv(widths[-1], 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for stage in (self.mid, *self.up):
            x = stage(x)
        picture: Tensor = self.conv_out(F.silu(self.norm_out(x)))
        return picture


class MaskBitEncoder(nn.Module):
    """Encode pictures (N, 3, 16·h, 16·w) of 0…1 to {"z": (N, bits, h, w)}, whose signs are the tokens' bits."""

    def __init__(self, bits: int, width: int = 128) -> None:
        super().__init__()
        self.encoder = _Encoder(bits, width)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"z": self.encoder(image)}


class MaskBitDecoder(nn.Module):
    """Decode token ids (N, grid²), row by row, to {"image": (N, 3, 16·grid, 16·grid)} in 0…1.

    A token's bits are −1 or 1 in as many planes, its lowest bit first; bits beyond are not looked at.
    """

    def __init__(self, bits: int, width: int = 128, grid: int = 16) -> None:
        super().__init__()
        self.decoder = _Decoder(bits, width)
        self._bits, self._grid = bits, grid

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        # Divided, not shifted: no runtime's converter has a shift to the right by a tensor.
        places = torch.tensor([1 << place for place in range(self._bits)], dtype=tokens.dtype, device=tokens.device)
        bits = torch.div(tokens[:, None], places[:, None], rounding_mode="floor") % 2
        signs = bits.to(self.decoder.conv_in.weight.dtype) * 2 - 1
        return {"image": self.decoder(signs.reshape(-1, self._bits, self._grid, self._grid)).clamp(0.0, 1.0)}
