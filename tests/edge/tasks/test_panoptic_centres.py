"""Panoptic segmentation by centres: the decoder against a plain one, masks that come back, bad input."""

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.plain_centres import plain_centres, plain_merge
from edge.codebooks import with_codebook
from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.errors import ContractError
from edge.tasks import TASKS
from edge.tasks import _maskconver as decoding
from edge.zoo import MODELS
from edge.zoo._maskconver import MaskConver

TASK = TASKS["panoptic"]
LABELS = ("background", "cat", "dog", "sky", "grass")
SETTINGS = {"things": 3, "centres": 20, "threshold": 0.05, "overlap": 0.7, "least_area": 0.01}
FEW = settings(max_examples=30, deadline=None)
DEPTH = 16


def plain_weights(classes, depth=DEPTH):
    """Return weights under which a one in a centre's embedding comes out as about √depth − 1 ones, zeros as nothing."""
    ones, zeros, eye = np.ones((classes, depth)), np.zeros((1, depth)), np.eye(depth)
    return np.concatenate([ones, eye, zeros, np.ones((1, depth)), zeros, eye, zeros]).astype(np.float32)


def contract(side=8, depth=DEPTH, layout="NCHW", weights=None, **changed):
    def spec(name, count):
        shape = (1, count, side, side) if layout == "NCHW" else (1, side, side, count)
        return TensorSpec(name=name, shape=shape, layout=layout)

    own = Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, 4 * side, 4 * side), layout="NCHW"),),
        outputs=(
            spec("class_heatmap", len(LABELS)), spec("centre_embeddings", depth), spec("pixel_embeddings", depth),
        ),
        task="panoptic",
        preprocess=Preprocess(size=(4 * side, 4 * side), resize="corner"),
        postprocess=Postprocess(decoder="mask-centres", settings={**SETTINGS, **changed}),
        labels=LABELS,
    )  # fmt: skip
    return with_codebook(own, plain_weights(len(LABELS), depth) if weights is None else weights)


def named(heatmap, centres, pixels, layout="NCHW"):
    arrays = zip(("class_heatmap", "centre_embeddings", "pixel_embeddings"), (heatmap, centres, pixels), strict=True)
    return {
        name: np.asarray(array if layout == "NCHW" else np.moveaxis(array, 0, 2), np.float32)[None]
        for name, array in arrays
    }


def decode(outputs, own, image_hw=(8, 8)):
    return TASK.decode(outputs, own, TASK.prepare(np.zeros((*image_hw, 3), np.uint8), own)[1])


@FEW
@given(st.integers(0, 10_000), st.sampled_from(["NCHW", "NHWC"]), st.sampled_from([1 << 24, 60]))
def test_decoding_is_the_published_one(seed, layout, band):
    random = np.random.default_rng(seed)
    weights = random.normal(0, 1, (len(LABELS) + 2 * 6 + 4, 6)).astype(np.float32)
    own = contract(depth=6, layout=layout, weights=weights)
    heatmap = random.normal(-2, 2, (len(LABELS), 8, 8)).astype(np.float32)
    centres, pixels = random.normal(0, 1, (2, 6, 8, 8)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "_BAND_VALUES", band)  # one row at a time, too
        result = decode(named(heatmap, centres, pixels, layout), own)
    rule = decoding.rule_of(own)
    ids, segments = plain_merge(plain_centres(heatmap, centres, pixels, weights, rule), (8, 8), rule)
    assert [segment.category for segment in result.segments] == [category for category, _ in segments]
    assert [segment.score for segment in result.segments] == pytest.approx([score for _, score in segments], rel=1e-5)
    assert np.mean(result.ids == ids) > 0.98  # all but pixels that two centres claim alike up to rounding
    assert [segment.is_thing for segment in result.segments] == [category < 3 for category, _ in segments]


