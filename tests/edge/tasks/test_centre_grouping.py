"""Panoptic-DeepLab's decoder: the published code's answers, plain versions, and outputs that hold nothing."""

import base64
import json
import zlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from panoptic_scenes import CLASSES, THINGS, scene

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.errors import ContractError
from edge.tasks import TASKS
from edge.tasks import _nearest as nearest
from edge.tasks._centre_grouping import Centres, Rule, find_centres, group
from edge.tasks._upsampled_classes import upsampled_classes
from edge.zoo import MODELS

# Written by scripts/record_panoptic.py: what detectron2's post-processing makes of the scenes.
GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "panoptic.json").read_text())
TASK = TASKS["panoptic"]
FEW = settings(max_examples=40, deadline=None)
STRIDE, SIDE = 4, 64


def contract(layout="NCHW", labels=CLASSES, **changed):
    side = SIDE // STRIDE
    planes = {"semantic_logits": labels, "centre_heatmap": 1, "offsets": 2}
    shape = {"NCHW": lambda n: (1, n, side, side), "NHWC": lambda n: (1, side, side, n)}[layout]
    rule = {"things": THINGS, "least_stuff": 20, **changed}
    return Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, SIDE, SIDE), layout="NCHW"),),
        outputs=tuple(TensorSpec(name=name, shape=shape(n), layout=layout) for name, n in planes.items()),
        task="panoptic",
        preprocess=Preprocess(size=(SIDE, SIDE), resize="corner"),
        postprocess=Postprocess(decoder="centre-grouping", settings=rule),
        labels=tuple(f"class {i}" for i in range(labels)),
    )


