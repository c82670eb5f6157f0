"""Rendered people: the same whoever asks, with labels that agree with what is drawn."""

import numpy as np
import pytest

from edge.errors import UsageError
from edge.train.data.backgrounds import sample_background
from edge.train.data.body import PARTS
from edge.train.data.cameras import Camera, look
from edge.train.data.keypoints import NAMES
from edge.train.data.people import HIDDEN, SEEN, People, _towards, keypoint_states, make_person, render
from edge.train.data.sample import SyntheticSamples, collate
from edge.train.data.stream import stream

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def people(body):
    return People(7, size_hw=(128, 96), views=3)


@pytest.fixture(scope="module")
def drawn(people):
    return [people[index] for index in range(6)]


def test_an_index_is_the_same_again_and_another_seed_is_not(people, drawn):
    again = People(7, size_hw=(128, 96), views=3)[2]
    for first, second in zip(drawn[2], again, strict=True):
        assert np.array_equal(first.image, second.image)
        assert np.array_equal(first.keypoints, second.keypoints)
        assert np.array_equal(first.depth, second.depth)
    assert not np.array_equal(People(8, size_hw=(128, 96))[2][0].image, drawn[2][0].image)
    assert not np.array_equal(drawn[1][0].image, drawn[2][0].image)


def test_batches_are_the_same_whatever_the_number_of_workers(body):
    source = SyntheticSamples(People(3, size_hw=(64, 64)))
    alone, helped = (
        list(stream(source, batch=3, collate=collate, start=1, count=6, workers=workers)) for workers in (0, 2)
    )
    for first, second in zip(alone, helped, strict=True):
        assert first.keys() == second.keys()
        for name in first:
            assert np.array_equal(first[name].numpy(), second[name].numpy()), name


def test_views_show_one_pose_and_their_keypoints_triangulate_to_it(people, drawn):
    for views in drawn:
        world = [(view.points - view.camera.translation) @ view.camera.rotation for view in views]
        assert np.allclose(world[0], world[1], atol=1e-3)
        for place in range(len(NAMES)):
            found = triangulate([(view.camera, view.keypoints[place]) for view in views])
            assert np.linalg.norm(found - world[0][place]) < 2e-3, NAMES[place]


def triangulate(seen):
    """Return the point nearest to all rays, by the linear equations of all pictures."""
    rows = []
    for camera, (x, y) in seen:
        matrix = np.column_stack([camera.rotation, camera.translation])
        u, v = (np.array([x, y]) - camera.centre_px) / camera.focal_px
        rows += [u * matrix[2] - matrix[0], v * matrix[2] - matrix[1]]
    *_, last = np.linalg.svd(np.array(rows))
    return last[-1][:3] / last[-1][3]


def test_mask_parts_depth_and_normals_cover_the_same_pixels(drawn):
    for views in drawn:
        for view in views:
            assert view.mask.dtype == np.bool_
            assert np.array_equal(view.mask, view.parts > 0)
            assert np.array_equal(view.mask, np.isfinite(view.depth))
            assert view.parts.max() < len(PARTS)
            length = np.linalg.norm(view.normals, axis=2)
            assert np.allclose(length[view.mask], 1.0, atol=1e-3)
            assert (length[~view.mask] == 0).all()
            towards = -np.einsum("hwc,hwc->hw", view.normals, rays(view.camera))
            assert (towards[view.mask] > -1e-3).all()


def rays(camera: Camera):
    rows, columns = np.mgrid[: camera.size_hw[0], : camera.size_hw[1]]
    return camera.rays(np.stack([columns, rows], axis=-1).astype(float))


def test_normals_are_those_of_the_depth(drawn):
    """Between neighbouring pixels of one part, the surface that depth describes is at right angles to the normals."""
    errors = []
    for views in drawn:
        view = views[0]
        places = rays(view.camera) * np.where(view.mask, view.depth, 0)[..., None]
        step = places[:, 1:] - places[:, :-1]
        length = np.linalg.norm(step, axis=2)
        same = (view.parts[:, 1:] == view.parts[:, :-1]) & view.mask[:, 1:] & (length < 0.03)
        tilt = np.abs(np.einsum("hwc,hwc->hw", step, view.normals[:, 1:])) / np.maximum(length, 1e-9)
        if same.sum() > 100:
            errors.append(np.median(tilt[same]))
    assert np.median(errors) < 0.15


