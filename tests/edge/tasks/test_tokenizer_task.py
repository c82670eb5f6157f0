"""Tokens back into pictures: decoding and structural similarity."""

import json

import msgspec
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from edge.contract import Postprocess
from edge.errors import ContractError
from edge.tasks import TASKS, Frame
from edge.tasks.tokenizer import Picture, ssim
from edge.zoo import MODELS

TASK = TASKS["detokenization"]
CONTRACT = MODELS["titok-l32-decoder"].contract
FRAME = Frame((256, 256), (256, 256), np.eye(3)[:2])
RANDOM = np.random.default_rng(0)


def test_planes_become_pixels():
    planes = np.zeros((1, 3, 256, 256), np.float32)
    planes[0, 0], planes[0, 1, :128], planes[0, 2] = 0.5, 1.2, -0.1
    result = TASK.decode({"image": planes}, CONTRACT, FRAME)
    assert result.pixels[0, 0].tolist() == [128, 255, 0]
    assert result.pixels[255, 0].tolist() == [128, 0, 0]
    assert json.loads(json.dumps(result.to_json())) == {"size": [256, 256], "mean": [128.0, 127.5, 0.0]}
    assert np.array_equal(TASK.draw(np.zeros((1, 1, 3), np.uint8), result), result.pixels)


def test_similarity_is_the_papers():
    picture = np.kron(RANDOM.integers(0, 255, (8, 10, 3)), np.ones((6, 6, 1))).astype(np.uint8)
    noisy = np.clip(picture + RANDOM.normal(0, 12, picture.shape), 0, 255).astype(np.uint8)
    expected = structural_similarity(
        noisy, picture, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(noisy, picture) == pytest.approx(expected, abs=1e-9)
    assert TASK.compare(Picture(picture), Picture(picture)) == 1
    assert TASK.compare_all(
        [(Picture(noisy), Picture(picture)), (Picture(picture), Picture(picture))]
    ) == pytest.approx((1 + expected) / 2)


@pytest.mark.parametrize("size", [(10, 30, 3), (30, 30, 3)])
def test_pictures_that_cannot_be_compared(size):
    with pytest.raises(ContractError, match="at least 11 × 11"):
        ssim(np.zeros(size, np.uint8), np.zeros((10, 30, 3), np.uint8))


def test_tokens_are_no_picture_and_other_decoders_are_refused():
    with pytest.raises(ContractError, match="needs a contract with preprocess"):
        TASK.prepare(np.zeros((4, 4, 3), np.uint8), CONTRACT)
    other = msgspec.structs.replace(CONTRACT, postprocess=Postprocess(decoder="codes"))
    with pytest.raises(ContractError, match="decoder picture"):
        TASK.decode({"image": np.zeros((1, 3, 256, 256), np.float32)}, other, FRAME)
    output = msgspec.structs.replace(CONTRACT.outputs[0], shape=(1, 4, 8, 8))
    four = msgspec.structs.replace(CONTRACT, outputs=(output,))
    with pytest.raises(ContractError, match="3 planes, not 4"):
        TASK.decode({"image": np.zeros((1, 4, 8, 8), np.float32)}, four, FRAME)
