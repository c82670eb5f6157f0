"""Draw what trained models answer on pictures they were not trained on: `python -m scripts.draw_results --into DIR`.

The pictures are frames and a still of cameras 3 and 4, which no recipe trains on. Below each row of answers are those
of the models that they are compared with; of an embedding, the three moments of the other camera that are nearest.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage

from convert.load import load
from convert.prepare import run_eager
from edge.images import write_image
from edge.samples import photographs
from edge.tasks import TASKS, Image
from edge.tasks._skeleton import draw_pose
from edge.tasks.embedding import Gaussians, matching_of, normalize_keypoints
from edge.tasks.pose import Pose
from edge.tasks.retrieval import nearest
from edge.train.data.augment import person_region
from edge.train.data.keypoints import BODY13
from edge.train.data.sample import Sample
from edge.train.data.teacher import LabelledPictures, label_pictures

FRAMES = ("single-camera3-022", "single-camera3-062", "single-camera4-012", "single-camera4-052", "still-camera3-3")
QUERIES = ("012", "032", "052", "072")
HEIGHT, GAP = 300, 6


def shown(names: tuple[str, ...]) -> LabelledPictures:
    """Return evaluation pictures by their names, with the teacher's labels."""
    return label_pictures([path for path in photographs().evaluation if path.stem in names])


def tile(image: Image) -> Image:
    """Return the picture at the height of a row."""
    width = round(image.shape[1] * HEIGHT / image.shape[0])
    return np.asarray(PillowImage.fromarray(image).resize((width, HEIGHT), PillowImage.Resampling.LANCZOS))


def row(images: list[Image]) -> Image:
    """Return pictures side by side on white, with gaps."""
    gap = np.full((HEIGHT, GAP, 3), 255, np.uint8)
    return np.concatenate([part for image in images for part in (tile(image), gap)][:-1], axis=1)


def stacked(rows: list[Image]) -> Image:
    """Return rows below each other on white."""
    width = max(line.shape[1] for line in rows)
    padded = [np.pad(line, ((0, GAP), (0, width - line.shape[1]), (0, 0)), constant_values=255) for line in rows]
    return np.concatenate(padded)


def answer(name: str, sample: Sample) -> Image:
    """Return the picture with what a model of the zoo says of it."""
    model = load(name)
    task, contract = TASKS[model.contract.task], model.contract
    region = person_region(sample, 1.3) if task.needs_region else None
    inputs, frame = task.prepare(sample.image, contract, region)
    result = task.decode(run_eager(model, contract, inputs), contract, frame)
    return draw_pose(sample.image, replace(result, mask=None)) if isinstance(result, Pose) else task.draw(
        sample.image, result
    )  # fmt: skip


def masked(sample: Sample) -> Image:
    """Return the picture with the teacher's mask, as the task of segmentation draws one."""
    from edge.tasks.segmentation import Segmentation

    result: Any = Segmentation(
        classes=(np.asarray(sample.mask) > 0.5).astype(np.uint8), labels=("background", "person")
    )
    return TASKS["segmentation"].draw(sample.image, result)


def retrieved() -> Image:
    """Return rows of a moment from camera 3 and the three nearest from camera 4, the right one framed in green."""
    views = [shown(tuple(f"single-camera{camera}-{n:03d}" for n in range(100))) for camera in (3, 4)]
    model = load("pr-vipe-small")
    first, second = (_embedded(model.module, view) for view in views)
    order = nearest(matching_of(model.contract)(first, second), 3)
    moments = [[path.stem[-3:] for path in view.paths] for view in views]
    rows = []
    for query in (moments[0].index(name) for name in QUERIES):
        found = [_framed(views[1][at].image, moments[1][at] == moments[0][query]) for at in order[query]]
        rows.append(row([views[0][query].image, *found]))
    return stacked(rows)


def _embedded(network: Any, view: LabelledPictures) -> Gaussians:
    points = np.stack([view[at].keypoints[BODY13] for at in range(len(view))])
    with torch.no_grad():
        mean, sigma = network(torch.from_numpy(normalize_keypoints(points)))
    return Gaussians(mean.numpy(), sigma.numpy())


def _framed(image: NDArray[np.uint8], right: bool) -> Image:
    framed = image.copy()
    for side in (np.s_[:10], np.s_[-10:], np.s_[:, :10], np.s_[:, -10:]):
        framed[side] = (40, 180, 80) if right else (190, 190, 190)
    return framed


def main() -> None:
    """Write a picture for each of the three models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, required=True)
    into = parser.parse_args().into
    pictures = shown(FRAMES)
    samples = [pictures[at] for at in range(len(pictures))]
    write_image(into / "pr-vipe-small-found.jpg", retrieved())
    masks = [row([answer(name, s) for s in samples]) for name in ("person-segmentation", "selfie-segmentation")]
    write_image(into / "person-segmentation-found.jpg", stacked([*masks, row([masked(s) for s in samples])]))
    poses = [row([answer(name, sample) for sample in samples]) for name in ("pose-student", "blazepose-heavy")]
    write_image(into / "pose-student-found.jpg", stacked(poses))


if __name__ == "__main__":
    main()
