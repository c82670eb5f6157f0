"""The keypoint task: planes of either decoder → people in the picture, their comparison, where to look next."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.personlab_scenes import crowd, planes, standing
from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.errors import ContractError
from edge.packed import pack, unpack
from edge.tasks import TASKS, Frame, Region
from edge.tasks._movenet import crop_region, decode_person
from edge.tasks._people import KEYPOINT_NAMES, SIGMAS, match_people, pairwise_oks
from edge.tasks.keypoints import People, Person

TASK = TASKS["keypoints"]
PHOTO = np.full((240, 320, 3), 90, np.uint8)
PLANES = {
    "personlab": {"heatmap": 17, "offset": 34, "displacement_fwd": 32, "displacement_bwd": 32},
    "movenet": {"heatmap": 17, "center": 1, "regression": 34, "offset": 34},
}


def contract(decoder, side, grid, layout="NCHW", **options):
    shape = (1, 3, side, side)
    outputs = []
    for name, count in PLANES[decoder].items():
        sizes = (1, count, grid, grid) if layout == "NCHW" else (1, grid, grid, count)
        outputs.append(TensorSpec(name=name, shape=sizes, layout=layout))
    return Contract(
        inputs=(TensorSpec(name="image", shape=shape, layout="NCHW"),),
        outputs=tuple(outputs),
        task="keypoints",
        preprocess=Preprocess(size=(side, side), resize="letterbox", range=(-1.0, 1.0)),
        postprocess=Postprocess(decoder=decoder, settings=options),
    )


def people(count, seed=0, score=0.9):
    rng = np.random.default_rng(seed)
    return People(
        tuple(
            Person(score, standing(np.array([90.0 * i + 60, 120.0]), 100.0, rng), np.full(17, score))
            for i in range(count)
        )
    )


def moved(found, shift):
    return People(tuple(Person(item.score, item.keypoints + shift, item.scores) for item in found.items))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_several_people_come_back_in_picture_pixels(layout):
    scene = crowd(3, (25, 25), np.random.default_rng(5))
    found = planes(scene)
    if layout == "NHWC":
        found = {name: np.moveaxis(array, 1, 3) for name, array in found.items()}
    rule = contract("personlab", 385, 25, layout, stride=16.0)
    _, frame = TASK.prepare(PHOTO, rule)
    result = TASK.decode(found, rule, frame)
    scale = 320 / 385
    wanted = scene.points * scale - (0, (320 - 240) / 2)
    order = np.argsort([person.keypoints[0, 0] for person in result.items])
    np.testing.assert_allclose(
        np.stack([result.items[i].keypoints for i in order]), wanted[np.argsort(wanted[:, 0, 0])], atol=1e-2
    )
    drawn = TASK.draw(PHOTO, result)
    assert drawn.shape == PHOTO.shape
    assert (drawn != PHOTO).any()


def test_outputs_and_settings_that_do_not_fit_are_refused():
    rule = contract("personlab", 385, 25)
    _, frame = TASK.prepare(PHOTO, rule)
    found = planes(crowd(1, (25, 25), np.random.default_rng(0)))
    with pytest.raises(ContractError, match=r"\[17, 34, 32, 32\] planes"):
        TASK.decode({**found, "offset": found["offset"][:, :32]}, rule, frame)
    with pytest.raises(ContractError, match="an output named 'offset'"):
        TASK.decode(found, msgspec.structs.replace(rule, outputs=rule.outputs[:1]), frame)
    with pytest.raises(ContractError, match="decoder out of personlab, movenet"):
        TASK.decode(found, msgspec.structs.replace(rule, postprocess=Postprocess(decoder="openpose")), frame)
    for settings_, message in (({"stride": "16"}, "must be a number"), ({"stride": 0.0}, "must be above 0")):
        with pytest.raises(ContractError, match=message):
            TASK.decode(found, contract("personlab", 385, 25, **settings_), frame)
    other = contract("movenet", 192, 48)
    heads = {name: np.zeros((1, count, 48, 48), np.float32) for name, count in PLANES["movenet"].items()}
    with pytest.raises(ContractError, match=r"\[17, 1, 34, 34\] planes"):
        TASK.decode({**heads, "center": heads["center"][:, :, :3]}, other, frame)


def heads_of(person, grid, cell):
    """The four heads of a perfect MoveNet: (H, W, planes) each, for keypoints in pixels."""
    cells = person / cell
    heatmap, centre = np.full((grid, grid, 17), -8.0, np.float32), np.full((grid, grid, 1), -8.0, np.float32)
    regression, offset = np.zeros((grid, grid, 34), np.float32), np.zeros((grid, grid, 34), np.float32)
    middle = np.rint(cells.mean(axis=0)).astype(int)
    centre[middle[1], middle[0]] = 5
    regression[middle[1], middle[0]] = (cells - middle)[:, ::-1].ravel()
    for kind, (x, y) in enumerate(cells):
        column, row = np.clip(np.rint([x, y]).astype(int), 0, grid - 1)
        heatmap[row, column, kind] = 3
        offset[row, column, 2 * kind : 2 * kind + 2] = (y - row, x - column)
    return heatmap, centre, regression, offset


@settings(max_examples=30, deadline=None)
@given(st.floats(70, 120), st.floats(70, 120), st.floats(60, 130), st.integers(0, 2**32 - 1))
def test_movenets_heads_decode_to_the_person_they_were_made_from(x, y, height, seed):
    person = np.clip(standing(np.array([x, y]), height, np.random.default_rng(seed)), 0, 188)
    points, scores = decode_person(*heads_of(person, 48, 4.0))
    np.testing.assert_allclose(points * 4, person, atol=1e-3)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-3)), rtol=1e-6)


def test_of_two_people_movenet_takes_the_one_nearer_to_the_middle():
    rng = np.random.default_rng(0)
    near, far = standing(np.array([90.0, 96.0]), 80.0, rng), standing(np.array([30.0, 96.0]), 80.0, rng)
    heads = [np.maximum(a, b) if i < 2 else a + b for i, (a, b) in
             enumerate(zip(heads_of(near, 48, 4.0), heads_of(far, 48, 4.0), strict=True))]  # fmt: skip
    points, _ = decode_person(*heads)
    np.testing.assert_allclose(points * 4, near, atol=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0])
def test_movenet_on_anything_gives_numbers(value):
    rule = contract("movenet", 192, 48)
    _, frame = TASK.prepare(PHOTO, rule)
    heads = {name: np.full((1, count, 48, 48), value, np.float32) for name, count in PLANES["movenet"].items()}
    for person in TASK.decode(heads, rule, frame).items:
        assert np.isfinite(person.keypoints).all()


def test_who_is_hardly_there_is_nobody():
    rule = contract("movenet", 192, 48, score_threshold=0.3)
    _, frame = TASK.prepare(PHOTO, rule)
    heads = heads_of(standing(np.array([96.0, 96.0]), 100.0, np.random.default_rng(0)), 48, 4.0)
    outputs = {name: np.moveaxis(head, 2, 0)[None] for name, head in zip(PLANES["movenet"], heads, strict=True)}
    found = TASK.decode(outputs, rule, frame)
    assert found.found
    assert found.next_region is not None
    outputs["heatmap"] = outputs["heatmap"] - 4
    assert TASK.decode(outputs, rule, frame).empty


def test_the_next_picture_is_cut_around_the_hips():
    points = np.tile((100.0, 100.0), (17, 1))
    points[KEYPOINT_NAMES.index("left_shoulder")] = (100, 60)
    points[KEYPOINT_NAMES.index("left_ankle")] = (110, 190)
    person = Person(0.9, points, np.full(17, 0.9))
    assert crop_region(person, (400, 600)) == Region(100.0, 100.0, 2 * 1.2 * 90)
    unseen = np.full(17, 0.9)
    unseen[KEYPOINT_NAMES.index("left_ankle")] = 0.1
    assert crop_region(Person(0.9, points, unseen), (400, 600)) == Region(100.0, 100.0, 2 * 1.9 * 40)
    assert crop_region(person, (150, 150)) is None  # larger than the picture
    assert crop_region(Person(0.9, points, np.full(17, 0.1)), (400, 600)) is None
    assert crop_region(Person(0.9, np.tile((5.0, 5.0), (17, 1)), np.full(17, 0.9)), (400, 600)) is None


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 2**32 - 1))
def test_the_metric_is_1_for_equals_and_less_for_others(count, more, seed):
    some = people(count, seed)
    assert match_people(some, some) == pytest.approx(1.0)
    both = match_people(people(count + more, seed), people(count, seed))
    assert both == pytest.approx(1.0 if more == 0 else 2 * count / (2 * count + more))
    if count:
        assert match_people(moved(some, 3.0), some) < match_people(moved(some, 1.0), some) < 1.0


def test_oks_is_cocos_formula_and_the_pairing_is_the_best():
    reference = people(3)
    shifted = moved(reference, (4.0, 0.0))
    similar = pairwise_oks(shifted, reference)
    area = np.prod(np.ptp(reference.items[1].keypoints, axis=0))
    assert similar[1, 1] == pytest.approx(np.exp(-16 / (2 * area * (2 * SIGMAS) ** 2)).mean())
    turned = People(shifted.items[::-1])
    assert match_people(turned, reference) == pytest.approx(match_people(shifted, reference))
    faint = People((*reference.items, Person(0.1, reference.items[0].keypoints + 500, np.full(17, 0.1))))
    assert match_people(faint, reference) == pytest.approx(1 - 0.1 / (6 * 0.9 + 0.1))
    assert TASK.compare_all([(reference, reference), (People(()), reference)]) == 0.0
    assert TASK.compare(People(()), People(())) == 1.0


def test_keypoints_that_the_reference_does_not_see_do_not_count():
    seen = np.full(17, 0.9)
    seen[[0, 3]] = 0.1
    points = people(1).items[0].keypoints
    wrong = points.copy()
    wrong[[0, 3]] += 50
    reference = People((Person(0.9, points, seen),))
    assert match_people(People((Person(0.9, wrong, seen),)), reference) == pytest.approx(1.0)
    blind = People((Person(0.9, points, np.zeros(17)),))
    assert match_people(People((Person(0.9, wrong, seen),)), blind) < 0.9


def test_people_as_json_and_as_bytes():
    some = People(people(2).items, Region(1.0, 2.0, 3.0))
    stated = json.loads(json.dumps(some.to_json()))
    assert [point["name"] for point in stated["people"][0]["keypoints"]] == list(KEYPOINT_NAMES)
    again = unpack(pack(some), People)
    assert again.next_region == some.next_region
    assert all(np.array_equal(a.keypoints, b.keypoints) for a, b in zip(again.items, some.items, strict=True))
    assert People(()).to_json() == {"people": []}


def test_a_region_is_where_the_network_looks():
    rule = contract("movenet", 192, 48)
    inputs, frame = TASK.prepare(PHOTO, rule, Region(100.0, 90.0, 80.0))
    assert inputs["image"].shape == (1, 3, 192, 192)
    assert frame.matrix @ (96, 96, 1) == pytest.approx((100, 90))
    assert isinstance(frame, Frame)
