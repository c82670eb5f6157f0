"""The rasteriser against a naive one, its pixels' centres, and triangles that are behind, tiny or outside."""

import numpy as np
import pytest

from edge.train.data.cameras import Camera, look, sample_cameras
from edge.train.data.raster import rasterise, vertex_normals

pytest.importorskip("cv2")
CAMERA = Camera(np.eye(3), np.zeros(3), 40.0, (30.2, 22.7), (48, 64))


def naive(vertices, faces, camera):
    """Follow each pixel's ray to all triangles: the nearest one's number and depth."""
    height, width = camera.size_hw
    numbers, depth = np.full((height, width), -1), np.full((height, width), np.inf)
    for row in range(height):
        for column in range(width):
            ray = camera.rays(np.array([column, row], float))
            for number, face in enumerate(faces):
                corners = vertices[face]
                try:
                    weights = np.linalg.solve(corners.T, ray)
                except np.linalg.LinAlgError:
                    continue
                total = weights.sum()
                if (weights >= 0).all() and total > 0 and 1 / total < depth[row, column]:
                    numbers[row, column], depth[row, column] = number, 1 / total
    return numbers, depth


def triangles(seed, count=12):
    generator = np.random.default_rng(seed)
    centres = generator.uniform((-1.5, -1, 1.5), (1.5, 1, 4), (count, 1, 3))
    vertices = (centres + generator.normal(0, 0.5, (count, 3, 3)) * (1, 1, 0.3)).reshape(-1, 3).astype(np.float32)
    vertices[:, 2] = np.maximum(vertices[:, 2], 0.5)
    return vertices, np.arange(3 * count).reshape(-1, 3)


@pytest.mark.parametrize("seed", [0, 1])
def test_pixels_show_what_their_rays_meet_first(seed):
    vertices, faces = triangles(seed)
    raster = rasterise(vertices, faces, CAMERA)
    numbers, depth = naive(vertices, faces, CAMERA)
    drawn = np.full(CAMERA.size_hw, -1)
    drawn[raster.rows, raster.columns] = raster.triangles
    assert (drawn == numbers).mean() > 0.995  # edges that pass through a pixel's centre may fall to either side
    same = (drawn == numbers) & (drawn >= 0)
    assert same.sum() > 300
    assert np.abs(raster.depth[same] - depth[same]).max() < 2e-3


def test_interpolated_places_lie_on_the_rays_through_their_pixels():
    vertices, faces = triangles(2)
    raster = rasterise(vertices, faces, CAMERA)
    places = raster.interpolate(vertices, faces)
    pixels, depth = CAMERA.project(places.astype(np.float64))
    inner = (raster.weights > 0.02).all(axis=1)
    assert np.abs(pixels - np.stack([raster.columns, raster.rows], axis=1))[inner].max() < 0.05
    assert np.abs(depth - raster.depth[raster.rows, raster.columns])[inner].max() < 2e-3


def test_nothing_behind_the_camera_nothing_outside_and_no_triangles():
    vertices, faces = triangles(3)
    for moved in (vertices * (1, 1, -1), vertices + np.array([1000, 0, 0]), vertices - np.array([0, 0, 3.5])):
        raster = rasterise(moved.astype(np.float32), faces, CAMERA)
        assert np.isfinite(raster.weights).all()
        assert (raster.depth[raster.rows, raster.columns] > 0.02).all()
    assert len(rasterise((vertices * (1, 1, -1)).astype(np.float32), faces, CAMERA).rows) == 0
    assert len(rasterise(vertices, faces[:0], CAMERA).rows) == 0


def test_normals_of_a_cube_point_outwards():
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    normals = vertex_normals(corners, faces)
    assert (np.einsum("vi,vi->v", normals, corners) > 1.5).all()
    assert np.allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-6)


def test_cameras_look_at_people_from_where_they_say():
    turn = look(np.array([0.0, np.pi / 2]), np.zeros(2), np.zeros(2))
    assert np.allclose(turn[0] @ (0, 1, 0), (0, 0, 1))  # from the front it looks backwards
    assert np.allclose(turn[0] @ (0, 0, 1), (0, -1, 0))  # up is up
    assert np.allclose(turn[0] @ (1, 0, 0), (1, 0, 0))  # the person's left is at the right
    assert np.allclose(turn[1] @ (-1, 0, 0), (0, 0, 1))  # from the person's left it looks to the right
    assert np.allclose(np.linalg.det(turn), 1.0)


def test_random_cameras_have_the_person_before_them_and_mostly_in_the_picture():
    points = np.random.default_rng(0).uniform((-0.4, -0.3, -0.9), (0.4, 0.3, 0.9), (200, 33, 3))
    cameras = sample_cameras(np.random.default_rng(1), points, (256, 192))
    assert (cameras.to_camera(points)[..., 2] > 0.3).all()
    pixels = cameras.project(points)
    inside = ((pixels > 0) & (pixels < (192, 256))).all(axis=2)
    assert inside.mean() > 0.85
    one, _ = cameras[7].project(points[7])
    assert np.allclose(one, pixels[7])