@FEW
@given(st.integers(0, 10_000))
def test_masks_are_the_networks(seed):
    """The decoder in numpy computes what training differentiates."""
    torch.manual_seed(seed)
    network = MaskConver(classes=len(LABELS), width=12)
    with torch.no_grad():
        network.mask_embedding.normal_()
    tensors = {
        "class_heatmap": torch.randn(1, len(LABELS), 8, 8),
        "centre_embeddings": torch.randn(1, 12, 8, 8),
        "pixel_embeddings": torch.randn(1, 12, 8, 8),
    }
    own = contract(depth=12, weights=network.mask_embedding.detach().numpy())
    rule = decoding.rule_of(own)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    found = decoding.find_centres(arrays, own, rule)
    _, classes, places = decoding.peaks(arrays["class_heatmap"][0], rule.centres, rule.threshold)
    assert found.classes.tolist() == classes.tolist()
    with torch.no_grad():
        expected = network.masks(tensors, torch.from_numpy(classes)[None], torch.from_numpy(places)[None])
    np.testing.assert_allclose(found.masks, expected[0].numpy(), rtol=1e-4, atol=1e-4)


@FEW
@given(st.integers(1, 12), st.integers(0, 10_000))
def test_centres_and_embeddings_decode_to_the_masks_they_were_made_from(count, seed):
    """Every region has an embedding of its own at its pixels and at one place in it, and a peak of its class there."""
    random = np.random.default_rng(seed)
    regions = np.kron(random.permutation(16).reshape(4, 4), np.ones((4, 4), int))  # 16 squares of 4 × 4 pixels
    classes = random.integers(1, 5, 16)
    heatmap = np.full((5, 16, 16), -8, np.float32)
    centres, pixels = np.zeros((2, 16, 16, 16), np.float32)
    for region in range(16):
        pixels[:, regions == region] = 4 * (2 * np.eye(16)[region, :, None] - 1)
    for region in range(count):
        rows, columns = np.nonzero(regions == region)
        place = 5 * random.integers(0, 3)  # a corner of the square's inside: no two centres are neighbours
        heatmap[classes[region], rows[place], columns[place]] = 2 + 0.1 * region
        centres[region, rows[place], columns[place]] = 1
    result = decode(named(heatmap, centres, pixels), contract(side=16), (64, 64))
    things = sorted(int(c) for c in classes[:count] if c < 3)
    stuff = sorted({int(c) for c in classes[:count] if c >= 3})
    assert sorted(segment.category for segment in result.segments) == [*things, *stuff]
    labelled = {segment.id: segment.category for segment in result.segments}
    for region in range(count):
        rows, columns = np.nonzero(regions == region)
        seen = set(result.ids[4 * rows + 1, 4 * columns + 1].tolist())
        assert [labelled[number] for number in seen] == [classes[region]]
        if classes[region] < 3:  # of all regions with a centre a thing has this one alone
            [number] = seen
            mine = result.ids[1::4, 1::4] == number
            assert set(regions[mine & (regions < count)].tolist()) == {region}


def halves():
    """Return the outputs of two cats, left and right."""
    heatmap = np.full((len(LABELS), 8, 8), -8, np.float32)
    heatmap[1, 4, 1], heatmap[1, 4, 6] = 2, 1
    centres, pixels = np.zeros((2, DEPTH, 8, 8), np.float32)
    centres[0, 4, 1] = centres[1, 4, 6] = 1
    pixels[:] = -3
    pixels[0, :, :4] = pixels[1, :, 4:] = 3
    return heatmap, centres, pixels


def labels(result):
    return [segment.label for segment in result.segments]


def test_no_instance():
    heatmap, centres, pixels = halves()
    assert labels(decode(named(heatmap, centres, pixels), contract())) == ["cat", "cat"]
    for heat in (np.full_like(heatmap, -8), np.full_like(heatmap, np.nan), np.full_like(heatmap, -np.inf)):
        none = decode(named(heat, centres, pixels), contract())
        assert none.empty
        assert none.ids.shape == (8, 8)
        assert not none.ids.any()


