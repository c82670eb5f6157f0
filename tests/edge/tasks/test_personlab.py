"""PersonLab's decoder: a perfect network's planes decode to the people behind them, as they do in naive loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.personlab import noisy
from bench.personlab_naive import decode_naively
from bench.personlab_scenes import Scene, crowd, fields, standing
from edge.tasks._personlab import Fields, Rule, decode, fields_of, hough_seeds
from edge.tasks._personlab_tree import EDGES, KEYPOINTS, LEVELS, WALKS

RULE = Rule()
GRID = (33, 33)


def same(found, wanted, tolerance=1e-3):
    assert found.shape == wanted.shape
    if len(wanted):
        apart = np.abs(found[:, None] - wanted).max(axis=(2, 3))  # (found, wanted)
        assert sorted(apart.argmin(axis=0)) == list(range(len(wanted)))
        assert apart.min(axis=0).max() < tolerance


def test_every_walk_reaches_every_keypoint_from_what_is_reached():
    for root in range(KEYPOINTS):
        reached = {root}
        for source, target, edge in zip(WALKS.source[root], WALKS.target[root], WALKS.edge[root], strict=True):
            assert source in reached
            assert (source, target) == (EDGES[edge] if edge < 16 else EDGES[edge - 16][::-1])
            reached.add(int(target))
        assert reached == set(range(KEYPOINTS))
    assert LEVELS == 8  # from an ankle over the nose to the other one


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10), st.integers(0, 2**32 - 1))
def test_people_made_of_known_keypoints_are_decoded_to_them(count, seed):
    scene = crowd(count, GRID, np.random.default_rng(seed))
    found = decode(fields(scene), RULE)
    same(found.points, scene.points)
    assert (found.scores > 0.5).all()
    assert (np.diff(found.totals) <= 0).all()


@settings(max_examples=40, deadline=None)
@given(st.floats(60, 300), st.floats(60, 300), st.floats(100, 400), st.integers(0, 2**32 - 1))
def test_one_person_of_any_size_is_decoded_exactly(x, y, height, seed):
    person = standing(np.array([x + 100, y + 100]), height, np.random.default_rng(seed))
    scene = Scene(np.clip(person, 0, 512)[None], GRID)
    same(decode(fields(scene), RULE).points, scene.points)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_noise_moves_keypoints_by_less_than_the_noise(seed):
    rng = np.random.default_rng(seed)
    scene = crowd(4, GRID, rng)
    clean = fields(scene)
    shaken = Fields(
        clean.shape,
        clean.probability,
        clean.offset + rng.uniform(-2, 2, clean.offset.shape),
        clean.displacement + rng.uniform(-8, 8, clean.displacement.shape),
    )
    same(decode(shaken, RULE).points, scene.points, 4.0)


@pytest.mark.parametrize("seed", range(4))
def test_the_naive_decoder_finds_the_same(seed):
    planes = noisy(seed)
    ours, naive = decode(planes, RULE), decode_naively(planes, RULE)
    assert len(ours.totals) == 10
    for name in ("points", "scores", "totals"):
        np.testing.assert_allclose(getattr(ours, name), getattr(naive, name), atol=1e-9)


def random_fields(seed, height, width, scale):
    rng = np.random.default_rng(seed)
    return fields_of(
        rng.random((height, width, 17)),
        scale * rng.normal(size=(height, width, 34)),
        *(scale * rng.normal(size=(height, width, 32)) for _ in range(2)),
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.sampled_from([0.0, 5.0, 200.0, 1e12]))
def test_planes_of_anything_decode_as_the_naive_decoder_does(seed, height, width, scale):
    planes = random_fields(seed, height, width, scale)
    ours, naive = decode(planes, RULE), decode_naively(planes, RULE)
    np.testing.assert_allclose(ours.points, naive.points, atol=1e-6, rtol=1e-9)
    np.testing.assert_allclose(ours.totals, naive.totals, atol=1e-9)


def test_a_hundred_people():
    scene = crowd(100, (129, 129), np.random.default_rng(0))
    same(decode(fields(scene), RULE).points, scene.points)


def test_nobody():
    for height, width in ((1, 1), (33, 33)):
        zero = np.zeros((height, width, 17)), np.zeros((height, width, 34)), *(np.zeros((height, width, 32)),) * 2
        found = decode(fields_of(*zero), RULE)
        assert found.points.shape == (0, 17, 2)
        assert found.scores.shape == (0, 17)
        assert found.totals.shape == (0,)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_nobody_and_nowhere(value):
    shapes = (17, 34, 32, 32)
    everywhere = fields_of(*(np.full((9, 9, planes), value) for planes in shapes))
    assert decode(everywhere, RULE).totals.size == 0
    scene = crowd(2, GRID, np.random.default_rng(3))
    clean = fields(scene)
    torn = clean.displacement.copy()
    torn[:, :, 3] = value
    held = [clean.probability.reshape(*GRID, 17), clean.offset.reshape(*GRID, 34)]
    found = decode(fields_of(*held, *torn.reshape(-1, 2, 2, 16).transpose(2, 0, 1, 3).reshape(2, *GRID, 32)), RULE)
    assert np.isfinite(found.points).all()
    assert len(found.totals) >= 2


def test_a_seed_lies_where_the_votes_agree():
    scene = Scene(np.full((1, 17, 2), (101.3, 77.7)), GRID)
    seeds, kinds, scores = hough_seeds(fields(scene), RULE)
    assert set(kinds) == set(range(17))
    assert np.abs(seeds - (101.3, 77.7)).max() < 1e-4
    assert (np.diff(scores) <= 0).all()


def test_who_stands_in_another_counts_by_what_is_not_claimed():
    rng = np.random.default_rng(1)
    person = standing(np.array([256.0, 256.0]), 300.0, rng)
    other = person + np.array([70.0, 0.0])
    other[:5] = person[:5]  # the same head
    found = decode(fields(Scene(np.stack([person, other]), GRID)), RULE)
    assert len(found.totals) == 2
    assert found.totals[1] < 13 / 17 < found.totals[0]


def test_settings_decide():
    planes = fields(crowd(3, GRID, np.random.default_rng(2)))
    weak = Fields(planes.shape, planes.probability * 0.4, planes.offset, planes.displacement)
    assert decode(weak, RULE).totals.size == 0
    assert decode(weak, Rule(score_threshold=0.3)).totals.size == 3
    assert decode(planes, Rule(instance_threshold=1.1)).totals.size == 0
    assert decode(planes, Rule(nms_radius=1e4)).totals.size == 1
