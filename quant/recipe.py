"""What a build says about quantization beyond its precision."""

from __future__ import annotations

import msgspec

from quant.observers import Observer


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Choose the observer of activations, and for `mixed` the operators that keep more bits than 8.

    `kept` are node names of the program after the target family's passes. Without an observer each target takes the
    one that it was measured to do best with.
    """

    observer: Observer | None = None
    kept: tuple[str, ...] = ()


PLAIN = Recipe()
