"""Labels from a model of the zoo, kept once made; folders and videos that they are made for."""

import numpy as np
import pytest

from edge.errors import InputError, UsageError
from edge.images import read_image, write_image
from edge.train.data import teacher
from edge.train.data.augment import Augmentation, Augmented
from edge.train.data.folder import read_folder, video_frames
from edge.train.data.keypoints import COCO, NAMES
from edge.train.data.mix import mix, shuffled
from edge.train.data.people import People
from edge.train.data.sample import ABSENT, SyntheticSamples, collate
from edge.train.data.stream import stream
from edge.train.data.teacher import label_pictures


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Keep labels in a folder of the test's own, weights in everyone's."""
    kept = tmp_path / "labels"

    def cached(kind, key):
        return kept / key if (kept / key).is_dir() else None

    def keep(kind, key, folder):
        (kept / key).mkdir(parents=True)
        for path in folder.iterdir():
            (kept / key / path.name).write_bytes(path.read_bytes())
        return kept / key

    monkeypatch.setattr(teacher, "cached_folder", cached)
    monkeypatch.setattr(teacher, "keep_folder", keep)
    return kept


@pytest.fixture
def pictures(photos, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, path in (("a.png", photos[0]), ("b.png", photos[1])):
        write_image(folder / name, read_image(path))
    return read_folder(folder)


@pytest.mark.slow
def test_a_person_is_labelled_once_and_a_cup_is_nobody(pictures, cache, monkeypatch):
    shown: list[str] = []
    labelled = label_pictures(pictures.paths, teacher="blazepose-lite", progress=shown.append)
    assert shown == ["a.png", "b.png"]
    assert [path.name for path in labelled.paths] == ["a.png"]
    assert [path.name for path in labelled.empty] == ["b.png"]
    sample = labelled[0]
    nose = sample.keypoints[NAMES.index("nose")]
    assert 180 < nose[0] < 270  # the astronaut's, in a picture of 512 × 512
    assert 70 < nose[1] < 160
    assert sample.states[NAMES.index("left_ankle")] == ABSENT  # below the picture
    assert sample.mask[200, 220] > 0.9
    assert np.isfinite(sample.world).all()
    monkeypatch.setattr(teacher, "open_teacher", lambda *_: pytest.fail("it was asked again"))
    again = label_pictures(pictures.paths, teacher="blazepose-lite")
    assert np.array_equal(again[0].keypoints, sample.keypoints)


@pytest.mark.slow
def test_a_mix_of_rendered_and_labelled_pictures_streams_in_its_ratio(pictures, cache, body):
    labelled = label_pictures(pictures.paths, teacher="blazepose-lite")
    how = Augmentation(size_hw=(64, 64))
    real = Augmented(shuffled(labelled, 0), how, 1)
    rendered = Augmented(SyntheticSamples(People(0, size_hw=(96, 96))), how, 2)
    mixed = mix([rendered, real], [2, 1], 0)
    assert [mixed[i].source for i in range(6)].count("blazepose-lite") == 2
    first, second = (list(stream(mixed, batch=3, collate=collate, count=6, workers=w)) for w in (0, 2))
    for a, b in zip(first, second, strict=True):
        assert all(np.array_equal(a[name].numpy(), b[name].numpy()) for name in a)
        assert a["parts_known"].sum() == 2


def test_only_landmark_models_can_teach_poses(tmp_path):
    with pytest.raises(UsageError, match="cannot label poses"):
        label_pictures([tmp_path / "a.png"], teacher="selfie-segmentation")
    with pytest.raises(InputError, match="no pictures"):
        label_pictures([])


def test_a_folder_gives_pictures_of_which_nothing_is_known(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((8, 9, 3), np.uint8))
    (tmp_path / "b.jpg").write_text("no picture")
    found = read_folder(tmp_path)
    assert len(found) == 2
    assert found[0].image.shape == (8, 9, 3)
    assert (found[0].states == ABSENT).all()
    assert found[0].mask is None
    with pytest.raises(InputError, match=r"b\.jpg"):
        found[1]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no picture"):
        read_folder(tmp_path / "empty")


def test_frames_of_a_video_are_decoded_once(tmp_path, monkeypatch):
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (800, 400))
    for number in range(7):
        writer.write(np.full((400, 800, 3), 30 * number, np.uint8))
    writer.release()
    frames = video_frames(path, every=3)
    assert [frame.stem for frame in frames] == ["000000", "000003", "000006"]
    assert read_image(frames[1]).shape == (320, 640, 3)
    assert abs(int(read_image(frames[1])[0, 0, 0]) - 90) < 8
    assert video_frames(path, every=3) == frames
    with pytest.raises(InputError, match="no such file"):
        video_frames(tmp_path / "none.mp4")
    with pytest.raises(UsageError, match="at least"):
        video_frames(path, every=0)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match="no frame"):
        video_frames(tmp_path / "broken.mp4")


def test_landmark_names_hold_cocos():
    assert len(set(COCO.tolist())) == 17
