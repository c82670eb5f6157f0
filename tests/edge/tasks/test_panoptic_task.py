"""Panoptic segmentation: mask-wise merging against a plain one, panoptic quality by hand, drawing, errors."""

import dataclasses
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from panoptic_scenes import THINGS, annotated_pair
from scipy.special import softmax

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.errors import ContractError
from edge.packed import pack, unpack
from edge.tasks import TASKS
from edge.tasks import _maskwise as maskwise
from edge.tasks.panoptic import Panoptic, Segment
from edge.zoo import MODELS

# Written by scripts/record_panoptic.py: what panopticapi says of the pairs.
GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "panoptic.json").read_text())["quality"]
TASK = TASKS["panoptic"]
LABELS = ("cat", "dog", "sky", "grass")
SETTINGS = {"things": 2, "thing_confidence": 0.5, "stuff_confidence": 0.4}
FEW = settings(max_examples=30, deadline=None)


def contract(queries=5, side=8, layout="NCHW", **changed):
    planes = (1, queries, side, side) if layout == "NCHW" else (1, side, side, queries)
    return Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, 4 * side, 4 * side), layout="NCHW"),),
        outputs=(
            TensorSpec(name="class_logits", shape=(1, queries, len(LABELS) + 1)),
            TensorSpec(name="mask_logits", shape=planes, layout=layout),
        ),
        task="panoptic",
        preprocess=Preprocess(size=(4 * side, 4 * side), resize="corner", range=(-1.0, 1.0)),
        postprocess=Postprocess(decoder="mask-wise", settings={**SETTINGS, **changed}),
        labels=LABELS,
    )


def plain_merge(class_logits, masks, rule):
    """Merge as the paper says it, with whole masks: class_logits (L, classes + 1), masks (L, H, W)."""
    classes, shares = (
        softmax(class_logits.astype(np.float64), axis=1)[:, :-1],
        softmax(masks.astype(np.float64), axis=0),
    )
    binary = shares > rule.pixel_confidence
    means = (shares * binary).sum((1, 2)) / np.maximum(binary.sum((1, 2)), 1)
    scores = classes.max(1) ** rule.class_weight * means**rule.mask_weight
    ids, found, stuff = np.zeros(masks.shape[1:], int), [], {}
    for query in np.argsort(-scores, kind="stable"):
        category = int(classes[query].argmax())
        least = rule.thing_confidence if category < rule.things else rule.stuff_confidence
        free = binary[query] & (ids == 0)
        if classes[query].max() <= least or free.sum() <= binary[query].sum() * rule.least_visible:
            continue
        if category in stuff:
            ids[free] = stuff[category]
            continue
        found.append((category, float(scores[query])))
        ids[free] = len(found)
        if category >= rule.things:
            stuff[category] = len(found)
    return ids, found


@FEW
@given(st.integers(0, 10_000), st.sampled_from(["NCHW", "NHWC"]), st.sampled_from([1 << 24, 200]))
def test_merging_is_the_papers(seed, layout, band):
    own = contract(layout=layout)
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2.5, (1, 5, 5)).astype(np.float32)
    planes = np.kron(random.normal(0, 4, (5, 4, 4)), np.ones((2, 2))).astype(np.float32)
    masks = planes[None] if layout == "NCHW" else np.moveaxis(planes, 0, 2)[None]
    _, frame = TASK.prepare(np.zeros((8, 8, 3), np.uint8), own)  # the picture's pixels are the masks'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maskwise, "_BAND_VALUES", band)  # one row at a time, too
        result = TASK.decode({"class_logits": logits, "mask_logits": masks}, own, frame)
    ids, found = plain_merge(logits[0], planes, maskwise.rule_of(own))
    assert np.array_equal(result.ids, ids)
    assert [segment.category for segment in result.segments] == [category for category, _ in found]
    assert [segment.score for segment in result.segments] == pytest.approx([score for _, score in found], rel=1e-5)
    assert [segment.area for segment in result.segments] == [int((ids == i + 1).sum()) for i in range(len(found))]
    assert TASK.compare(result, result) == 1


def scene():
    """Return outputs of two dogs, two regions of sky and a query that stands for nothing, on halves of the picture."""
    logits = np.full((1, 5, 5), -5, np.float32)
    for query, category in enumerate((1, 1, 2, 2, 4)):
        logits[0, query, category] = 5
    masks = np.full((1, 5, 8, 8), -9, np.float32)
    masks[0, 0, :4, :4] = masks[0, 1, 4:, :4] = masks[0, 2, :4, 4:] = masks[0, 3, 4:, 4:6] = masks[0, 4, 4:, 6:] = 9
    return {"class_logits": logits, "mask_logits": masks}


