"""Pictures into tokens and back: lookups, packed codes, decoding and similarity."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import structural_similarity

from edge.codebooks import with_codebook
from edge.codes import unpack_codes
from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.errors import ContractError
from edge.packed import pack, unpack
from edge.tasks import TASKS, Frame
from edge.tasks._tokens import nearest_ids, sign_ids
from edge.tasks.tokenizer import Codes, Picture, psnr, seen, ssim
from edge.zoo import MODELS

TASK = TASKS["detokenization"]
CONTRACT = MODELS["titok-l32-decoder"].contract
FRAME = Frame((256, 256), (256, 256), np.eye(3)[:2])
ENCODER = TASKS["tokenization"]
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


VECTORS = np.random.default_rng(1).normal(size=(300, 5)).astype(np.float32)


def encoder(name, *shape, codes=300, **settings):
    layout = "NCHW" if len(shape) == 4 else ""
    return Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW"),),
        outputs=(TensorSpec(name="z", shape=shape, layout=layout),),
        task="tokenization",
        preprocess=Preprocess(size=(8, 8)),
        postprocess=Postprocess(decoder=name, settings={"codes": codes, **settings}),
    )


NEAREST = with_codebook(encoder("nearest", 1, 4, 5, normalised=1), VECTORS)


def naive_nearest(latents, vectors, normalised):
    found = []
    for z in latents.astype(float):
        distances = []
        for e in vectors.astype(float):
            a, b = (z / max(np.linalg.norm(z), 1e-12), e / max(np.linalg.norm(e), 1e-12)) if normalised else (z, e)
            distances.append(((a - b) ** 2).sum())
        found.append(int(np.argmin(distances)))
    return found


@pytest.mark.parametrize("normalised", [True, False])
def test_the_nearest_vector_is_the_naive_one(normalised):
    latents = RANDOM.normal(size=(20, 5)).astype(np.float32)
    assert nearest_ids(latents, VECTORS, normalised=normalised).tolist() == naive_nearest(latents, VECTORS, normalised)


@given(st.integers(0, 299), st.floats(1e-3, 1e3), st.booleans())
def test_a_code_vector_is_nearest_to_itself(index, length, normalised):
    latent = VECTORS[index : index + 1] * (length if normalised else 1)
    assert nearest_ids(latent, VECTORS, normalised=normalised).tolist() == [index]


def test_the_first_of_equally_near_vectors_is_taken():
    vectors = np.array([[0, 1], [1, 0], [1, 0], [-1, 0]], np.float32)
    latents = np.array([[5, 0], [0, 0], [-1, 0]], np.float32)
    assert nearest_ids(latents, vectors, normalised=True).tolist() == [1, 0, 3]
    assert nearest_ids(np.zeros((0, 2), np.float32), vectors, normalised=True).tolist() == []


@given(arrays(np.float32, (6, 4), elements=st.floats(-5, 5, width=32)))
def test_signs_are_bits_the_first_the_lowest(latents):
    expected = [sum((value > 0) << place for place, value in enumerate(row)) for row in latents.tolist()]
    assert sign_ids(latents).tolist() == expected


def test_latents_become_packed_codes():
    indices = [299, 0, 7, 128]
    result = ENCODER.decode({"z": VECTORS[indices][None] * 3}, NEAREST, FRAME)
    assert result.ids.tolist() == indices
    assert result.ids.dtype == np.uint16
    assert result.bits == 9
    assert len(result.packed) == 5
    assert unpack_codes(result.packed, 4, 9).tolist() == indices
    found = json.loads(json.dumps(result.to_json()))
    assert found == {"tokens": 4, "bits": 9, "bytes": 5, "packed": result.packed.hex(), "codes": indices}
    kept = unpack(pack(result), Codes)
    assert ENCODER.compare(kept, result) == 1


def test_a_grid_of_signs_is_read_row_by_row():
    for bits, kind, layout in ((12, np.uint16, "NCHW"), (18, np.uint32, "NCHW"), (18, np.uint32, "NHWC")):
        ids = RANDOM.integers(0, 1 << bits, (2, 3))
        planes = np.stack([(ids >> place & 1) * 2.0 - 1 for place in range(bits)])[None].astype(np.float32)
        shape = planes.shape if layout == "NCHW" else (1, 2, 3, bits)
        contract = encoder("signs", *shape, codes=1 << bits)
        spec = msgspec.structs.replace(contract.outputs[0], layout=layout)
        contract = msgspec.structs.replace(contract, outputs=(spec,))
        result = ENCODER.decode({"z": planes.transpose(0, 2, 3, 1) if layout == "NHWC" else planes}, contract, FRAME)
        assert result.ids.tolist() == ids.ravel().tolist()
        assert result.ids.dtype == kind
        assert len(result.packed) == -(-6 * bits // 8)


def test_ids_out_of_the_model_are_taken_as_they_are():
    result = ENCODER.decode({"z": np.array([[3, 299]], np.int32)}, encoder("ids", 1, 2), FRAME)
    assert (result.ids.tolist(), result.bits) == ([3, 299], 9)


def test_the_metric_is_the_share_of_equal_ids():
    first = Codes(np.array([1, 2, 3, 4], np.uint16), 9)
    assert ENCODER.compare(Codes(np.array([1, 2, 0, 4], np.uint16), 9), first) == 0.75
    assert ENCODER.compare(Codes(np.array([1, 2, 3], np.uint16), 9), first) == 0
    assert ENCODER.compare(Codes(first.ids, 10), first) == 0
    assert ENCODER.compare_all([(first, first), (Codes(first.ids + 1, 9), first)]) == 0.5


def test_codes_are_drawn_below_the_picture():
    picture = RANDOM.integers(0, 255, (40, 60, 3)).astype(np.uint8)
    drawn = ENCODER.draw(picture, Codes(np.array([0, 511, 0], np.uint16), 9))
    assert np.array_equal(drawn[:40], picture)
    assert drawn.shape == (45, 60, 3)
    assert drawn[40, [0, 30, 59]].tolist() == [[0, 0, 0], [255, 255, 255], [0, 0, 0]]
    assert ENCODER.draw(picture[:1], Codes(np.arange(500, dtype=np.uint16), 9)).shape == (2, 60, 3)


def test_a_picture_is_seen_as_the_encoder_sees_it():
    picture = RANDOM.integers(0, 255, (16, 24, 3)).astype(np.uint8)
    inputs, frame = ENCODER.prepare(picture, NEAREST)
    assert np.abs(inputs["image"][0].transpose(1, 2, 0) * 255 - seen(picture, frame)).max() < 1e-4


def test_peak_signal_to_noise():
    black = np.zeros((4, 4, 3), np.uint8)
    assert psnr(black, black) == np.inf
    assert psnr(black, black + 255) == 0
    assert psnr(black, black + 1) == pytest.approx(48.1308, abs=1e-4)
    with pytest.raises(ContractError, match="cannot be compared"):
        psnr(black, black[:2])


@pytest.mark.parametrize(
    ("contract", "z", "message"),
    [
        (encoder("other", 1, 4, 5), np.zeros((1, 4, 5)), "one of nearest, signs, ids"),
        (encoder("nearest", 1, 4, 5), np.zeros((1, 4, 5)), "names no codebook"),
        (encoder("ids", 1, 4, codes="300"), np.zeros((1, 4)), "number of codes"),
        (encoder("ids", 1, 4, codes=1 << 30), np.zeros((1, 4)), "number of codes"),
        (encoder("ids", 1, 2), np.array([[0, 300]]), "from 0 to 300; there are 300 codes"),
        (encoder("ids", 1, 2), np.array([[0, -1]]), "from -1 to 0"),
        (encoder("ids", 1, 2), np.array([[0, 0.5]]), "whole numbers"),
        (encoder("ids", 1, 2), np.array([[np.nan, np.inf]]), "2 of 2 values are NaN"),
        (NEAREST, np.full((1, 4, 5), np.nan), "20 of 20 values are NaN"),
        (NEAREST, np.zeros((1, 4, 6)), "latents are"),
        (NEAREST, np.zeros((1, 4, 5, 1)), "latents are"),
        (encoder("signs", 1, 9, 2, 2), np.zeros((1, 9, 2, 2)), "9 planes"),
        (encoder("signs", 1, 4, 9, codes=512), np.zeros((1, 4, 9)), "needs a layout"),
    ],
)
def test_outputs_that_are_no_tokens_say_why(contract, z, message):
    with pytest.raises(ContractError, match=message):
        ENCODER.decode({"z": z}, contract, FRAME)