def test_seen_keypoints_lie_on_their_own_part(drawn):
    expected = {
        "knee": ("leg", "skirt"), "wrist": ("hand", "lower_arm"), "ankle": ("foot", "lower_leg"), "nose": "head",
    }  # fmt: skip
    right = total = 0
    for views in drawn:
        for view in views:
            for name, parts in expected.items():
                for place in [i for i, keypoint in enumerate(NAMES) if name in keypoint and view.states[i] == SEEN]:
                    x, y = np.rint(view.keypoints[place]).astype(int)
                    total += 1
                    shown = PARTS[view.parts[y, x]]
                    right += any(part in shown for part in np.atleast_1d(parts))
    assert total > 40
    assert right / total > 0.85  # clothes and hands hide some that are near enough


def test_keypoints_are_where_the_cameras_project_them(body, people, drawn):
    view = drawn[0][1]
    flat = view.camera.focal_px * view.points[:, :2] / view.points[:, 2:] + view.camera.centre_px
    assert np.abs(flat - view.keypoints).max() < 1e-2


def test_about_half_of_the_keypoints_are_seen(drawn):
    states = np.concatenate([view.states for views in drawn for view in views])
    assert 0.3 < (states == SEEN).mean() < 0.95
    assert (states == HIDDEN).any()


def a_person(body, seed=0):
    return make_person(body, np.random.default_rng(seed), ())


def view_of(body, person, camera):
    generator = np.random.default_rng(0)
    return render(body, person, camera, sample_background(generator, (), camera.size_hw), generator)


def camera_at(distance, *, focal=100.0, aside=0.0, size=(64, 64)):
    turn = look(np.zeros(1), np.zeros(1), np.zeros(1))[0]
    centre = (size[1] - 1) / 2, (size[0] - 1) / 2
    return Camera(turn, np.array([aside, 0.0, distance]), focal, centre, size)


def test_a_person_behind_the_camera_is_not_in_the_picture(body):
    view = view_of(body, a_person(body), camera_at(-4.0))
    assert not view.mask.any()
    assert (view.states == 0).all()
    assert np.isnan(view.keypoints).all()


def test_a_tiny_person_is_a_few_pixels_with_all_keypoints_inside(body):
    view = view_of(body, a_person(body), camera_at(25.0, focal=100.0))
    assert 0 < view.mask.sum() < 30
    assert (view.states > 0).all()


def test_a_person_partly_outside_has_keypoints_outside_that_are_not_seen(body):
    view = view_of(body, a_person(body), camera_at(2.0, focal=60.0, aside=1.0))
    outside = (view.keypoints < -0.5).any(axis=1) | (view.keypoints > 63.5).any(axis=1)
    assert outside.any()
    assert (view.states[outside] == 0).all()
    assert np.isfinite(view.keypoints).all()


def test_a_camera_inside_the_body_does_not_fail(body):
    view = view_of(body, a_person(body), camera_at(0.05))
    assert view.image.shape == (64, 64, 3)
    assert np.isfinite(view.normals).all()


def test_a_wall_hides_what_is_behind_it():
    surface = np.full((10, 10), np.inf, np.float32)
    surface[:, 5:] = 1.0
    pixels = np.array([[2.0, 2.0], [8.0, 2.0], [8.0, 8.0], [20.0, 2.0], [np.nan, np.nan]])
    depths = np.array([2.0, 2.0, 1.05, 2.0, -1.0])
    states = keypoint_states(pixels, depths, surface, np.full(5, 0.1))
    assert states.tolist() == [SEEN, HIDDEN, SEEN, 0, 0]


def test_impossible_requests_are_refused(body):
    with pytest.raises(UsageError, match="at least 1"):
        People(0, size_hw=(0, 64))
    with pytest.raises(UsageError, match="at least 1"):
        People(0, views=0)
    with pytest.raises(IndexError, match="numbered from 0"):
        People(0)[-1]


def test_normals_that_point_away_are_bent_to_the_outline_or_turned_round():
    views = np.tile([[0.0, 0.0, 1.0]], (3, 1))
    normals = np.array([[0.6, 0.0, 0.8], [1.0, 0.0, -0.1], [1.0, 0.0, -0.1]])
    found = _towards(normals, views, np.array([False, False, True]))
    assert np.allclose(found[:2], [[0.6, 0.0, 0.8], [1.0, 0.0, 0.0]])
    assert found[2, 0] < 0 < found[2, 2]
