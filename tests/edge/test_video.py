"""Frames in and out of files and folders."""

import numpy as np
import pytest

from edge.errors import InputError, MissingError
from edge.images import read_image, write_image
from edge.video import frame_writer, open_video

SHADES = (10, 60, 110, 160, 210)


def shade(value, size=(48, 64)):
    return np.full((*size, 3), value, np.uint8)


def coloured():
    image = shade(0)
    image[..., 0] = 200  # red: a swap of channels shows
    return image


def write(path, images, fps=25.0):
    with frame_writer(path, fps) as writer:
        for image in images:
            writer.write(image)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "clip.mkv"])
def test_a_file_gives_back_its_frames_and_times(tmp_path, name):
    write(tmp_path / name, [shade(value) for value in SHADES])
    video = open_video(tmp_path / name)
    assert video.fps == pytest.approx(25)
    frames = list(video.frames())
    assert [frame.number for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.time_ns / 1e6 for frame in frames] == pytest.approx([0, 40, 80, 120, 160], abs=1.1)
    for frame, value in zip(frames, SHADES, strict=True):
        assert frame.image.shape == (48, 64, 3)
        assert abs(float(frame.image.mean()) - value) < 4
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_colours_stay_in_their_order(tmp_path):
    write(tmp_path / "red.avi", [coloured()] * 2)
    (first, _) = open_video(tmp_path / "red.avi").frames()
    red, green, blue = first.image.mean(axis=(0, 1))
    assert red > 150 > 60 > max(green, blue)


def test_odd_sides_lose_a_line(tmp_path):
    write(tmp_path / "odd.mp4", [shade(90, (33, 47))])
    (frame,) = open_video(tmp_path / "odd.mp4").frames()
    assert frame.image.shape == (32, 46, 3)


def test_a_folder_of_pictures_is_a_video(tmp_path):
    write(tmp_path / "frames", [shade(value, (20 + value, 30)) for value in SHADES])
    assert len(list((tmp_path / "frames").iterdir())) == 5
    video = open_video(tmp_path / "frames", 10)
    assert (video.fps, video.count) == (10, 5)
    frames = list(video.frames())
    assert [frame.time_ns for frame in frames] == [0, 100_000_000, 200_000_000, 300_000_000, 400_000_000]
    assert [frame.image.shape[0] for frame in frames] == [20 + value for value in SHADES]
    assert open_video(tmp_path / "frames").fps == 30


def test_frames_of_a_file_have_one_size_and_nothing_is_left_of_a_failure(tmp_path):
    with pytest.raises(InputError, match="30 × 20 pixels after ones of 64 × 48"):
        write(tmp_path / "two.mp4", [shade(1), shade(1, (20, 30))])
    assert not list(tmp_path.iterdir())


def test_nothing_written_is_no_file(tmp_path):
    write(tmp_path / "none.mp4", [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["clip.gif", "clip.txt"])
def test_other_suffixes(tmp_path, name):
    with pytest.raises(InputError, match="the name of a folder"):
        frame_writer(tmp_path / name, 25)


@pytest.mark.parametrize("body", [b"", b"not a video at all" * 50])
def test_files_that_are_no_videos(tmp_path, body):
    (tmp_path / "broken.mp4").write_bytes(body)
    with pytest.raises(InputError, match=r"broken\.mp4"):
        list(open_video(tmp_path / "broken.mp4").frames())


def test_a_video_cut_short_gives_the_frames_it_has_or_says_why(tmp_path):
    write(tmp_path / "whole.avi", [shade(value) for value in SHADES])
    data = (tmp_path / "whole.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    try:
        frames = list(open_video(tmp_path / "cut.avi").frames())
    except InputError:
        return
    assert 0 < len(frames) < 5


def test_what_is_not_there(tmp_path):
    with pytest.raises(InputError, match="no such video"):
        open_video(tmp_path / "none.mp4")
    with pytest.raises(InputError, match="holds no picture"):
        open_video(tmp_path)
    with pytest.raises(InputError, match="frames a second"):
        open_video(tmp_path, 0)


def test_without_opencv_folders_still_work(tmp_path, monkeypatch):
    import builtins

    real = builtins.__import__

    def without(name, *rest):
        if name == "cv2":
            raise ImportError("No module named 'cv2'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    (tmp_path / "clip.mp4").write_bytes(b"x")
    with pytest.raises(MissingError, match="photographs"):
        open_video(tmp_path / "clip.mp4")
    write_image(tmp_path / "frames.png", shade(1))
    assert len(list(open_video(tmp_path).frames())) == 1
    assert read_image(tmp_path / "frames.png").shape == (48, 64, 3)
