"""Poses without pictures: blocks that are repeatable, whose places are those of the cameras' axes."""

import numpy as np
import pytest

from edge.errors import UsageError
from edge.train.data.stream import stream
from edge.train.data.views import ViewedPoses, collate_views

pytestmark = pytest.mark.slow


def test_a_block_is_the_same_again_and_others_are_not(body):
    first, again, other = ViewedPoses(1, block=8)[3], ViewedPoses(1, block=8)[3], ViewedPoses(1, block=8)[4]
    assert np.array_equal(first.image, again.image)
    assert not np.allclose(first.world, other.world)


def test_images_are_projections_and_views_show_one_pose(body):
    block = ViewedPoses(0, block=64, views=2)[0]
    assert block.image.shape == (64, 2, 13, 2)
    assert block.camera.shape == (64, 2, 13, 3)
    assert (block.camera[..., 2] > 0.3).all()
    assert np.abs(block.image).max() < 3
    flat = block.camera[..., :2] / block.camera[..., 2:]
    for pose in range(64):
        for view in range(2):
            scale, *_ = np.linalg.lstsq(
                np.column_stack([flat[pose, view, :, 0], np.ones(13)]), block.image[pose, view, :, 0], rcond=None
            )
            assert np.allclose(flat[pose, view, :, 0] * scale[0] + scale[1], block.image[pose, view, :, 0], atol=1e-3)
    apart = [np.linalg.norm(a[:, None] - a[None], axis=-1) for a in (block.camera[5, 0], block.camera[5, 1])]
    assert np.allclose(*apart, atol=1e-4)


def test_blocks_stream_with_workers(body):
    batches = list(stream(ViewedPoses(2, block=16), batch=2, collate=collate_views, count=4, workers=2))
    assert [tuple(batch["world"].shape) for batch in batches] == [(32, 13, 3)] * 2


def test_impossible_blocks_are_refused(body):
    with pytest.raises(UsageError, match="at least 1"):
        ViewedPoses(0, block=0)
    with pytest.raises(IndexError):
        ViewedPoses(0)[-1]
