"""Pictures in requests: the same pixels as from a file, and no bomb goes off."""

from __future__ import annotations

import contextlib
import resource
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import bombs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from edge.contract import Contract, Preprocess, TensorSpec
from edge.images import read_image
from edge.serve.errors import PictureError, RequestError, ServeError, TooLarge, UnsupportedEncoding
from edge.serve.limits import Limits
from edge.serve.pictures import check_picture, decode_pictures, prepare_pictures
from edge.serve.wire import Tensor
from edge.tasks import TASKS, Region

CONTRACT = Contract(
    inputs=(TensorSpec(name="image", shape=(1, 3, 16, 24), layout="NCHW"),),
    preprocess=Preprocess(size=(16, 24), resize="letterbox", colour="BGR", mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.3)),
)


def decoded(data: bytes) -> np.ndarray:
    return next(decode_pictures([data]))


def refusal(data: bytes) -> type[ServeError]:
    tracemalloc.start()
    try:
        with pytest.raises(RequestError) as caught:
            list(decode_pictures([data]))
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert str(caught.value).isprintable()
    return caught.type


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(("PNG", mode) for mode in ("RGB", "L", "RGBA", "P", "1", "LA")),
        *(("JPEG", mode) for mode in ("RGB", "L", "CMYK")),
        *(("WEBP", mode) for mode in ("RGB", "RGBA")),
    ],
)
def test_the_same_pixels_as_from_a_file(tmp_path: Path, kind: str, mode: str) -> None:
    data = bombs.saved(kind, bombs.photo().convert(mode))
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(data)
    assert np.array_equal(decoded(data), read_image(path))
    assert check_picture(data, 10_000) == (64, 48)


def test_a_cmyk_jpeg_shows_its_colours() -> None:
    data = bombs.saved("JPEG", PillowImage.new("RGB", (8, 8), (200, 30, 30)).convert("CMYK"), quality=95)
    assert np.abs(decoded(data).astype(int) - (200, 30, 30)).max() < 6


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, -1), (3, 2), (8, 1)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_turns_the_picture(kind: str, orientation: int, turns: int) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if kind != "PNG" else {}
    plain = decoded(bombs.saved(kind, **options))
    turned = decoded(bombs.saved(kind, exif=exif, **options))
    assert np.array_equal(turned, np.rot90(plain, turns))


def test_16_bits_a_channel_keep_the_upper_8() -> None:
    row = b"\0" + struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 0xFFFF, 0, 0x8000)
    found = decoded(bombs.png(2, 1, row, depth=16))
    assert found.tolist() == [[[0x12, 0x56, 0x9A], [0xFF, 0, 0x80]]]
    grey = decoded(bombs.png(2, 1, b"\0" + struct.pack(">2H", 0xC807, 0x0102), depth=16, colour=0))
    assert grey[0, :, 0].tolist() == [0xC8, 0x01]


@pytest.mark.parametrize(
    ("width", "height"), [(60_000, 60_000), (10_000, 10_000), (5_001, 5_000), (2**31 - 1, 1), (1, 2**31 - 1)]
)
def test_a_header_of_many_pixels_is_refused(width: int, height: int) -> None:
    assert refusal(bombs.png(width, height, b"")) is TooLarge
    jpeg = bytearray(bombs.saved("JPEG"))
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = struct.pack(">HH", min(height, 65_000), min(width, 65_000))
    if min(width, 65_000) * min(height, 65_000) > 25_000_000:
        assert refusal(bytes(jpeg)) is TooLarge


def test_a_compressed_bomb_is_refused_by_its_header() -> None:
    bomb = bombs.black_png(5_100, 5_000)  # 76 MB of pixels
    assert len(bomb) < 100_000
    assert refusal(bomb) is TooLarge


def test_rows_beyond_the_header_are_not_unpacked() -> None:
    bomb = bombs.png(8, 8, bytes(50_000_000))
    tracemalloc.start()
    found = list(decode_pictures([bomb]))
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()
    assert found[0].shape == (8, 8, 3)


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_compressed_text_is_bounded(kind: bytes) -> None:
    packed = zlib.compress(bytes(64_000_000), 9)
    data = {b"iTXt": b"k\0\1\0\0\0" + packed}.get(kind, b"k\0\0" + packed)
    bomb = bombs.png(1, 1, b"\0abc", extra=bombs.chunk(kind, data))
    tracemalloc.start()
    with contextlib.suppress(PictureError):
        decoded(bomb)
    assert tracemalloc.get_traced_memory()[1] < 8_000_000
    tracemalloc.stop()


