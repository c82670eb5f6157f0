"""PersonLab's instance segmentation: planes made of known people and outlines decode back to them."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.personlab_scenes import Scene, crowd, outlines, owners, planes, standing
from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.errors import ContractError
from edge.images import warp_plane
from edge.packed import pack, unpack
from edge.tasks import TASKS, Frame
from edge.tasks._geometric_embedding import distance_maps, distances, embedding
from edge.tasks._personlab import Instances, Rule, fields_of
from edge.tasks.person_instances import PersonInstances
from edge.zoo import MODELS

TASK = TASKS["person-instances"]
SIDE, GRID = 385, (25, 25)
WHOLE = Frame((SIDE, SIDE), (SIDE, SIDE), np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
CONTRACT = MODELS["personlab-mobilenetv1"].contract


def outputs_of(scene, owner):
    return {**planes(scene), **outlines(scene, owner)}


def whose(result, scene):
    """Return for every person of the scene the number in the result."""
    found = np.stack([person.keypoints for person in result.people.items])
    return [int(np.abs(found - person).max(axis=(1, 2)).argmin()) + 1 for person in scene.points]


def check_cells(result, scene, owner):
    numbers = np.array([0, *whose(result, scene)])
    np.testing.assert_array_equal(result.ids[::16, ::16], numbers[owner])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_every_cell_gets_its_owner_back(count, seed):
    scene = crowd(count, GRID, np.random.default_rng(seed))
    owner = owners(scene)
    result = TASK.decode(outputs_of(scene, owner), CONTRACT, WHOLE)
    assert len(result.people.items) == count
    check_cells(result, scene, owner)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(60, 90))
def test_people_who_touch_are_told_apart(seed, apart):
    rng = np.random.default_rng(seed)
    people = [standing(np.array([140.0 + i * apart, 190.0]), 220.0, rng) for i in range(2)]
    scene = Scene(np.clip(np.stack(people), 0, SIDE - 1), GRID)
    owner = owners(scene, 60.0)
    assert (np.diff(owner, axis=1)[(owner[:, :-1] > 0) & (owner[:, 1:] > 0)] != 0).any()
    result = TASK.decode(outputs_of(scene, owner), CONTRACT, WHOLE)
    numbers = np.array([0, *whose(result, scene)])
    assert (result.ids[::16, ::16] == numbers[owner]).mean() > 0.99


def test_rough_offsets_are_mended_by_the_refinement():
    rng = np.random.default_rng(4)
    scene = crowd(3, GRID, rng)
    owner = owners(scene)
    found = outputs_of(scene, owner)
    rough = found["long_offset"] + rng.normal(scale=6.0, size=found["long_offset"].shape).astype(np.float32)
    fields = fields_of(
        1 / (1 + np.exp(-np.moveaxis(found["heatmap"][0], 0, 2).astype(float))),
        *(np.moveaxis(found[name][0], 0, 2) for name in ("offset", "displacement_fwd", "displacement_bwd")),
    )
    cells = np.flatnonzero(owner.ravel() == 2)
    vectors = np.moveaxis(rough[0], 0, 2).reshape(-1, 2, 17).astype(float)
    plain = embedding(fields, vectors, Rule(refinements=0), cells)
    refined = embedding(fields, vectors, Rule(), cells)
    error = [np.abs(points - scene.points[1]).mean() for points in (plain, refined)]
    assert error[1] < 0.1 < 3 < error[0]
    check_cells(TASK.decode({**found, "long_offset": rough}, CONTRACT, WHOLE), scene, owner)


def test_distances_are_weighted_means_in_the_persons_size():
    points = np.zeros((1, 17, 2))
    points[0, 1] = (100, 400)
    people = Instances(points, np.eye(17)[:1] * 0.5 + np.eye(17)[1:2] * 1.0, np.ones(1))
    expected = points.copy()
    expected[0, 1] += (30, 40)
    assert distances(expected, people)[0, 0] == pytest.approx((50 * 1.0) / 1.5 / 200)
    nobody = Instances(np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros(0))
    assert distances(expected, nobody).shape == (0, 1)


def test_the_mask_alone_decides_on_the_outline():
    scene = crowd(1, GRID, np.random.default_rng(0))
    owner = owners(scene)
    result = TASK.decode(outputs_of(scene, owner), CONTRACT, WHOLE)
    likely = warp_plane((owner > 0).astype(np.float32), np.array([[1 / 16, 0, 0], [0, 1 / 16, 0]]), (SIDE, SIDE))
    sure = np.abs(likely - 0.5) > 0.01
    np.testing.assert_array_equal((result.ids > 0)[sure], (likely > 0.5)[sure])


def test_nobody_and_no_mask():
    scene = crowd(2, GRID, np.random.default_rng(1))
    found = outputs_of(scene, owners(scene))
    empty = TASK.decode({**found, "heatmap": np.full_like(found["heatmap"], -9)}, CONTRACT, WHOLE)
    assert empty.empty
    assert not empty.ids.any()
    bare = TASK.decode({**found, "mask": np.full_like(found["mask"], -9)}, CONTRACT, WHOLE)
    assert len(bare.people.items) == 2
    assert not bare.ids.any()
    assert TASK.compare(empty, empty) == TASK.compare(bare, bare) == 1.0
    assert TASK.compare(empty, bare) == 0.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_belong_to_nobody(value):
    scene = crowd(2, GRID, np.random.default_rng(1))
    found = outputs_of(scene, owners(scene))
    for name in found:
        torn = found[name].copy()
        torn[0, :, 5:9, 5:9] = value
        result = TASK.decode({**found, name: torn}, CONTRACT, WHOLE)
        assert all(np.isfinite(person.keypoints).all() for person in result.people.items)
    everything = {name: np.full_like(array, value) for name, array in found.items()}
    if value != np.inf:  # which says of a logit that it is certain
        assert not TASK.decode(everything, CONTRACT, WHOLE).ids.any()


def test_a_hundred_people():
    scene = crowd(100, (97, 129), np.random.default_rng(0))
    owner = owners(scene)
    planes_ = outputs_of(scene, owner)
    specs = tuple(TensorSpec(name=name, shape=array.shape, layout="NCHW") for name, array in planes_.items())
    size = 96 * 16 + 1, 128 * 16 + 1
    contract = Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, *size), layout="NCHW"),),
        outputs=specs,
        task="person-instances",
        preprocess=Preprocess(size=size),
        postprocess=Postprocess(decoder="personlab-instances"),
    )
    matrix = np.array([[0.25, 0.0, 0.0], [0.0, 0.25, 0.0]])  # a picture of a quarter of the size
    result = TASK.decode(planes_, contract, Frame((385, 513), size, matrix))
    assert len(result.people.items) == 100
    ids = result.ids[::4, ::4]
    found = np.stack([person.keypoints for person in result.people.items]) * 4
    numbers = np.array([0, *(int(np.abs(found - person).max(axis=(1, 2)).argmin()) + 1 for person in scene.points)])
    np.testing.assert_array_equal(ids, numbers[owner])


def test_a_large_picture_is_segmented_at_the_inputs_size():
    scene = crowd(2, GRID, np.random.default_rng(1))
    found = outputs_of(scene, owners(scene))
    small = TASK.decode(found, CONTRACT, WHOLE)
    matrix = np.array([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    large = TASK.decode(found, CONTRACT, Frame((4 * SIDE, 4 * SIDE), (SIDE, SIDE), matrix))
    np.testing.assert_array_equal(large.ids[::4, ::4], small.ids)
    np.testing.assert_allclose(large.people.items[0].keypoints, 4 * small.people.items[0].keypoints)


def test_what_does_not_fit_is_refused():
    scene = crowd(1, GRID, np.random.default_rng(0))
    found = outputs_of(scene, owners(scene))
    with pytest.raises(ContractError, match="do not fit the other planes"):
        TASK.decode({**found, "mask": found["long_offset"]}, CONTRACT, WHOLE)
    with pytest.raises(ContractError, match="needs the decoder personlab-instances"):
        TASK.decode(found, msgspec.structs.replace(CONTRACT, postprocess=None), WHOLE)
    small = PersonInstances(np.zeros((4, 4), np.uint16), TASK.decode(found, CONTRACT, WHOLE).people)
    with pytest.raises(ContractError, match="differ in size"):
        TASK.compare(small, TASK.decode(found, CONTRACT, WHOLE))


def test_the_metric_is_the_mean_iou_of_the_best_pairing():
    scene = crowd(2, GRID, np.random.default_rng(1))
    result = TASK.decode(outputs_of(scene, owners(scene)), CONTRACT, WHOLE)
    assert TASK.compare(result, result) == 1.0
    swapped = PersonInstances(np.array([0, 2, 1], np.uint16)[result.ids], result.people)
    assert TASK.compare(swapped, result) == 1.0
    half = result.ids.copy()
    rows = np.flatnonzero((half == 1).any(axis=1))
    half[rows[len(rows) // 2 :]] = 0
    assert 0.5 < TASK.compare(PersonInstances(half, result.people), result) < 0.9
    assert TASK.compare_all([(result, result)]) == 1.0


def test_instances_are_drawn_and_written():
    scene = crowd(2, GRID, np.random.default_rng(1))
    result = TASK.decode(outputs_of(scene, owners(scene)), CONTRACT, WHOLE)
    photo = np.full((SIDE, SIDE, 3), 80, np.uint8)
    drawn = TASK.draw(photo, result)
    assert (drawn[result.ids == 1].mean(axis=0) != drawn[result.ids == 2].mean(axis=0)).any()
    stated = json.loads(json.dumps(result.to_json()))
    assert [person["area"] for person in stated["people"]] == [(result.ids == i).sum() for i in (1, 2)]
    again = unpack(pack(result), PersonInstances)
    assert np.array_equal(again.ids, result.ids)


def test_distance_maps_without_anybody_inside():
    scene = crowd(1, GRID, np.random.default_rng(0))
    found = planes(scene)
    last = [np.moveaxis(array[0], 0, 2) for array in found.values()]
    people = Instances(scene.points, np.ones((1, 17)), np.ones(1))
    maps = distance_maps(fields_of(*last), np.zeros((625, 2, 17)), np.zeros(GRID, np.bool_), people, Rule())
    assert maps.shape == (1, *GRID)
    assert (maps == 1).all()
