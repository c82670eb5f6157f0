"""What is no picture – no pixels, no colours – is refused by every task, with its shape."""

import re

import numpy as np
import pytest

from edge.contract import Contract, Preprocess, TensorSpec
from edge.errors import InputError
from edge.tasks import TASKS, Region
from edge.zoo import MODELS

CONTRACTS = {name: entry.contract for name, entry in sorted(MODELS.items()) if entry.contract.preprocess}
SPEC = TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW")
CONTRACTS["tensors"] = Contract(inputs=(SPEC,), preprocess=Preprocess(size=(8, 8)))


def test_every_task_that_takes_pictures_is_here():
    without = {entry.contract.task for entry in MODELS.values()} - {own.task for own in CONTRACTS.values()}
    assert without == {"detokenization", "pose-embedding"}


@pytest.mark.parametrize("name", CONTRACTS)
@pytest.mark.parametrize("shape", [(0, 0, 3), (0, 7, 3), (7, 0, 3), (7, 7, 0), (7, 7), (7,), (7, 7, 4), (1, 7, 7, 3)])
def test_what_is_no_picture_is_refused_with_its_shape(name, shape):
    own = CONTRACTS[name]
    message = re.escape(f"a picture has the shape {list(shape)}; expected [height, width, 3] (RGB)")
    for region in (None, Region(3, 3, 5)):
        with pytest.raises(InputError, match=message):
            TASKS[own.task].prepare(np.zeros(shape, np.uint8), own, region)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (40, 1, 3)])
@pytest.mark.parametrize("task", sorted({own.task for own in CONTRACTS.values()}))
def test_a_single_row_or_pixel_is_a_picture(task, shape):
    own = min((own for own in CONTRACTS.values() if own.task == task), key=lambda own: own.preprocess.size)
    inputs, frame = TASKS[task].prepare(np.full(shape, 200, np.uint8), own)
    assert frame.image_hw == shape[:2]
    assert all(np.isfinite(array).all() for array in inputs.values())
