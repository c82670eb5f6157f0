"""Bodies: shares that sum to one, and how much of a blend shape they make."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.train.data.makehuman import VARIATIONS
from edge.train.data.phenotypes import VALUES, between, coefficients, sample_phenotypes


@given(seed=st.integers(0, 2**31))
def test_shares_of_every_feature_sum_to_one(seed):
    shares = sample_phenotypes(np.random.default_rng(seed), 12)
    start = 0
    for options in VARIATIONS.values():
        part = shares[:, start : start + len(options)]
        assert np.allclose(part.sum(axis=1), 1.0)
        assert (part >= 0).all()
        start += len(options)
    assert start == shares.shape[1]


def test_values_in_between_are_shared_by_their_neighbours():
    assert np.allclose(between(np.array([0.0, 0.25, 0.5, 1.0]), 3), [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]])


def test_a_shape_counts_by_the_product_of_its_values_shares():
    shares = sample_phenotypes(np.random.default_rng(0), 3)
    shapes = [("male", "young"), ("asian", "female", "old"), ("maxheight",)]
    values = np.array([[value in shape for value in VALUES] for shape in shapes])
    found = coefficients(shares, values)
    for row, (person, shape) in zip(found.ravel(), itertools.product(shares, shapes), strict=True):
        assert np.isclose(row, np.prod([person[VALUES.index(value)] for value in shape]))
