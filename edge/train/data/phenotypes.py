"""Random bodies: sex, age, muscle, weight, height and proportions → how much of each blend shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.train.data.makehuman import VARIATIONS

VALUES = tuple(value for values in VARIATIONS.values() for value in values)
_BETWEEN_SEXES = 0.15  # of bodies are not at either end
_CHILDREN, _OLD = 0.12, 0.3


def sample_phenotypes(generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Return the shares (count, K) of VALUES; those of one feature sum up to 1."""
    uniform = generator.random((count, 5))
    sex = np.where(uniform[:, 0] < _BETWEEN_SEXES, uniform[:, 1], np.rint(uniform[:, 1]))
    young = 1.0 + generator.random(count) ** 2  # 1 young, 2 old
    age = np.where(uniform[:, 2] < _CHILDREN, 0.25 + 0.75 * uniform[:, 3], young)
    muscle, weight, height, proportions = np.clip(generator.normal(0.5, (0.22, 0.2, 0.18, 0.2), (count, 4)), 0, 1).T
    parts = {
        "race": generator.dirichlet((0.5, 0.5, 0.5), count),
        "gender": between(sex, 2),
        "age": between(age / 2.0, 3),
        "muscle": between(muscle, 3),
        "weight": between(weight, 3),
        "height": between(height, 2),
        "proportions": between(proportions, 2),
    }
    return np.concatenate([parts[feature] for feature in VARIATIONS], axis=1)


def between(place: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the shares (N, count) of evenly spaced values for places (N,) in 0…1: linear between two of them."""
    distance = np.abs(place[:, None] * (count - 1) - np.arange(count))
    return np.clip(1.0 - distance, 0.0, 1.0)


def coefficients(shares: NDArray[np.float64], values: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the factors (N, S) of blend shapes: the product of the shares (N, K) of each one's values (S, K)."""
    result = np.ones((len(shares), len(values)))
    start = 0
    for options in VARIATIONS.values():
        part = values[:, start : start + len(options)]
        result *= np.where(part.any(axis=1), shares[:, start : start + len(options)] @ part.T, 1.0)
        start += len(options)
    return result.astype(np.float32)
