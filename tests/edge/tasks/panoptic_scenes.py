"""Made-up scenes for panoptic segmentation: what a network would say of them, and annotations beside results."""

import numpy as np

from edge.tasks.panoptic import Panoptic, Segment

THINGS, CLASSES = 5, 9


def scene(seed, size_hw=(96, 128), people=6, noise=1.0):
    """Return classes (H, W), a map of centres (H, W) and offsets (2, H, W) of round things over stripes of stuff."""
    random = np.random.default_rng(seed)
    height, width = size_hw
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    classes = (THINGS + (rows * 4 / height).astype(np.uint8) % (CLASSES - THINGS)).astype(np.uint8)
    heat = np.zeros(size_hw, np.float32)
    offsets = random.normal(0, noise, (2, height, width)).astype(np.float32)
    for _ in range(people):
        y, x, radius = random.integers(height), random.integers(width), random.integers(4, max(5, height // 4))
        inside = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        classes[inside] = random.integers(THINGS)
        offsets[:, inside] += np.stack([y - rows, x - columns])[:, inside]
        spread = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 32).astype(np.float32)
        heat = np.maximum(heat, spread * np.float32(random.uniform(0.05, 1)))
    flips = random.random(size_hw) < 0.02  # single pixels of another class, for the vote
    classes[flips] = random.integers(0, CLASSES, int(flips.sum()))
    return classes, heat, offsets


def annotated_pair(seed, size_hw=(40, 60)):
    """Return a result and an annotation with void and a crowd, which share most of their segments."""
    random = np.random.default_rng(seed)
    reference = np.zeros(size_hw, np.uint16)
    categories, crowds = [], []
    for number in range(1, 9):
        top, left = random.integers(0, size_hw[0] - 8), random.integers(0, size_hw[1] - 8)
        reference[top : top + random.integers(4, 20), left : left + random.integers(4, 20)] = number
        crowds.append(number == 8)
        categories.append(0 if crowds[-1] else int(random.integers(CLASSES)))
    result = np.roll(reference, random.integers(-2, 3, 2), (0, 1))
    result[random.random(size_hw) < 0.05] = 9
    guessed = [c if random.random() < 0.8 else int(random.integers(CLASSES)) for c in [*categories, 3]]
    return _panoptic(result, guessed, [False] * 9, "nothing"), _panoptic(reference, categories, crowds, "void")


def _panoptic(ids, categories, crowds, unlabelled):
    areas = np.bincount(ids.ravel(), minlength=len(categories) + 1)
    segments = tuple(
        Segment(i, category, str(category), category < THINGS, 1.0, int(areas[i]), crowd)
        for i, (category, crowd) in enumerate(zip(categories, crowds, strict=True), start=1)
        if areas[i]
    )
    return Panoptic(ids, segments, unlabelled)
