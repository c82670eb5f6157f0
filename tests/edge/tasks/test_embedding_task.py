"""Pose embeddings: keypoints in, Gaussians out, matching probabilities, and retrieval across views."""

import json
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from edge.contract import Postprocess, TensorSpec
from edge.errors import ContractError, InputError
from edge.tasks import TASKS
from edge.tasks._landmarks import LANDMARK_NAMES, nobody
from edge.tasks.embedding import (
    KEYPOINT_NAMES,
    Embedding,
    Gaussians,
    Matching,
    bhattacharyya,
    keypoint_inputs,
    normalize_keypoints,
    pose_inputs,
    select_keypoints,
)
from edge.tasks.pose import Pose
from edge.tasks.retrieval import cross_view_hits, hit_at_k, nearest, np_mpjpe
from edge.zoo import MODELS

TASK = TASKS["pose-embedding"]
CONTRACT = MODELS["pr-vipe"].contract
RANDOM = np.random.default_rng(3)
NUMBERS = st.floats(-1e3, 1e3, width=32)


def gaussians(count, size=16):
    return Gaussians(
        RANDOM.normal(size=(count, size)).astype(np.float32), RANDOM.random((count, size)).astype(np.float32)
    )


def naive_probability(first, second, rule):
    """One pair of samples at a time, of the same noise."""
    total = 0.0
    noise = [np.random.default_rng((rule.seed, role)).standard_normal((rule.samples, 16)) for role in (0, 1)]
    for x in first[0] + first[1] * noise[0]:
        for y in second[0] + second[1] * noise[1]:
            total += 1 / (1 + math.exp(rule.a * float(np.linalg.norm(x - y)) - rule.b))
    return total / rule.samples**2


def a_pose(score=0.9):
    points = RANDOM.normal(size=(33, 3)) * 40 + 200
    ones = np.ones(33)
    return Pose(score, points, ones, ones, np.zeros((33, 3)))


def test_the_probability_is_the_mean_over_pairs_of_samples(monkeypatch):
    queries, gallery = gaussians(5), gaussians(7)
    rule = Matching(a=0.7, b=0.3, samples=6)
    found = rule(queries, gallery)
    expected = [
        [naive_probability((m, s), (n, t), rule) for n, t in zip(gallery.mean, gallery.sigma, strict=True)]
        for m, s in zip(queries.mean, queries.sigma, strict=True)
    ]
    assert np.allclose(found, expected, atol=1e-5)
    monkeypatch.setattr("edge.tasks.embedding._MOST_NUMBERS", 1)  # one query at a time
    assert np.allclose(rule(queries, gallery), found, atol=1e-6)
    assert rule(gaussians(0), gallery).shape == (0, 7)
    assert rule(queries, gaussians(0)).shape == (5, 0)


def test_nearer_means_match_better_and_wider_ones_less():
    here = Gaussians(np.zeros((1, 16), np.float32), np.full((1, 16), 0.1, np.float32))
    places = Gaussians(np.outer([0, 1, 5], np.ones(16)).astype(np.float32), np.full((3, 16), 0.1, np.float32))
    assert (np.diff(Matching()(here, places)[0]) < 0).all()
    wide = Gaussians(np.zeros((2, 16), np.float32), np.outer([0.1, 2], np.ones(16)).astype(np.float32))
    assert (np.diff(Matching()(here, wide)[0]) < 0).all()


def test_a_result_is_decoded_and_compared():
    outputs = {"mean": np.arange(16, dtype=np.float32)[None], "sigma": np.ones((1, 16), np.float32)}
    rule = Postprocess(decoder="gaussian", settings={"a": 2.0, "b": 1})
    result = TASK.decode(outputs, msgspec.structs.replace(CONTRACT, postprocess=rule))
    assert json.loads(json.dumps(result.to_json()))["mean"][3] == 3.0
    assert result.matching == Matching(a=2.0, b=1.0)
    assert TASK.compare(result, result) == pytest.approx(1)
    far = Embedding(result.mean + 1, result.sigma, result.matching)
    assert TASK.compare_all([(result, result), (far, result)]) == pytest.approx((1 + TASK.compare(far, result)) / 2)
    assert 0 < far.probability(result) < result.probability(result) < 1
    assert np.array_equal(TASK.draw(np.zeros((2, 2, 3), np.uint8), result), np.zeros((2, 2, 3)))