def test_webp_headers_are_read_before_the_canvas_is_made() -> None:
    big = (16_000 - 1) | (16_000 - 1) << 14
    assert refusal(bombs.webp_header(b"VP8L", b"\x2f" + struct.pack("<I", big) + bytes(9))) is TooLarge
    assert refusal(bombs.webp_header(b"VP8 ", bytes(6) + struct.pack("<HH", 16_000, 16_000))) is TooLarge
    assert refusal(bombs.webp_header(b"VP8X", bytes(4) + b"\xff\xff\xff" * 2)) is TooLarge
    assert refusal(bombs.webp_header(b"VP8X", b"\2" + bytes(9))) is PictureError
    assert refusal(bombs.webp_header(b"ALPH", bytes(10))) is PictureError
    for kind, lossless in (("WEBP", True), ("WEBP", False)):
        assert check_picture(bombs.saved(kind, lossless=lossless), 10_000) == (64, 48)
    assert check_picture(bombs.saved("WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"), 10_000) == (64, 48)


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_animations_are_refused(kind: str) -> None:
    assert refusal(bombs.animation(kind)) is PictureError


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO", "PPM", "PDF"])
def test_other_formats_are_refused(kind: str) -> None:
    assert refusal(bombs.animation(kind) if kind == "GIF" else bombs.saved(kind)) is UnsupportedEncoding
    assert UnsupportedEncoding.status == 415


def test_of_several_pictures_in_a_jpeg_the_first_is_taken() -> None:
    first, second = bombs.photo(), PillowImage.new("RGB", (64, 48), "white")
    both = bombs.saved("MPO", first, save_all=True, append_images=[second], quality=95)
    assert np.array_equal(decoded(both), decoded(bombs.saved("JPEG", first, quality=95)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.98])
def test_cut_off_pictures_are_refused(kind: str, share: float) -> None:
    data = bombs.saved(kind)
    assert refusal(data[: max(1, int(len(data) * share))]) in (PictureError, UnsupportedEncoding)


def test_scans_are_bounded() -> None:
    assert refusal(bombs.many_scans(500)) is PictureError
    assert decoded(bombs.saved("JPEG", progressive=True)).shape == (48, 64, 3)


def test_the_limit_is_on_all_pictures_together() -> None:
    data = bombs.saved("PNG")
    assert len(list(decode_pictures([data, data], Limits(pixels=2 * 64 * 48)))) == 2
    with pytest.raises(TooLarge, match="together"):
        decode_pictures([data, data], Limits(pixels=2 * 64 * 48 - 1))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP"]), st.data())
def test_damaged_pictures_raise_the_wires_errors_only(kind: str, data: st.DataObject) -> None:
    body = bytearray(bombs.saved(kind))
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        for image in decode_pictures([bytes(body)], Limits(pixels=1_000_000)):
            assert image.dtype == np.uint8
            assert image.shape[2] == 3
    except RequestError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize("task", sorted(TASKS))
def test_preprocessing_is_the_contracts(task: str) -> None:
    contract = Contract(inputs=CONTRACT.inputs, preprocess=CONTRACT.preprocess, task=task)
    data = [bombs.saved("PNG"), bombs.saved("PNG", bombs.photo(30, 30))]
    found = prepare_pictures(Tensor.of_pictures("image", data), contract)
    assert found.array.shape == (2, 3, 16, 24)
    assert (found.name, found.datatype) == ("image", "FP32")
    for row, one in zip(found.array, data, strict=True):
        expected, _ = TASKS[task].prepare(decoded(one), contract)
        assert np.array_equal(row, expected["image"][0])


def test_a_region_of_the_picture() -> None:
    region = Region(30.0, 20.0, 24.0, 0.3)
    parameters = {"centre_x": 30, "centre_y": 20.0, "side": 24.0, "rotation": 0.3}
    pictures = Tensor.of_pictures("image", [bombs.saved("PNG")])
    found = prepare_pictures(Tensor("image", "BYTES", pictures.array, parameters), CONTRACT)
    expected, _ = TASKS["tensors"].prepare(np.asarray(bombs.photo()), CONTRACT, region)
    assert np.array_equal(found.array, expected["image"])
    for wrong in ({"side": 0.0}, {"side": 1e9}, {"rotation": "x"}, {"centre_x": True}):
        with pytest.raises(RequestError, match="a region needs"):
            prepare_pictures(Tensor("image", "BYTES", pictures.array, {**parameters, **wrong}), CONTRACT)
    with pytest.raises(RequestError, match="a region needs"):
        prepare_pictures(Tensor("image", "BYTES", pictures.array, {"side": 1.0}), CONTRACT)
    two = Tensor.of_pictures("image", [bombs.saved("PNG")] * 2)
    with pytest.raises(RequestError, match="goes with one picture"):
        prepare_pictures(Tensor("image", "BYTES", two.array, parameters), CONTRACT)


def test_refusing_a_bomb_takes_no_memory_of_the_process() -> None:
    """In a process that may take 400 MB and not more; the bombs would take 0.5 to 14 GB."""
    limit = 400 << 20
    done = subprocess.run(
        [sys.executable, "-c", _REFUSE, str(Path(bombs.__file__).parent)],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )
    assert done.stdout.split() == ["TooLarge"] * 3, done.stderr


_REFUSE = """
import struct, sys
sys.path.insert(0, sys.argv[1])
import bombs
from edge.serve.pictures import decode_pictures
from edge.serve.errors import ServeError
webp = bombs.webp_header(b"VP8X", bytes(4) + b"\\xdf\\x2e\\x00" * 2)
for bomb in (bombs.png(60_000, 60_000, b""), bombs.png(20_000, 20_000, bytes(1_000_000)), webp):
    try:
        list(decode_pictures([bomb]))
    except ServeError as error:
        print(type(error).__name__)
"""
