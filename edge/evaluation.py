"""How good an artifact is on a set of pictures: a metric, how many pictures it rests on, and how sure it is."""

from __future__ import annotations

import msgspec


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Compare an artifact's decoded results with the eager fp32 model's over a set of pictures.

    `value` is the metric over the whole set and 1 means identical; `ci95` is its 95 % bootstrap interval over
    pictures, `worst` the metric of the single worst picture.
    """

    data: str  # which pictures
    count: int  # of the pictures in which the eager model finds something
    metric: str
    value: float
    ci95: tuple[float, float]
    worst: float