def test_the_overlap_is_the_integral():
    x = np.linspace(-30, 30, 200_001)

    def density(mean, sigma):
        return np.exp(-0.5 * ((x - mean) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))

    pair = [
        Embedding(np.array([m], np.float32), np.array([s], np.float32), Matching()) for m, s in ((0.5, 1.0), (2.0, 2.5))
    ]
    expected = np.sqrt(density(0.5, 1.0) * density(2.0, 2.5)).sum() * (x[1] - x[0])
    assert bhattacharyya(*pair) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mean": np.full((1, 16), np.nan, np.float32)}, "finite"),
        ({"sigma": np.full((1, 16), -1, np.float32)}, "not negative"),
        ({"sigma": np.ones((1, 15), np.float32)}, "one length"),
    ],
)
def test_outputs_that_are_no_gaussian(change, words):
    outputs = {"mean": np.zeros((1, 16), np.float32), "sigma": np.ones((1, 16), np.float32), **change}
    with pytest.raises(ContractError, match=words):
        TASK.decode(outputs, CONTRACT)


@pytest.mark.parametrize("settings_", [{"a": 0.0}, {"a": "x"}, {"a": math.inf}, {"b": math.nan}])
def test_settings_that_mean_nothing(settings_):
    rule = Postprocess(decoder="gaussian", settings=settings_)
    outputs = {"mean": np.zeros((1, 16), np.float32), "sigma": np.ones((1, 16), np.float32)}
    with pytest.raises(ContractError):
        TASK.decode(outputs, msgspec.structs.replace(CONTRACT, postprocess=rule))
    with pytest.raises(ContractError, match="decoder gaussian"):
        TASK.decode(outputs, msgspec.structs.replace(CONTRACT, postprocess=None))


def test_pictures_are_not_embedded():
    with pytest.raises(ContractError, match="needs a contract with preprocess"):
        TASK.prepare(np.zeros((4, 4, 3), np.uint8), CONTRACT)


def test_a_pose_of_33_landmarks_becomes_13_keypoints():
    pose = a_pose()
    value = pose_inputs(pose, CONTRACT)["keypoints"]
    assert value.shape == (1, 13, 2)
    assert value.dtype == np.float32
    chosen = pose.points[[0, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28], :2]  # MediaPipe's numbers
    assert np.allclose(value[0], normalize_keypoints(chosen), atol=1e-6)
    assert np.array_equal(select_keypoints(pose.points[:, :2], LANDMARK_NAMES), chosen)
    with pytest.raises(InputError, match="no person"):
        pose_inputs(nobody(), CONTRACT)


def test_the_same_from_cocos_names():
    coco = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", *KEYPOINT_NAMES[1:])
    points = RANDOM.normal(size=(17, 2))
    assert np.array_equal(select_keypoints(points, coco), points[[0, *range(5, 17)]])
    with pytest.raises(ContractError, match="nose"):
        select_keypoints(points[1:], coco[1:])
    with pytest.raises(ContractError, match="16 points with 17 names"):
        select_keypoints(points[1:], coco)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), NUMBERS, NUMBERS, st.floats(1e-3, 1e3))