@pytest.mark.parametrize(("most", "expected"), [(100, 100), (50, 50)])
def test_a_hundred_instances(most, expected):
    side, depth = 40, 128
    heatmap = np.full((len(LABELS), side, side), -8, np.float32)
    centres, pixels = np.zeros((2, depth, side, side), np.float32)
    pixels[:] = -3
    for i in range(100):
        row, column = 4 * (i // 10), 4 * (i % 10)
        heatmap[1, row + 1, column + 1] = 3 - 0.01 * i
        centres[i, row + 1, column + 1] = 1
        pixels[i, row : row + 4, column : column + 4] = 3
    own = contract(side=side, depth=depth, centres=most, least_area=0.0)
    result = decode(named(heatmap, centres, pixels), own, (side, side))
    assert len(result.segments) == expected
    areas = [segment.area for segment in result.segments]
    assert areas[1:] == [16] * (expected - 1)
    assert areas[0] >= 16  # pixels that nobody claims are the first one's


def test_a_claim_that_others_win_is_dropped_and_so_are_specks_and_nothing():
    heatmap, centres, pixels = halves()
    heatmap[2, 0, 3], centres[2, 0, 3] = 0, 1
    pixels[2, :, 3:5] = 2  # a dog across both cats, who win its pixels
    assert labels(decode(named(heatmap, centres, pixels), contract())) == ["cat", "cat"]
    pixels[2], pixels[2, 0, 3], pixels[0, 0, 3] = -3, 3, -3  # a dog of one pixel of 64
    assert labels(decode(named(heatmap, centres, pixels), contract())) == ["cat", "cat", "dog"]
    assert labels(decode(named(heatmap, centres, pixels), contract(least_area=0.02))) == ["cat", "cat"]
    heatmap[0, 4, 1], heatmap[1, 4, 1] = 2, -8  # the left cat's centre is of no class
    assert labels(decode(named(heatmap, centres, pixels), contract(least_area=0.02))) == ["cat"]


def test_what_is_no_number_counts_as_nothing():
    heatmap, centres, pixels = halves()
    heatmap[1, 4, 6] = np.nan
    pixels[:, :2] = np.nan
    assert labels(decode(named(heatmap, centres, pixels), contract())) == ["cat"]


@pytest.mark.parametrize("image_hw", [(16, 8), (8, 16), (32, 32), (200, 100)])
def test_pictures_of_any_size_come_back_whole(image_hw):
    result = decode(named(*halves()), contract(), image_hw)
    assert result.ids.shape == image_hw
    assert result.segments


def with_settings(**settings):
    return {"postprocess": Postprocess(decoder="mask-centres", settings=settings)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_settings(), "things"),
        (with_settings(things=9), "things is 9"),
        (with_settings(things=0), "things is 0"),
        (with_settings(things=1, speed=1), "speed"),
        (with_settings(things=1), "names no codebook"),
        ({"labels": LABELS[:3]}, "each of 3 labels"),
        ({"outputs": contract().outputs[:2]}, "pixel_embeddings"),
        ({"postprocess": contract(depth=8).postprocess}, r"codebook of \[25, 8\] .* takes \[41, 16\]"),
    ],
)
def test_contracts_that_do_not_fit(change, message):
    with pytest.raises(ContractError, match=message):
        decode(named(*halves()), msgspec.structs.replace(contract(), **change))


def test_the_zoos_contract_decodes():
    own = MODELS["maskconver-mobilenet"].contract
    assert len(own.labels) == 201
    assert (own.labels[1], own.labels[90], own.labels[92]) == ("person", "toothbrush", "banner")
    assert (own.labels[0], own.labels[12], own.labels[200]) == ("background", "unused 12", "rug-merged")
    own = with_codebook(own, plain_weights(201, 256))
    image = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    inputs, frame = TASK.prepare(image, own)
    assert inputs["image"].shape == (1, 3, 256, 256)
    heatmap = np.full((201, 32, 32), -8, np.float32)
    centres, pixels = np.zeros((2, 256, 32, 32), np.float32)
    heatmap[19, 9, 9], heatmap[187, 12, 20] = 1, 0
    centres[0, 9, 9] = centres[1, 12, 20] = 1
    pixels[:] = -1
    pixels[0, :, :16] = pixels[1, :, 16:] = 1
    result = TASK.decode(named(heatmap, centres, pixels), own, frame)
    assert [(segment.label, segment.is_thing) for segment in result.segments] == [
        ("horse", True), ("sky-other-merged", False),
    ]  # fmt: skip
    assert [segment.area for segment in result.segments] == pytest.approx([60_000, 60_000], rel=0.05)
