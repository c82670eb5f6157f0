"""Distances between segments, against a naive search; limbs that pass through a body are noticed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.train.data.collisions import penetration, segment_distance
from edge.train.data.keypoints import NAMES


@given(seed=st.integers(0, 2**31))
def test_distances_between_segments_equal_those_of_a_search(seed):
    a, b, c, d = np.random.default_rng(seed).normal(size=(4, 3))
    s, t = np.mgrid[0:1:201j, 0:1:201j][..., None]
    searched = np.linalg.norm((a + s * (b - a)) - (c + t * (d - c)), axis=-1).min()
    found = float(segment_distance(a, b, c, d))
    assert searched - 0.03 <= found <= searched + 1e-9


def test_parallel_touching_and_pointlike_segments():
    x, y, zero = np.eye(3)[0], np.eye(3)[1], np.zeros(3)
    assert np.isclose(segment_distance(zero, x, y, x + y), 1.0)
    assert np.isclose(segment_distance(zero, x, x / 2 - y, x / 2 + y), 0.0)
    assert np.isclose(segment_distance(zero, zero, y, y), 1.0)


def upright():
    """A person of sticks, arms hanging beside the body."""
    places = {"nose": (0, -0.1, 0.65), "ear": (0.07, 0, 0.66), "eye": (0.03, -0.09, 0.68), "mouth": (0.02, -0.09, 0.6),
              "shoulder": (0.18, 0, 0.5), "elbow": (0.26, 0, 0.22), "wrist": (0.28, 0, -0.03), "pinky": (0.28, 0, -0.1),
              "index": (0.28, 0, -0.12), "thumb": (0.28, 0, -0.08), "hip": (0.1, 0, 0.0), "knee": (0.12, 0, -0.4),
              "ankle": (0.13, 0, -0.8), "heel": (0.13, 0.05, -0.85), "foot": (0.13, -0.15, -0.85)}  # fmt: skip
    points = []
    for name in NAMES:
        x, y, z = next(place for part, place in places.items() if part in name)
        points.append((-x if "right" in name else x, y, z))
    return np.array(points)


def test_a_hand_in_the_belly_is_noticed_and_one_beside_the_body_is_not():
    good, bad = upright(), upright()
    for name in ("left_wrist", "left_index"):
        bad[NAMES.index(name)] = (0.0, 0.0, 0.25)
    depths = penetration(np.stack([good, bad]))
    assert depths[0] <= 0 < depths[1]
    assert np.allclose(penetration(3.0 * np.stack([good, bad])), depths)  # whatever the size