def outputs(seed=0, people=3, layout="NCHW"):
    """Return a network's outputs of a scene at a fourth of its size, offsets in their own pixels."""
    classes, heat, offsets = scene(seed, (SIDE // STRIDE, SIDE // STRIDE), people, noise=0.1)
    logits = 8.0 * (np.arange(CLASSES)[:, None, None] == classes)
    found = {"semantic_logits": logits, "centre_heatmap": heat[None], "offsets": offsets}
    found = {name: values.astype(np.float32)[None] for name, values in found.items()}
    return {name: np.moveaxis(v, 1, 3) for name, v in found.items()} if layout == "NHWC" else found


def decoded(own, found, image_hw=(SIDE, SIDE)):
    image = np.zeros((*image_hw, 3), np.uint8)
    return TASK.decode(found, own, TASK.prepare(image, own)[1])


def plain_nearest(y, x, rows, columns):
    return ((y[:, None] - rows) ** 2 + (x[:, None] - columns) ** 2).argmin(axis=1)


@pytest.mark.parametrize("seed", range(len(GOLDEN["maps"])))
def test_grouping_is_the_published_codes(seed):
    packed = GOLDEN["maps"][seed]
    expected = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), "<i2").reshape(packed["shape"])
    classes, heat, offsets = scene(seed)
    chosen = GOLDEN["settings"]
    rule = Rule(
        things=THINGS,
        centre_threshold=chosen["threshold"],
        window=chosen["nms_kernel"],
        most_centres=chosen["top_k"],
        least_stuff=chosen["stuff_area"],
    )
    groups = group(classes, find_centres(heat, rule), offsets, rule)
    theirs, numbers = np.unique(expected, return_inverse=True)
    pairs = np.unique(np.stack([groups.ids.ravel(), numbers.ravel()]), axis=1)
    assert len(pairs[0]) == len(np.unique(pairs[0])) == len(theirs)  # the same regions under other numbers
    of = np.concatenate([[-1], groups.categories])
    assert [of[mine] for mine, _ in pairs.T] == [theirs[n] // 1000 if theirs[n] >= 0 else -1 for _, n in pairs.T]
    assert len(groups.categories) > 6


@FEW
@given(st.integers(0, 9999), st.integers(1, 60), st.sampled_from([(40, 70), (16, 16), (1, 5)]))
def test_the_nearest_point_is_the_nearest(seed, points, size_hw):
    random = np.random.default_rng(seed)
    y, x = (random.uniform(-8, size + 8, 300).astype(np.float32) for size in size_hw)
    rows, columns = (random.integers(0, size, points) for size in size_hw)
    found = nearest.nearest_points(y, x, rows, columns, size_hw)
    wanted = plain_nearest(y, x, rows.astype(np.float32), columns.astype(np.float32))
    assert np.array_equal(found, wanted)


def test_positions_far_outside_are_compared_in_parts(monkeypatch):
    monkeypatch.setattr(nearest, "_MOST_DISTANCES", 10)
    y, x = np.array([-500.0, 900, 20], np.float32), np.array([3.0, 1e6, -1], np.float32)
    rows, columns = np.array([0, 39, 20]), np.array([0, 69, 5])
    assert nearest.nearest_points(y, x, rows, columns, (40, 70)).tolist() == [0, 1, 2]


@FEW
@given(st.integers(0, 9999), st.sampled_from([3, 5, 7, 41]), st.sampled_from([1, 4, 1000]))
def test_centres_are_the_largest_in_their_windows(seed, window, most):
    heat = np.random.default_rng(seed).uniform(-1, 1, (23, 31)).astype(np.float32).round(1)
    rule = Rule(things=1, window=window, most_centres=most, centre_threshold=0.3)
    found = find_centres(heat, rule)
    reach = window // 2
    peaks = [
        (i, j)
        for i in range(23)
        for j in range(31)
        if heat[i, j] > 0.3
        and heat[i, j] == heat[max(0, i - reach) : i + reach + 1, max(0, j - reach) : j + reach + 1].max()
    ]
    touching = {(i + down, j + right) for i, j in peaks for down, right in ((1, -1), (1, 0), (1, 1), (0, 1))}
    peaks = [place for place in peaks if place not in touching]
    if len(peaks) >= most:
        least = sorted((heat[p] for p in peaks), reverse=True)[most - 1]
        peaks = [p for p in peaks if heat[p] > least]
    assert list(zip(found.rows.tolist(), found.columns.tolist(), strict=True)) == peaks
    assert found.scores.tolist() == [heat[p] for p in peaks]


@FEW
@given(st.integers(0, 9999), st.sampled_from([1, 2, 3, 4, 8]), st.booleans())
def test_enlarged_classes_are_those_of_the_enlarged_scores(seed, factor, smooth):
    random = np.random.default_rng(seed)
    scores = random.normal(size=(6, 7, 5)).astype(np.float32)
    if smooth:
        scores += 9 * (np.arange(6)[:, None, None] == random.integers(0, 6, (1, 7, 1)))
    size = (7 * factor, 5 * factor)
    large = torch.nn.functional.interpolate(torch.from_numpy(scores)[None].double(), size, mode="bilinear")[0]
    found = upsampled_classes(scores, factor)
    best = large.max(dim=0).values
    assert found.shape == size
    assert bool((best - large.gather(0, torch.from_numpy(found).long()[None])[0] < 1e-5).all())  # ties within rounding


def test_a_scene_comes_back_at_the_pictures_size():
    own = contract()
    result = decoded(own, outputs(), (128, 64))  # twice as high: the right half of the input is beside the picture
    assert result.ids.shape == (128, 64)
    assert result.unlabelled == "nothing"
    things = [segment for segment in result.segments if segment.is_thing]
    assert 1 <= len(things) <= 3
    assert [segment.id for segment in result.segments] == list(range(1, len(result.segments) + 1))
    scores = [segment.score for segment in result.segments]
    assert scores == sorted(scores, reverse=True)
    assert 0 < scores[-1] <= scores[0] <= 1
    assert {segment.category for segment in result.segments if not segment.is_thing} <= set(range(THINGS, CLASSES))
    assert TASK.compare(result, result) == 1
    assert TASK.draw(np.zeros((128, 64, 3), np.uint8), result).any()


def test_both_layouts_give_the_same():
    first, second = decoded(contract(), outputs(5)), decoded(contract("NHWC"), outputs(5, layout="NHWC"))
    assert np.array_equal(first.ids, second.ids)
    assert first.segments == second.segments


def test_nobody_there_leaves_stuff_alone():
    found = outputs(1, people=0)
    result = decoded(contract(), found)
    assert result.segments
    assert not any(segment.is_thing for segment in result.segments)
    found["centre_heatmap"][:] = 0
    found["semantic_logits"][:, 0] = 20  # persons everywhere, and not one centre
    assert decoded(contract(), found).empty


def test_a_hundred_people():
    classes = np.zeros((80, 80), np.uint8)
    rows, columns = (axis.ravel() for axis in np.mgrid[4:80:8, 4:80:8])
    place = np.mgrid[:80, :80]
    offsets = np.stack([rows[0] + place[0] // 8 * 8 - place[0], columns[0] + place[1] // 8 * 8 - place[1]])
    rule = Rule(things=1)
    centres = Centres(rows, columns, np.ones(100, np.float32))
    groups = group(classes, centres, offsets.astype(np.float32), rule)
    assert len(groups.categories) == 100
    assert (np.bincount(groups.ids.ravel())[1:] == 64).all()


def test_values_that_are_no_numbers_are_nothing():
    found = {name: np.full_like(values, np.nan) for name, values in outputs().items()}
    assert not any(segment.is_thing for segment in decoded(contract(), found).segments)
    found = outputs()
    found["offsets"][0, 1, 3, 3:5] = np.inf, -1e38
    found["centre_heatmap"][0, 0, 0, 0] = np.nan
    assert decoded(contract(), found).segments


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": 4}, "window is 4"),
        ({"window": 1}, "3 at least"),
        ({"most_centres": 0}, "most_centres"),
        ({"centre_threshold": -1.0}, "must not be negative"),
        ({"things": CLASSES + 1}, f"things is {CLASSES + 1}"),
        ({"speed": 1}, "speed"),
    ],
)
def test_settings_that_make_no_sense(change, message):
    with pytest.raises(ContractError, match=message):
        decoded(contract(**change), outputs())


def test_outputs_that_do_not_fit():
    with pytest.raises(ContractError, match=r"semantic_logits has 9 planes, expected 8"):
        decoded(msgspec.structs.replace(contract(), labels=contract().labels[:8]), outputs())
    with pytest.raises(ContractError, match="257 labels; centre-grouping takes 256"):
        decoded(contract(labels=257), outputs())
    wrong = outputs()
    wrong["offsets"] = wrong["offsets"][:, :, :8]
    with pytest.raises(ContractError, match=r"offsets has planes of \[8, 16\]"):
        decoded(contract(), wrong)
    small = {name: values[..., :5] for name, values in outputs().items()}
    with pytest.raises(ContractError, match=r"planes of \[16, 5\] do not cover an input of \[64, 64\]"):
        decoded(contract(), small)


def test_the_zoos_contract_decodes():
    own = MODELS["panoptic-deeplab-mobilenet-v3-large"].contract
    side = own.outputs[0].shape[2]
    logits = np.full((1, 133, side, side), -4, np.float32)
    logits[0, 17, 40:80, 30:70] = 9  # a horse
    logits[0, 125, 80:] = logits[0, 119, :80] = 3  # on grass, under the sky
    place = np.mgrid[:side, :side].astype(np.float32)
    heat = np.exp(-((place[0] - 60) ** 2 + (place[1] - 50) ** 2) / 40)[None, None]
    found = {
        "semantic_logits": logits,
        "centre_heatmap": heat,
        "offsets": np.stack([60 - place[0], 50 - place[1]])[None],
    }
    result = decoded(own, found, (320, 320))
    assert [s.label for s in result.segments if s.is_thing] == ["horse"]
    assert {s.label for s in result.segments if not s.is_thing} == {"grass-merged", "sky-other-merged"}
    horse = next(s for s in result.segments if s.is_thing)
    assert horse.area == pytest.approx(80 * 80, rel=0.05)
    assert 0.9 < horse.score <= 1
