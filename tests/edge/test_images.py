"""Pictures: every readable kind, every refusal, and the sampling that everything else stands on."""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from edge.contract import Contract, Preprocess, TensorSpec
from edge.errors import ContractError, InputError
from edge.images import list_images, read_image, to_tensor, warp, warp_plane, write_image


def _ramp(height: int = 12, width: int = 20) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 12, y * 20, (x + y) * 7], axis=2).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_lossless_round_trip(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ramp{suffix}"
    write_image(path, _ramp())
    assert np.array_equal(read_image(path), _ramp())


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_round_trip(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"grey{suffix}"
    write_image(path, np.full((16, 24, 3), 120, np.uint8))
    assert np.abs(read_image(path).astype(int) - 120).max() <= 2


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    if mode == "I;16":
        PillowImage.fromarray(np.full((6, 8), 200 * 256 + 7, np.uint16)).save(path)
    else:
        PillowImage.new("RGB", (8, 6), (200, 200, 200)).convert(mode, dither=0).save(path)
    image = read_image(path)
    assert image.shape == (6, 8, 3)
    assert image.dtype == np.uint8
    expected = 255 if mode == "1" else 200
    assert np.abs(image.astype(int) - expected).max() <= 4  # a palette rounds


def test_transparency_is_put_on_white(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    PillowImage.new("RGBA", (4, 4), (0, 0, 0, 0)).save(path)
    assert (read_image(path) == 255).all()


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, -1), (3, 2), (8, 1)])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, turns: int) -> None:
    stored = PillowImage.fromarray(_ramp())
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    stored.save(path, exif=exif)
    assert np.array_equal(read_image(path), np.rot90(_ramp(), turns))


def _png_header(width: int, height: int) -> bytes:
    """Return a PNG file that ends where its pixels should begin."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return head + struct.pack(">I", 100) + b"IDAT"


@pytest.mark.parametrize("size", [(20_000, 20_000), (5001, 5000), (12_000, 9_000)])
def test_large_picture_is_refused_by_its_header(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(_png_header(*size))
    with pytest.raises(InputError, match=r"large\.png .*25 megapixels") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0" + bytes(40), b"GIF89a"]
)
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.png is (not a|a broken) picture"):
        read_image(path)


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, 10_000), value=st.integers(0, 255), length=st.integers(0, 10_000))
def test_broken_files_raise_nothing_but_input_error(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int, length: int
) -> None:
    folder = tmp_path_factory.mktemp("broken")
    path = folder / "a.jpg"
    write_image(path, _ramp(40, 60))
    data = bytearray(path.read_bytes())
    data[position % len(data)] = value
    path.write_bytes(bytes(data[: max(1, length % (len(data) + 1))]))
    with contextlib.suppress(InputError):
        assert read_image(path).shape[2] == 3


def test_missing_file_folder_and_suffix(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(InputError, match="cannot read"):
        read_image(tmp_path)
    with pytest.raises(InputError, match="suffixes"):
        write_image(tmp_path / "a.gif", _ramp())
    with pytest.raises(InputError, match="holds no picture"):
        list_images(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        list_images(tmp_path / "none")
    write_image(tmp_path / "b.png", _ramp())
    write_image(tmp_path / "a.JPG", _ramp())
    assert [path.name for path in list_images(tmp_path)] == ["a.JPG", "b.png"]


def _contract(layout: str, dtype: str = "float32", **rule: object) -> Contract:
    shape = (1, 3, 12, 20) if layout == "NCHW" else (1, 12, 20, 3)
    spec = TensorSpec(name="image", shape=shape, dtype=dtype, layout=layout)  # type: ignore[arg-type]
    return Contract(inputs=(spec,), preprocess=Preprocess(size=(12, 20), **rule))  # type: ignore[arg-type]


def test_to_tensor_follows_the_contract() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = ((_ramp() / 255.0 - mean) / std).transpose(2, 0, 1)[None]
    assert np.allclose(to_tensor(_ramp(), _contract("NCHW", mean=mean, std=std)), expected, atol=1e-5)
    signed = to_tensor(_ramp(), _contract("NHWC", range=(-1.0, 1.0), colour="BGR"))
    assert np.allclose(signed[0], _ramp()[..., ::-1] / 127.5 - 1, atol=1e-6)
    raw = to_tensor(_ramp(), _contract("NHWC", dtype="uint8", range=(0.0, 255.0)))
    assert raw.dtype == np.uint8
    assert np.array_equal(raw[0], _ramp())
    with pytest.raises(ContractError, match="preprocess"):
        to_tensor(_ramp(), Contract(inputs=(TensorSpec(name="x", shape=(1, 4)),)))


IDENTITY = np.array([[1.0, 0, 0], [0, 1.0, 0]])


def test_warp_keeps_moves_and_fills() -> None:
    image = _ramp()
    assert np.array_equal(warp(image, IDENTITY, (12, 20)), image)
    moved = np.array([[1.0, 0, -3], [0, 1.0, 2]])
    filled = warp(image, moved, (12, 20), border=9)
    assert np.array_equal(filled[:10, 3:], image[2:, :17])
    assert (filled[:, :3] == 9).all()
    assert (filled[10:] == 9).all()
    assert np.array_equal(warp(image, moved, (12, 20))[0, :4], np.repeat(image[2:3, 0], 4, axis=0))
    far = np.array([[1.0, 0, 1e9], [0, 1.0, -1e9]])
    assert np.array_equal(warp(image, far, (2, 2)), np.broadcast_to(image[0, -1], (2, 2, 3)))


@settings(max_examples=40, deadline=None)
@given(
    angle=st.floats(-3.2, 3.2),
    scale=st.floats(0.2, 3.0),
    x=st.floats(-10, 20),
    y=st.floats(-10, 12),
    fill=st.booleans(),
)
def test_warp_is_bilinear_to_a_32nd_of_a_pixel(angle: float, scale: float, x: float, y: float, fill: bool) -> None:
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cos, -sin, x], [sin, cos, y]])
    image = _ramp()
    sampled = warp(image, matrix, (9, 11), border=0 if fill else None)
    grid_y, grid_x = np.mgrid[0:9, 0:11]
    at_x, at_y = matrix @ np.stack([grid_x.ravel(), grid_y.ravel(), np.ones(99)])
    inside = (at_x >= 0) & (at_x <= 19) & (at_y >= 0) & (at_y <= 11)
    exact = np.stack([at_x * 12, at_y * 20, (at_x + at_y) * 7], axis=1)  # the ramp is linear
    assert np.abs(sampled.reshape(-1, 3)[inside] - exact[inside]).max(initial=0) <= 20 / 32 + 0.5
    plane = warp_plane(image[..., 0], matrix, (9, 11))
    assert np.allclose(plane.ravel()[inside], exact[inside, 0], atol=1e-3)


def test_warp_plane_agrees_with_itself_turned() -> None:
    plane = np.random.default_rng(0).random((7, 9), np.float32)
    straight = np.array([[0.4, 0, 0.3], [0, 0.6, -0.2]])
    turned = straight + np.array([[0, 1e-12, 0], [0, 0, 0]])  # takes the general path
    assert np.allclose(warp_plane(plane, straight, (11, 13)), warp_plane(plane, turned, (11, 13)), atol=1e-6)