def decoded(image_hw=(8, 8)):
    own = contract()
    image = np.zeros((*image_hw, 3), np.uint8)
    return image, TASK.decode(scene(), own, TASK.prepare(image, own)[1])


def test_things_are_counted_and_stuff_is_one():
    image, result = decoded()
    found = [(segment.label, segment.is_thing, segment.area) for segment in result.segments]
    assert sorted(found) == [("dog", True, 16), ("dog", True, 16), ("sky", False, 24)]
    assert (result.ids[4:, 6:] == 0).all()
    plain = json.loads(json.dumps(result.to_json()))
    assert plain["size"] == [8, 8]
    assert plain["segments"][0].keys() == {"id", "category", "label", "is_thing", "score", "area"}
    drawn = TASK.draw(image, result)
    assert not drawn[6:, 7].any()  # nothing there
    assert drawn[:4, :4].any()
    again = unpack(pack(result), Panoptic)
    assert np.array_equal(again.ids, result.ids)
    assert again.segments == result.segments


def test_a_picture_in_the_corner_comes_back_whole():
    _, result = decoded((16, 8))  # half as wide: the right half of the masks lies beside the picture
    assert result.ids.shape == (16, 8)
    assert {segment.label for segment in result.segments} == {"dog"}


def test_a_picture_larger_than_the_input_has_the_same_segments():
    _, small = decoded((32, 32))  # the input's size
    _, large = decoded((128, 128))
    assert large.ids.shape == (128, 128)
    assert [(s.label, s.score) for s in large.segments] == [(s.label, s.score) for s in small.segments]
    assert [s.area for s in large.segments] == pytest.approx([16 * s.area for s in small.segments], rel=0.1)


def segments(ids, *categories):
    ids = np.asarray(ids, np.uint16)
    return Panoptic(
        ids,
        tuple(
            Segment(i, category, LABELS[category], category < 2, 0.9, int((ids == i).sum()))
            for i, category in enumerate(categories, start=1)
        ),
    )


def test_panoptic_quality_by_hand():
    reference = segments([[1, 1, 1, 1, 2, 2, 3, 3]], 0, 0, 2)
    result = segments([[1, 1, 1, 0, 2, 4, 4, 4]], 0, 0, 3, 2)
    # cats: 3/4 matches, 1/2 does not (not above a half): 0.75 / (1 + (1 + 1) / 2); sky: 2/3; grass has no pixel: a miss
    expected = (0.75 / 2 + 2 / 3 + 0) / 3
    assert TASK.compare(result, reference) == pytest.approx(expected)
    # over two pictures the classes are summed first
    pairs = [(result, reference), (reference, reference)]
    assert TASK.compare_all(pairs) == pytest.approx(((0.75 + 2) / 4 + (2 / 3 + 1) / 2 + 0) / 3)


def test_quality_falls_for_another_class_and_nothing_equals_nothing():
    one, other, none = segments([[1, 1]], 0), segments([[1, 1]], 1), segments([[0, 0]])
    assert TASK.compare(one, other) == 0
    assert TASK.compare(none, one) == 0
    assert TASK.compare(none, none) == 1
    assert none.empty
    with pytest.raises(ContractError, match=r"\[1, 2\] and \[1, 1\]"):
        TASK.compare(one, segments([[1]], 0))


def test_quality_with_void_and_crowds_is_panopticapis():
    rows = np.stack([TASK.measure(*annotated_pair(seed)) for seed in range(6)])
    for name, categories in (("all", slice(None)), ("things", slice(THINGS)), ("stuff", slice(THINGS, None))):
        found = TASK.quality(rows, categories)
        assert (found.pq, found.sq, found.rq) == pytest.approx([GOLDEN[name][key] for key in ("pq", "sq", "rq")])
        assert found.classes == GOLDEN[name]["n"]
        assert 0 < found.pq < found.sq < 1
    assert TASK.total(rows) == TASK.quality(rows).pq


def renumbered(panoptic, numbers):
    table = np.array([0, *numbers])
    segments = [dataclasses.replace(segment, id=int(table[segment.id])) for segment in panoptic.segments]
    return dataclasses.replace(panoptic, ids=table[panoptic.ids], segments=tuple(segments))


