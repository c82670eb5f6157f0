"""Camera planes into RGB: strides, odd sizes, JFIF's colours, and planes that are too short."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge.errors import InputError
from edge.yuv import Plane, yuv_to_rgb


def plane(value: int, height: int, width: int) -> Plane:
    return Plane(bytes([value]) * (height * width), width)


@pytest.mark.parametrize(
    ("yuv", "rgb"),
    [
        ((0, 128, 128), (0, 0, 0)),
        ((255, 128, 128), (255, 255, 255)),
        ((76, 85, 255), (254, 0, 0)),
        ((149, 43, 21), (0, 255, 0)),
        ((29, 255, 107), (0, 0, 254)),
    ],
)
def test_colours_are_jfifs(yuv, rgb):
    found = yuv_to_rgb(*(plane(value, 2, 2) for value in yuv), (2, 2))
    assert np.abs(found.astype(int) - rgb).max() <= 1
    assert (found == found[0, 0]).all()


def test_the_whole_cube_is_pillows():
    """Pillow's JPEG code rounds tables of its own: at most one step apart."""
    values = (
        np.stack(np.meshgrid(*[np.arange(0, 256, 15)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3).astype(np.uint8)
    )
    expected = np.asarray(Image.fromarray(values, "YCbCr").convert("RGB"), int)
    wide = np.repeat(np.repeat(values, 2, axis=0), 2, axis=1)
    luma = Plane(wide[..., 0].tobytes(), 2)
    blue, red = (Plane(values[..., channel].tobytes(), 1) for channel in (1, 2))
    found = yuv_to_rgb(luma, blue, red, wide.shape[:2])[::2, :1]
    assert np.abs(found.astype(int) - expected).max() <= 1


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 5), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_strides_do_not_matter(height, width, padding, step, seed):
    rng = np.random.default_rng(seed)
    half_height, half_width = (height + 1) // 2, (width + 1) // 2
    planes, plain = [], []
    for rows, columns in ((height, width), (half_height, half_width), (half_height, half_width)):
        values = rng.integers(0, 256, (rows, columns), np.uint8)
        row = (columns - 1) * step + 1 + padding
        loose = rng.integers(0, 256, (rows, row), np.uint8)
        loose[:, : (columns - 1) * step + 1 : step] = values
        used = (rows - 1) * row + (columns - 1) * step + 1
        planes.append(Plane(loose.tobytes()[:used], row, step))
        plain.append(Plane(values.tobytes(), columns))
    assert np.array_equal(yuv_to_rgb(*planes, (height, width)), yuv_to_rgb(*plain, (height, width)))


@pytest.mark.parametrize("bad", [Plane(b"1234567", 4), Plane(b"12345678", 3), Plane(b"12345678", 4, 0), Plane(b"", 4)])
def test_planes_that_do_not_hold_the_picture_are_refused(bad):
    with pytest.raises(InputError, match="does not hold"):
        yuv_to_rgb(bad, plane(0, 1, 2), plane(0, 1, 2), (2, 4))
