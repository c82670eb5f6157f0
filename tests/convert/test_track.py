"""A real person moved and turned over a background: the track keeps them, loses them, and finds them again."""

import json

import numpy as np
import pytest
from embed_artifacts import make_artifact

from bench.personlab_scenes import crowd, planes
from convert.load import load
from convert.prepare import run_eager
from convert.track import looker, track_job
from edge.errors import UsageError
from edge.images import read_image, warp, write_image
from edge.tasks import TASKS
from edge.tasks._geometry import invert, transform
from edge.video import VideoFrame

SIDE = 320  # of the made video, in pixels
FRAMES = 16
GONE = range(7, 10)  # frames without the person


class Eager:
    """The eager model in a session's place."""

    mode = "native"

    def __init__(self, name):
        self.model = load(name)
        self.runs = 0

    def run(self, inputs):
        self.runs += 1
        return run_eager(self.model, self.model.contract, inputs)


def motion(frame):
    """Return the map (2, 3) from the photograph to the made frame: moved along an arc, turned, and grown a little."""
    angle, scale = np.radians(2.0 * (frame - 4)), SIDE / 560 * (1 + 0.01 * frame)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.array([SIDE / 2 + 4.0 * frame - 20, SIDE / 2 + 10 * np.sin(frame / 3)])
    return np.column_stack([turn, centre - turn @ np.array([230.0, 256.0])])


@pytest.fixture(scope="module")
def film(photos):
    """Return frames of the photograph moved over a grey gradient, the person cut out by a soft edge of the picture."""
    photo = read_image(photos[0])
    background = np.repeat(np.linspace(90, 140, SIDE)[None, :, None], SIDE, axis=0).repeat(3, axis=2).astype(np.uint8)
    inside = np.full((*photo.shape[:2], 3), 255, np.uint8)
    frames = []
    for number in range(FRAMES):
        if number in GONE:
            frames.append(background)
            continue
        to_photo = invert(motion(number))
        moved = warp(photo, to_photo, (SIDE, SIDE), border=0).astype(np.float32)
        share = warp(inside, to_photo, (SIDE, SIDE), border=0).astype(np.float32) / 255
        frames.append(np.rint(moved * share + background * (1 - share)).astype(np.uint8))
    return frames


@pytest.fixture
def eager(monkeypatch, tmp_path):
    """Return a function that makes an artifact of a model whose session is the eager model."""
    sessions = {}

    def artifact(name):
        made = make_artifact(tmp_path / name, name)
        sessions[name] = Eager(name)
        return made

    monkeypatch.setattr("convert.track.open_session", lambda found: sessions[found.manifest.model])
    artifact.sessions = sessions
    return artifact


def write_film(folder, film):
    folder.mkdir()
    for number, image in enumerate(film):
        write_image(folder / f"{number:03d}.png", image)
    return folder


def job(artifact, video, tmp_path, **changes):
    payload = {
        "artifact": str(artifact.root), "video": str(video), "detector": "", "output": str(tmp_path / "drawn"),
        "results": str(tmp_path / "found.jsonl"), "fps": 30.0, "most_frames": None, "smooth": True,
    }  # fmt: skip
    summary = track_job(payload | changes)
    lines = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    return summary, lines


@pytest.mark.slow
def test_a_person_is_followed_lost_and_found(eager, film, tmp_path):
    detector = eager("blazepose-detector")
    summary, lines = job(
        eager("blazepose-lite"), write_film(tmp_path / "film", film), tmp_path, detector=str(detector.root)
    )
    assert [line["frame"] for line in lines] == list(range(FRAMES))
    assert lines[3]["time_s"] == pytest.approx(0.1)
    assert [line["found"] for line in lines] == [number not in GONE for number in range(FRAMES)]
    searched = [line["frame"] for line in lines if line["detector_ran"]]
    assert searched == [0, 8, 9, 10]  # frame 7 shows that the person has gone, frame 10 that they are back
    assert summary["detector_ran"] == eager.sessions["blazepose-detector"].runs == 4
    assert (summary["frames"], summary["found"]) == (FRAMES, FRAMES - len(GONE))
    assert len(list((tmp_path / "drawn").iterdir())) == FRAMES
    assert np.abs(read_image(tmp_path / "drawn" / "frame000008.jpg").astype(int) - film[8]).mean() < 4  # nothing drawn
    # The motion is known: taken back into the photograph, the head and the shoulders stay where they are.
    names = ("nose", "left_eye", "right_eye", "left_shoulder", "right_shoulder")
    places = []
    for line in lines:
        if line["found"]:
            points = {item["name"]: item["point"][:2] for item in line["landmarks"]}
            places.append(transform(invert(motion(line["frame"])), np.array([points[name] for name in names])))
    spread = np.linalg.norm(np.stack(places) - np.mean(places, axis=0), axis=2)
    assert spread.mean() < 9  # pixels of the photograph, whose shoulders are about 200 apart
    assert spread.max() < 30


SHIFTED_HW, SMALL = (360, 480), 0.4  # of the copies, and of the photograph in them
AWAY = (6, 7)  # copies without the person


def shift(number):
    return np.array([96.0 + 5 * number, SHIFTED_HW[0] - 512 * SMALL])