@pytest.mark.parametrize("numbers", [(70_000, 5, (1 << 24) - 1, 65_536, 3, 9, 8, 1 << 40, 12), tuple(range(9, 0, -1))])
def test_quality_does_not_depend_on_the_segments_numbers(numbers):
    for seed in range(3):
        result, reference = annotated_pair(seed)
        expected = TASK.measure(result, reference)
        assert np.array_equal(TASK.measure(renumbered(result, numbers), renumbered(reference, numbers)), expected)
        assert np.array_equal(TASK.measure(result, renumbered(reference, numbers)), expected)


def test_a_segment_that_16_bits_cannot_hold_has_no_pixel():
    far = dataclasses.replace(segments([[1, 1]], 0).segments[0], id=70_000)
    one = segments([[1, 1]], 0)
    assert TASK.compare(dataclasses.replace(one, segments=(*one.segments, far)), one) == pytest.approx(1 / 1.5)


@pytest.mark.parametrize("category", [-1, 256])
def test_a_class_beyond_the_tables_is_refused(category):
    one = segments([[1, 1]], 0)
    other = dataclasses.replace(one, segments=(dataclasses.replace(one.segments[0], category=category),))
    with pytest.raises(ContractError, match=f"of class {category}; panoptic quality counts classes 0 to 255"):
        TASK.compare(other, one)


def test_void_and_crowds_by_hand():
    plain = segments([[1, 1, 1, 1, 0, 0, 0, 2, 2, 2]], 0, 0)
    annotation = Panoptic(
        plain.ids, (plain.segments[0], dataclasses.replace(plain.segments[1], crowd=True)), unlabelled="void"
    )
    result = segments([[1, 1, 1, 0, 2, 2, 3, 3, 3, 4]], 0, 1, 0, 0)
    # 3/4 matches; what lies in void, in void and crowd, or in the crowd is nobody's miss, and a crowd is never missed
    assert TASK.compare(result, annotation) == pytest.approx(0.75)
    assert TASK.compare(segments([[1, 1, 1, 1, 1, 1, 1, 0, 0, 0]], 0), annotation) == 1  # void is in no union
    assert TASK.compare(result, plain) < 0.3  # without void each of them is a miss
    assert TASK.compare(segments([[0, 0, 0, 0, 0, 0, 0, 1, 1, 1]], 1), annotation) == 0  # a crowd of another class
    again = unpack(pack(annotation), Panoptic)
    assert again.segments == annotation.segments
    assert again.unlabelled == "void"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"postprocess": None}, "no decoder ''; it has mask-wise"),
        ({"postprocess": Postprocess(decoder="logits")}, "no decoder 'logits'"),
        ({"postprocess": Postprocess(decoder="mask-wise")}, "things"),
        ({"postprocess": Postprocess(decoder="mask-wise", settings={"things": 9})}, "things is 9"),
        ({"postprocess": Postprocess(decoder="mask-wise", settings={"things": 1, "speed": 1})}, "speed"),
        ({"labels": LABELS[:3]}, r"\(1, queries, 4\)"),
        ({"outputs": contract().outputs[:1]}, "mask_logits"),
    ],
)
def test_contracts_that_do_not_fit(change, message):
    own = contract()
    _, frame = TASK.prepare(np.zeros((8, 8, 3), np.uint8), own)
    with pytest.raises(ContractError, match=message):
        TASK.decode(scene(), msgspec.structs.replace(own, **change), frame)


def test_the_zoos_contract_decodes():
    own = MODELS["kmax-deeplab-r50"].contract
    assert (len(own.labels), len(set(own.labels))) == (133, 133)
    assert (own.labels[79], own.labels[80]) == ("toothbrush", "banner")
    image = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    inputs, frame = TASK.prepare(image, own)
    assert inputs["image"].shape == (1, 3, 1281, 1281)
    assert abs(inputs["image"][0, :, -300:]).max() < 0.005  # grey below the picture: zero after normalisation
    logits = np.zeros((1, 128, 134), np.float32)
    logits[0, 0, 17] = 20  # a horse
    masks = np.full((1, 128, 321, 321), -9, np.float32)
    masks[0, 0], masks[0, 1, :, 160:] = 5, 20  # query 1 stands for nothing and takes the right half
    result = TASK.decode({"class_logits": logits, "mask_logits": masks}, own, frame)
    assert [segment.label for segment in result.segments] == ["horse"]
    assert result.segments[0].area == pytest.approx(600, abs=30)