def test_place_and_size_do_not_count(seed, dx, dy, scale):
    points = np.random.default_rng(seed).normal(size=(13, 2))
    normal = normalize_keypoints(points)
    assert np.allclose(normal, normalize_keypoints(points * scale + (dx, dy)), atol=1e-3)
    assert np.allclose(normal[[7, 8]].mean(axis=0), 0, atol=1e-6)
    sides = [np.linalg.norm(normal[i] - normal[j]) for i in (1, 2, 7, 8) for j in (1, 2, 7, 8)]
    assert max(sides) == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (np.zeros((13, 2)), "one place"),
        (np.full((13, 2), np.nan), "finite"),
        (np.zeros((12, 2)), "13 of"),
        (np.zeros((0, 13, 2)), ""),
    ],
)
def test_keypoints_without_a_pose(points, words):
    if not words:
        assert normalize_keypoints(points).shape == (0, 13, 2)
        return
    with pytest.raises(InputError, match=words):
        normalize_keypoints(points)


def test_an_input_of_another_size():
    other = msgspec.structs.replace(CONTRACT, inputs=(TensorSpec(name="keypoints", shape=(1, 12, 2)),))
    with pytest.raises(ContractError, match="26 numbers"):
        keypoint_inputs(RANDOM.normal(size=(13, 2)), other)
    flat = msgspec.structs.replace(CONTRACT, inputs=(TensorSpec(name="keypoints", shape=(1, 26)),))
    assert keypoint_inputs(RANDOM.normal(size=(13, 2)), flat)["keypoints"].shape == (1, 26)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_np_mpjpe_sees_neither_view_nor_place_nor_size(seed, scale):
    random = np.random.default_rng(seed)
    first, second = random.normal(size=(2, 13, 3))
    turned = second @ Rotation.random(random_state=seed).as_matrix().T * scale + random.normal(size=3)
    assert float(np_mpjpe(first, turned)) == pytest.approx(float(np_mpjpe(first, second)), abs=1e-9)
    assert float(np_mpjpe(first, first)) == pytest.approx(0, abs=1e-9)
    assert float(np_mpjpe(first, first * (-1, 1, 1))) > 1e-3  # a mirrored pose is another one


def test_hits_against_a_loop():
    matches = RANDOM.random((40, 20)) < 0.08
    found = hit_at_k(matches)
    for k in (1, 5, 10, 20):
        assert found[k] == pytest.approx(sum(any(row[:k]) for row in matches) / 40)
    with pytest.raises(InputError, match="one query at least"):
        hit_at_k(np.zeros((0, 3), np.bool_))
    assert nearest(np.array([[1.0, 3.0, 3.0, 2.0]]), 3).tolist() == [[1, 2, 3]]


def test_an_embedding_that_knows_the_pose_finds_it_from_every_view():
    poses = RANDOM.normal(size=(12, 13, 3))
    codes = RANDOM.normal(size=(12, 16)).astype(np.float32) * 3
    narrow = np.full((12, 16), 0.01, np.float32)
    views, deep = [], []
    for number in range(3):
        order = np.roll(np.arange(12), number)  # a view holds the poses in an order of its own
        views.append(Gaussians(codes[order], narrow))
        deep.append(poses[order] @ Rotation.random(random_state=number).as_matrix().T)
    assert cross_view_hits(views, deep, Matching()) == {1: 1.0, 5: 1.0, 10: 1.0, 20: 1.0}
    blind = [Gaussians(RANDOM.normal(size=(12, 16)).astype(np.float32), narrow) for _ in range(3)]
    hits = cross_view_hits(blind, deep, Matching())
    assert hits[1] < 0.5
    assert hits[1] <= hits[5] <= hits[10] <= hits[20] == 1.0


@pytest.mark.parametrize("counts", [((3,), (3,)), ((3, 3), (3, 2)), ((0, 3), (0, 3)), ((3, 3), (3, 3, 3))])
def test_views_that_cannot_be_searched(counts):
    embeddings = [gaussians(count) for count in counts[0]]
    with pytest.raises(InputError, match="two views"):
        cross_view_hits(embeddings, [RANDOM.normal(size=(count, 13, 3)) for count in counts[1]], Matching())


def test_a_pose_without_a_torso():
    with pytest.raises(InputError, match="torso"):
        np_mpjpe(np.zeros((13, 3)), RANDOM.normal(size=(13, 3)))
