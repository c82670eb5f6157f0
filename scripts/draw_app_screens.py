"""Draw docs/apps_android.png: what the Android app shows of a real photograph with real models' results.

    python scripts/draw_app_screens.py DETECTOR LANDMARKS MASK KOTLIN_CLASSPATH

The three artifacts (`edge deploy blazepose-detector`, `blazepose-full`, `selfie-segmentation`) are run here; overlays
are drawn by the app's own code, compiled for the JVM (main function edge.core.app.DrawScreensKt of the core's tests).
Frames, panel and text are a mock of Android's widgets, and the picture says so below itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edge.artifact import Artifact, read_manifest
from edge.images import read_image
from edge.runtimes import open_session
from edge.samples import sample_photos
from edge.tasks.pose import Pose, PosePipeline
from edge.tasks.segmentation import SegmentationTask

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "docs" / "apps_android.png"
STRINGS = ROOT / "apps" / "android" / "app" / "src" / "main" / "res" / "values" / "strings.xml"
LABEL = (
    "A mock: overlays drawn by the app's own code on the JVM, from results of the models named, run on a computer; "
    "frame, panel and text imitate Android's widgets. No phone was involved."
)
CROP_ASPECT = 3 / 4  # width over height, as a phone's camera has it


def main(detector: Path, landmarks: Path, mask: Path, classpath: str) -> None:
    """Run the models, draw the screens and write the picture."""
    photo = upright(read_image(sample_photos()[0]))
    artifacts = [read_manifest(path) for path in (detector, landmarks, mask)]
    with TemporaryDirectory(prefix="edge-screens-") as folder:
        place = Path(folder)
        Image.fromarray(photo).save(place / "photo.png")
        write_pose(found_pose(photo, *artifacts[:2]), place / "pose.json")
        probability(photo, artifacts[2]).astype(">f4").tofile(place / "mask.bin")
        (place / "said.json").write_text(json.dumps(said(artifacts)), encoding="utf-8")
        words = ["java", "-Xmx1g", "-Djava.awt.headless=true", "-cp", classpath, "edge.core.app.DrawScreensKt", folder]
        subprocess.run(words, check=True)
        labelled(Image.open(place / "screens.png")).quantize(256, dither=Image.Dither.NONE).save(RESULT, optimize=True)


def upright(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut the middle of a photograph to a phone's upright picture."""
    height, width = photo.shape[:2]
    if width <= height * CROP_ASPECT:
        return photo
    half = int(height * CROP_ASPECT) // 2
    return np.ascontiguousarray(photo[:, width // 2 - half : width // 2 + half])


def found_pose(photo: NDArray[np.uint8], detector: Artifact, landmarks: Artifact) -> Pose:
    """Return the pose of the person in the photograph."""
    finder, placer = open_session(detector), open_session(landmarks)
    pipeline = PosePipeline(
        run_detector=finder.run,
        run_landmarks=placer.run,
        detector=detector.manifest.contract,
        landmarks=landmarks.manifest.contract,
    )
    return pipeline(photo)


def write_pose(pose: Pose, to: Path) -> None:
    """Write what the overlay draws of a pose."""
    values = {"score": pose.score, "points": pose.points.ravel().tolist(), "visibility": pose.visibility.tolist()}
    to.write_text(json.dumps(values), encoding="utf-8")


def probability(photo: NDArray[np.uint8], artifact: Artifact) -> NDArray[np.float32]:
    """Return the person's probability, (height, width)."""
    task, contract = SegmentationTask(), artifact.manifest.contract
    inputs, frame = task.prepare(photo, contract)
    found = task.decode(open_session(artifact).run(inputs), contract, frame)
    if found.probability is None:
        raise SystemExit(f"{artifact.manifest.model} gives no probability; take selfie-segmentation")
    return found.probability


def said(artifacts: list[Artifact]) -> dict[str, list[str]]:
    """Return what the panels say, in the app's own words."""
    texts = {item.get("name"): (item.text or "").replace("\\'", "'") for item in ET.parse(STRINGS).getroot()}
    _, landmarks, mask = (
        f"{item.manifest.model}, {item.manifest.target}@{item.manifest.precision}" for item in artifacts
    )
    broken = texts["state_tampered"].replace("%1$s", "blazepose-full/model.onnx")
    words, lines = broken.split(), [""]
    for word in words:
        lines = [*lines[:-1], f"{lines[-1]} {word}".strip()] if len(lines[-1]) + len(word) < 52 else [*lines, word]
    return {"pose": [landmarks], "mask": [mask], "tampered": lines, "button": [texts["remedy_download"]]}


def labelled(sheet: Image.Image) -> Image.Image:
    """Return the screens with the label below them."""
    whole = Image.new("RGB", (sheet.width, sheet.height + 44), "white")
    whole.paste(sheet)
    font = ImageFont.load_default(17)
    ImageDraw.Draw(whole).text((0, sheet.height + 12), LABEL, fill=(60, 60, 70), font=font)
    return whole


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