@pytest.fixture(scope="module")
def shifted(photos):
    """Return copies of the photograph, small, each 5 pixels further to the right."""
    photo = read_image(photos[0])
    background = np.tile(np.linspace(90, 140, SHIFTED_HW[1]).astype(np.uint8)[None, :, None], (SHIFTED_HW[0], 1, 3))
    copies = []
    for number in range(11):
        to_photo = np.column_stack([np.eye(2) / SMALL, -shift(number) / SMALL])
        moved = warp(photo, to_photo, SHIFTED_HW, border=0)
        inside = warp(np.full_like(photo, 255), to_photo, SHIFTED_HW, border=0) == 255
        copies.append(background if number in AWAY else np.where(inside, moved, background))
    return copies


def keypoints_of(task, session, image):
    contract = session.model.contract
    inputs, frame = task.prepare(image, contract)
    return task.decode(session.run(inputs), contract, frame).items[0].keypoints


@pytest.mark.slow
def test_movenets_person_is_followed_lost_and_found(eager, photos, shifted, tmp_path):
    artifact = eager("movenet-lightning")
    summary, lines = job(artifact, write_film(tmp_path / "film", shifted), tmp_path)
    assert [line["frame"] for line in lines if line["whole_picture"]] == [0, 7, 8]
    assert [line["frame"] for line in lines if not line["people"]] == list(AWAY)
    assert (summary["frames"], summary["found"], summary["detector_ran"]) == (11, 9, 0)
    assert len(list((tmp_path / "drawn").iterdir())) == 11
    session, task = eager.sessions["movenet-lightning"], TASKS["keypoints"]
    truth = keypoints_of(task, session, read_image(photos[0])) * SMALL
    head, shoulders, errors = [0, 1, 2], [5, 6], []
    for line in lines:
        if line["people"]:
            points = np.array([item["point"] for item in line["people"][0]["keypoints"]])
            whole = keypoints_of(task, session, shifted[line["frame"]])
            assert np.linalg.norm(points - whole, axis=1)[head].max() < 6  # pixels
            places = [found - truth - shift(line["frame"]) for found in (points, whole)]
            errors.append([np.linalg.norm(place, axis=1)[shoulders].mean() for place in places])
    followed, whole = np.mean(errors, axis=0)
    assert followed < 0.8 * whole  # the second look is worth it


def test_several_people_are_found_frame_by_frame(tmp_path):
    artifact = make_artifact(tmp_path / "posenet", "posenet-mobilenetv1")
    grid = next(spec.shape[2:] for spec in artifact.manifest.outputs if spec.name == "heatmap")
    scenes = iter([crowd(3, grid, np.random.default_rng(seed)) for seed in (5, 5, 7)])

    class Crowd:
        def run(self, inputs):
            assert set(inputs) == {"image"}
            return planes(next(scenes))

    look = looker(artifact, Crowd(), None, smooth=True)
    seen = [look(VideoFrame(i, i * 33_333_333, np.zeros((240, 320, 3), np.uint8))) for i in range(3)]
    assert [len(item.result.items) for item in seen] == [3, 3, 3]
    assert all(item.about == {} for item in seen)
    assert seen[0].result.to_json() == seen[1].result.to_json() != seen[2].result.to_json()  # nothing is smoothed


@pytest.mark.slow
def test_masks_are_steadier_when_they_are_blended(eager, film, tmp_path):
    noisy = np.random.default_rng(0)
    shaken = [np.clip(film[2] + noisy.normal(0, 14, film[2].shape), 0, 255).astype(np.uint8) for _ in range(8)]
    artifact = eager("selfie-segmentation")
    planes = {}
    for smooth in (True, False):
        look = looker(artifact, eager.sessions["selfie-segmentation"], None, smooth=smooth)
        seen = [look(VideoFrame(i, i * 33_333_333, image)).result for i, image in enumerate(shaken)]
        planes[smooth] = np.stack([item.probability for item in seen])
    flicker = {smooth: np.abs(np.diff(values[2:], axis=0)).mean() for smooth, values in planes.items()}
    assert flicker[True] < 0.8 * flicker[False]
    assert np.array_equal(planes[True][0], planes[False][0])


def test_a_video_of_masks_stops_where_it_is_told(eager, film, tmp_path):
    summary, lines = job(
        eager("selfie-segmentation"), write_film(tmp_path / "film", film), tmp_path, most_frames=3, output=""
    )
    assert summary["frames"] == len(lines) == 3
    assert {"frame", "time_s", "size", "classes"} <= set(lines[0])
    assert not (tmp_path / "drawn").exists()


def test_only_some_tasks_are_followed(tmp_path):
    detector = make_artifact(tmp_path / "detector", "blazepose-detector")
    with pytest.raises(UsageError, match="one of pose-landmarks, keypoints, segmentation"):
        looker(detector, None, None, smooth=True)
    masks = make_artifact(tmp_path / "masks", "selfie-segmentation")
    landmarks = make_artifact(tmp_path / "landmarks", "blazepose-lite")
    with pytest.raises(UsageError, match="is for segmentation; give one for pose-detection"):
        looker(landmarks, None, masks, smooth=True)
    silent = make_artifact(tmp_path / "silent", "selfie-segmentation", preprocess=None)
    with pytest.raises(UsageError, match="has preprocess"):
        looker(silent, None, None, smooth=True)
