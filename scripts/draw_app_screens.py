"""Draw docs/apps_android.png: what the Android app shows of a real photograph with real models' results.

    python scripts/draw_app_screens.py KOTLIN_CLASSPATH

The published files of three models are run here in LiteRT; overlays are drawn by the app's own code, compiled for the
JVM (main function edge.core.app.DrawScreensKt of the core's tests, which the classpath has to hold). Frames, panel and
text are a mock of Android's widgets, and the picture says so below itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edge.contract import TensorSpec
from edge.images import read_image
from edge.samples import sample_photos
from edge.store import fetch_file
from edge.tasks.pose import Pose, PosePipeline
from edge.tasks.segmentation import SegmentationTask
from edge.zoo import MODELS, ZooModel

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "docs" / "apps_android.png"
STRINGS = ROOT / "apps" / "android" / "app" / "src" / "main" / "res" / "values" / "strings.xml"
LABEL = (
    "A mock: overlays drawn by the app's own code on the JVM, from results of the models named, run on a computer; "
    "frame, panel and text imitate Android's widgets. No phone was involved."
)
CROP_ASPECT = 3 / 4  # width over height, as a phone's camera has it


def main(classpath: str) -> None:
    """Run the models, draw the screens and write the picture."""
    photo = upright(read_image(sample_photos()[0]))
    detector, landmarks, mask = (
        MODELS[name] for name in ("blazepose-detector", "blazepose-full", "selfie-segmentation")
    )
    with TemporaryDirectory(prefix="edge-screens-") as folder:
        place = Path(folder)
        Image.fromarray(photo).save(place / "photo.png")
        write_pose(found_pose(photo, detector, landmarks), place / "pose.json")
        probability(photo, mask).astype(">f4").tofile(place / "mask.bin")
        (place / "said.json").write_text(json.dumps(said(landmarks, mask)), encoding="utf-8")
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


class Published:
    """A model's published .tflite in LiteRT, with inputs and outputs as the contract has them."""

    def __init__(self, model: ZooModel) -> None:
        from ai_edge_litert.interpreter import Interpreter

        if model.graph is None:
            raise SystemExit(f"{model.name} has no published graph")
        self._contract = model.contract
        self._interpreter = Interpreter(str(fetch_file(model.graph)), num_threads=1)
        self._interpreter.allocate_tensors()

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once; pictures have their channels last in the file."""
        given = inputs[self._contract.inputs[0].name].transpose(0, 2, 3, 1)
        self._interpreter.set_tensor(self._interpreter.get_input_details()[0]["index"], np.ascontiguousarray(given))
        self._interpreter.invoke()
        found = [self._interpreter.get_tensor(item["index"]) for item in self._interpreter.get_output_details()]
        return {spec.name: self._matching(found, spec) for spec in self._contract.outputs}

    def _matching(self, found: list[NDArray[Any]], spec: TensorSpec) -> NDArray[Any]:
        """Return the output of a spec's shape; no model here has two of one."""
        for values in found:
            laid = values.transpose(0, 3, 1, 2) if spec.layout == "NCHW" and values.ndim == 4 else values
            if laid.shape == spec.shape:
                return laid
        raise SystemExit(f"no output of shape {list(spec.shape)} for {spec.name}")


def found_pose(photo: NDArray[np.uint8], detector: ZooModel, landmarks: ZooModel) -> Pose:
    """Return the pose of the person in the photograph."""
    pipeline = PosePipeline(
        run_detector=Published(detector).run,
        run_landmarks=Published(landmarks).run,
        detector=detector.contract,
        landmarks=landmarks.contract,
    )
    return pipeline(photo)


def write_pose(pose: Pose, to: Path) -> None:
    """Write what the overlay draws of a pose."""
    values = {"score": pose.score, "points": pose.points.ravel().tolist(), "visibility": pose.visibility.tolist()}
    to.write_text(json.dumps(values), encoding="utf-8")


def probability(photo: NDArray[np.uint8], model: ZooModel) -> NDArray[np.float32]:
    """Return the person's probability, (height, width)."""
    task = SegmentationTask()
    inputs, frame = task.prepare(photo, model.contract)
    found = task.decode(Published(model).run(inputs), model.contract, frame)
    if found.probability is None:
        raise SystemExit(f"{model.name} gives no probability; take selfie-segmentation")
    return found.probability


def said(landmarks: ZooModel, mask: ZooModel) -> dict[str, list[str]]:
    """Return what the panels say: the models' names, and the app's own words."""
    texts = {item.get("name"): (item.text or "").replace("\\'", "'") for item in ET.parse(STRINGS).getroot()}
    broken = texts["state_tampered"].replace("%1$s", "blazepose-full/model.onnx")
    words, lines = broken.split(), [""]
    for word in words:
        lines = [*lines[:-1], f"{lines[-1]} {word}".strip()] if len(lines[-1]) + len(word) < 52 else [*lines, word]
    return {"pose": [landmarks.name], "mask": [mask.name], "tampered": lines, "button": [texts["remedy_download"]]}


def labelled(sheet: Image.Image) -> Image.Image:
    """Return the screens with the label below them."""
    whole = Image.new("RGB", (sheet.width, sheet.height + 44), "white")
    whole.paste(sheet)
    font = ImageFont.load_default(17)
    ImageDraw.Draw(whole).text((0, sheet.height + 12), LABEL, fill=(60, 60, 70), font=font)
    return whole


if __name__ == "__main__":
    main(sys.argv[1])
