"""COCO's files, made here: people, crowds, missing keypoints, empty pictures, broken JSON; the metric by hand."""

import dataclasses
import json

import numpy as np
import pytest

from edge.errors import InputError
from edge.images import write_image
from edge.tasks import TASKS
from edge.train.data.coco import FoundPerson, decode_mask, keypoint_precision, read_coco_people
from edge.train.data.coco_panoptic import Category, read_coco_panoptic
from edge.train.data.keypoints import COCO, COCO_NAMES, COUNT, NAMES
from edge.zoo import MODELS

pytest.importorskip("pycocotools")
PANOPTIC = TASKS["panoptic"]
SQUARE = [[10.0, 10.0, 30.0, 10.0, 30.0, 30.0, 10.0, 30.0]]
RUNS = {"size": [40, 50], "counts": [0, 80, 1920]}  # the first two columns


def person(number, image, *, keypoints=None, **changes):
    given = keypoints if keypoints is not None else [v for i in range(17) for v in (10.5 + i, 12.5 + i, 2)]
    return {
        "id": number, "image_id": image, "category_id": 1, "bbox": [10, 10, 20, 20], "area": 400.0, "iscrowd": 0,
        "segmentation": SQUARE, "keypoints": given, "num_keypoints": 17, **changes,
    }  # fmt: skip


def write(folder, annotations, **changes):
    data = {
        "images": [{"id": i, "file_name": f"{i}.png", "height": 40, "width": 50} for i in (1, 2, 3)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_NAMES)}],
        **changes,
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps(data))
    return path


@pytest.fixture
def folder(tmp_path):
    for number in (1, 2, 3):
        write_image(tmp_path / f"{number}.png", np.full((40, 50, 3), 50 * number, np.uint8))
    return tmp_path


def test_people_have_their_pictures_keypoints_and_masks(folder):
    people = read_coco_people(write(folder, [person(1, 1), person(2, 2)]), folder)
    assert len(people) == 2
    sample = people[1]
    assert sample.image[0, 0, 0] == 100
    assert np.allclose(sample.keypoints[COCO[3]], (13.0, 15.0))  # pixel centres are whole numbers here
    assert sample.states[COCO].tolist() == [2] * 17
    assert (np.delete(sample.states, COCO) == 0).all()
    assert np.isnan(sample.world).all()
    assert sample.mask[20, 20] == 1
    assert sample.mask[5, 5] == 0
    assert 350 < sample.mask.sum() < 450


def test_crowds_and_people_without_keypoints_are_left_out_and_crowds_known(folder):
    annotations = [
        person(1, 1), person(2, 1, iscrowd=1, segmentation=RUNS, keypoints=[0] * 51), person(3, 1, keypoints=[0] * 51),
        person(4, 2, keypoints=[]), person(5, 2, category_id=3),
    ]  # fmt: skip
    people = read_coco_people(write(folder, annotations), folder)
    assert [item.id for item in people.people] == [1]
    crowd = people.crowd_mask(1)
    assert crowd[:, :2].all()
    assert not crowd[:, 2:].any()
    assert not people.crowd_mask(3).any()  # a picture in which nobody is


def test_keypoints_that_are_not_labelled_or_hidden(folder):
    values = [v for i in range(17) for v in ((0, 0, 0) if i < 5 else (20 + i, 21, 1 if i < 9 else 2))]
    sample = read_coco_people(write(folder, [person(1, 1, keypoints=values)]), folder)[0]
    assert sample.states[COCO].tolist() == [0] * 5 + [1] * 4 + [2] * 8
    assert (sample.keypoints[COCO[:5]] == 0).all()
    assert sample.confidence[NAMES.index("nose")] == 0


def test_a_file_without_annotations_is_an_empty_set(folder):
    people = read_coco_people(write(folder, []), folder)
    assert len(people) == 0
    assert keypoint_precision(write(folder, []), [])["AP"] == 0


@pytest.mark.parametrize(("content", "message"), [
    ("{", "broken JSON"), ("", "broken JSON"), ("[]", "not a COCO annotation file"),
    ('{"images": [{"id": "x"}]}', "not a COCO annotation file"), ('{"annotations": []}', "not a COCO annotation file"),
])  # fmt: skip
def test_broken_files_say_what_is_wrong(tmp_path, content, message):
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_coco_people(path, tmp_path)


def test_files_that_contradict_themselves_say_where(folder):
    with pytest.raises(InputError, match="picture 9, which is not listed"):
        read_coco_people(write(folder, [person(1, 9)]), folder)
    with pytest.raises(InputError, match="50 values of keypoints"):
        read_coco_people(write(folder, [person(1, 1, keypoints=[1.0] * 50)]), folder)
    with pytest.raises(InputError, match="cannot read the annotations"):
        read_coco_people(folder / "none.json", folder)
    small = read_coco_people(
        write(folder, [person(1, 1)], images=[{"id": 1, "file_name": "1.png", "height": 9, "width": 9}]), folder
    )
    with pytest.raises(InputError, match="50 × 40 pixels"):
        small[0]


def test_segmentations_of_every_kind_and_none(folder):
    assert decode_mask(None, (40, 50), "it") is None
    assert decode_mask([], (40, 50), "it") is None
    assert decode_mask([[1.0, 2.0], [1.0, 2.0, 3.0, 4.0]], (40, 50), "it") is None
    assert decode_mask(RUNS, (40, 50), "it").sum() == 80
    assert decode_mask([*SQUARE, [1.0, 2.0]], (40, 50), "it").sum() == decode_mask(SQUARE, (40, 50), "it").sum()
    for broken in ({"size": [40, 50]}, [["x"] * 8], {"size": [9, 9], "counts": [81]}):
        with pytest.raises(InputError, match="annotation 7"):
            decode_mask(broken, (40, 50), "annotation 7")


def landmarks(shift):
    points = np.zeros((COUNT, 2))
    points[COCO] = [(10 + i + shift, 12 + i) for i in range(17)]
    return points


def test_perfect_keypoints_have_a_precision_of_one_and_far_ones_of_zero(folder):
    path = write(folder, [person(i, i, bbox=[5, 5, 40, 40], area=1600.0) for i in (1, 2, 3)])
    perfect = keypoint_precision(path, [FoundPerson(i, landmarks(0.0), 0.9) for i in (1, 2, 3)])
    assert perfect["AP"] == pytest.approx(1.0)
    assert perfect["AR"] == pytest.approx(1.0)
    assert perfect["AP_large"] == -1.0  # nobody is that large
    far = keypoint_precision(path, [FoundPerson(i, landmarks(60.0), 0.9) for i in (1, 2, 3)])
    assert far["AP"] == pytest.approx(0.0)
    one = keypoint_precision(path, [FoundPerson(1, landmarks(0.0), 0.9)])
    assert 0.3 < one["AP"] < 0.35  # a third of the people are found, by COCO's 101 points of recall


def without(annotation, *keys):
    return {key: value for key, value in annotation.items() if key not in keys}


def test_what_a_file_leaves_out_is_filled_in_for_the_metric_and_the_reader(folder):
    annotations = [
        person(1, 1), person(2, 1, iscrowd=1, segmentation=RUNS, keypoints=[0] * 51, num_keypoints=0),
        without(person(3, 2), "keypoints", "num_keypoints", "area", "iscrowd"), person(4, 2, keypoints=[]),
        without(person(0, 3, segmentation=[[1.0, 2.0]]), "num_keypoints", "area", "iscrowd"),
    ]  # fmt: skip
    annotations[3]["num_keypoints"] = 0
    path = write(folder, annotations)
    people = read_coco_people(path, folder)
    assert [item.id for item in people.people] == [1, 0]
    assert people.crowd_mask(1).any()
    assert people[1].mask is None
    both = [FoundPerson(i, landmarks(0.0), 0.9) for i in (1, 3)]
    assert keypoint_precision(path, both)["AP"] == pytest.approx(1.0)
    within = FoundPerson(2, landmarks(0.0), 0.95)  # in the box of people whose keypoints nobody labelled
    assert keypoint_precision(path, [*both, within])["AP"] == pytest.approx(1.0)
    assert keypoint_precision(path, both[:1])["AR"] == pytest.approx(0.5)


def test_the_class_of_people_is_the_one_of_that_name(folder):
    annotations = [person(1, 1, category_id=7), person(2, 2, category_id=1)]
    categories = [{"id": 1, "name": "dog"}, {"id": 7, "name": "person"}]
    path = write(folder, annotations, categories=categories)
    assert len(read_coco_people(path, folder)) == 1
    assert keypoint_precision(path, [FoundPerson(1, landmarks(0.0), 0.9)])["AP"] == pytest.approx(1.0)
    del categories[:]
    path = write(folder, annotations[1:], categories=categories)  # without classes, people are class 1
    assert keypoint_precision(path, [FoundPerson(2, landmarks(0.0), 0.9)])["AP"] == pytest.approx(1.0)


def test_a_missing_area_is_the_masks_or_the_boxs(folder):
    found = [FoundPerson(1, landmarks(1.0), 0.9)]

    def precision(**changes):
        area = {"area": changes.pop("area")} if "area" in changes else {}
        annotation = without(person(1, 1, bbox=[5, 5, 44, 30], **changes), "area")
        return keypoint_precision(write(folder, [annotation | area]), found)

    square = decode_mask(SQUARE, (40, 50), "it").sum()
    assert precision() == precision(area=float(square))
    assert precision(segmentation=[]) == precision(area=44.0 * 30)
    assert precision() != precision(segmentation=[])


def test_the_metric_refuses_what_it_cannot_compare(folder):
    path = write(folder, [person(1, 1)])
    with pytest.raises(InputError, match="found in picture 9, but .*annotations.json does not list it"):
        keypoint_precision(path, [FoundPerson(1, landmarks(0.0), 0.9), FoundPerson(9, landmarks(0.0), 0.9)])
    with pytest.raises(InputError, match="picture 9, which is not listed"):
        keypoint_precision(write(folder, [person(1, 9)]), [])
    with pytest.raises(InputError, match="50 values of keypoints"):
        keypoint_precision(write(folder, [person(1, 1, keypoints=[1.0] * 50)]), [])
    path.write_text("{")
    with pytest.raises(InputError, match="broken JSON"):
        keypoint_precision(path, [])


def panoptic(folder, segments, numbers=None, **changes):
    numbers = np.zeros((40, 50), np.int32) if numbers is None else numbers
    write_image(
        folder / "1_segments.png",
        np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], -1).astype(np.uint8),
    )
    data = {
        "images": [{"id": 1, "file_name": "1.png", "height": 40, "width": 50}],
        "annotations": [{"image_id": 1, "file_name": "1_segments.png", "segments_info": segments}],
        "categories": [{"id": 1, "name": "person", "isthing": 1}, {"id": 184, "name": "tree", "isthing": 0}],
        **changes,
    }
    path = folder / "panoptic.json"
    path.write_text(json.dumps(data))
    return path


def test_panoptic_pictures_have_numbers_beyond_a_byte_and_classes(folder):
    numbers = np.zeros((40, 50), np.int32)
    numbers[:10], numbers[10:20], numbers[20:30] = 7, 70_000, 5_000_000
    segments = [
        {"id": 7, "category_id": 1, "iscrowd": 0, "area": 500}, {"id": 70_000, "category_id": 184, "area": 500},
        {"id": 5_000_000, "category_id": 1, "iscrowd": 1, "area": 500},
    ]  # fmt: skip
    read = read_coco_panoptic(panoptic(folder, segments, numbers), folder, folder)
    sample = read[0]
    assert len(read) == 1
    assert np.array_equal(sample.numbers, numbers)
    assert np.unique(sample.classes(ignored=255)).tolist() == [1, 184, 255]
    assert (sample.classes(ignored=255)[20:30] == 255).all()  # a crowd
    assert not read.categories[184].isthing


LABELS = ("background", "dog", "tree", "person")


def annotated(folder):
    """Two people, a tree, a crowd of people and void, ten rows each but for void; a person without any pixel."""
    numbers = np.zeros((40, 50), np.int32)
    numbers[:10], numbers[10:20, :25], numbers[10:20, 25:], numbers[20:30] = 70_000, 65_536, 7, (1 << 24) - 1
    segments = [
        {"id": 70_000, "category_id": 184}, {"id": 65_536, "category_id": 1}, {"id": 7, "category_id": 1},
        {"id": (1 << 24) - 1, "category_id": 1, "iscrowd": 1},
    ]  # fmt: skip
    read = read_coco_panoptic(panoptic(folder, segments, numbers), folder, folder)
    return read[0], read.categories


def test_an_annotation_is_the_panoptic_tasks_reference(folder):
    sample, categories = annotated(folder)
    reference = sample.panoptic(categories, LABELS)
    assert reference.ids.dtype == np.uint16
    assert reference.ids[::10, ::30].tolist() == [[1, 1], [2, 3], [4, 4], [0, 0]]
    assert [(s.id, s.category, s.label, s.is_thing, s.area, s.crowd) for s in reference.segments] == [
        (1, 2, "tree", False, 500, False), (2, 3, "person", True, 250, False), (3, 3, "person", True, 250, False),
        (4, 3, "person", True, 500, True),
    ]  # fmt: skip
    assert reference.unlabelled == "void"
    assert PANOPTIC.compare(reference, reference) == 1
    quality = PANOPTIC.quality(PANOPTIC.measure(reference, reference)[None])
    assert (quality.pq, quality.sq, quality.rq, quality.classes) == (1, 1, 1, 2)
    assert PANOPTIC.draw(sample.image, reference).shape == sample.image.shape


def test_void_and_crowds_of_an_annotation_are_not_counted(folder):
    sample, categories = annotated(folder)
    reference = sample.panoptic(categories, LABELS)
    found = dataclasses.replace(reference, ids=reference.ids.copy(), unlabelled="nothing")
    found.ids[20:30], found.ids[30:] = 5, 6  # one person where the crowd is, a tree where void is
    said = [dataclasses.replace(segment, crowd=False) for segment in reference.segments]
    found = dataclasses.replace(
        found, segments=(*said[:3], dataclasses.replace(said[1], id=5), dataclasses.replace(said[0], id=6))
    )
    assert PANOPTIC.compare(found, reference) == 1
    found.ids[10:20, 25:] = 0  # one of two people is missed: 1 / (1 + 1/2), and the tree
    missed = dataclasses.replace(found, segments=tuple(s for s in found.segments if s.id != 3))
    assert PANOPTIC.compare(missed, reference) == pytest.approx((1 + 2 / 3) / 2)


def test_the_zoos_labels_are_cocos_classes(folder):
    sample, _ = annotated(folder)
    categories = {1: Category(1, "person", 1), 184: Category(184, "tree-merged", 0)}
    for name in ("kmax-deeplab-mobile", "maskconver-mobilenet", "panoptic-deeplab-mobilenet-v3-small"):
        labels = MODELS[name].contract.labels
        reference = sample.panoptic(categories, labels)
        assert [labels[segment.category] for segment in reference.segments] == ["tree-merged", *["person"] * 3]


def test_a_class_that_a_model_does_not_know_is_named(folder):
    sample, categories = annotated(folder)
    with pytest.raises(InputError, match="segment 70000 is of class 184 'tree', which is none of the 2 labels"):
        sample.panoptic(categories, ("dog", "person"))


def test_an_annotation_without_segments_is_void(folder):
    reference = read_coco_panoptic(panoptic(folder, []), folder, folder)[0].panoptic({}, LABELS)
    assert reference.empty
    assert not reference.ids.any()


def test_a_panoptic_picture_without_segments(folder):
    sample = read_coco_panoptic(panoptic(folder, []), folder, folder)[0]
    assert sample.segments == ()
    assert (sample.classes() == 0).all()


def test_panoptic_files_that_contradict_themselves_say_where(folder):
    numbers = np.full((40, 50), 9, np.int32)
    with pytest.raises(InputError, match="a segment 9"):
        read_coco_panoptic(panoptic(folder, [], numbers), folder, folder)[0]
    with pytest.raises(InputError, match="unknown class 5"):
        read_coco_panoptic(panoptic(folder, [{"id": 9, "category_id": 5}], numbers), folder, folder)
    twice = [{"id": 9, "category_id": 1}, {"id": 9, "category_id": 184}]
    with pytest.raises(InputError, match="1_segments.png has two segments 9"):
        read_coco_panoptic(panoptic(folder, twice, numbers), folder, folder)
    for number in (-1, 0, 1 << 24):
        with pytest.raises(InputError, match=f"segment {number} of 1_segments.png is no colour"):
            read_coco_panoptic(panoptic(folder, [{"id": number, "category_id": 1}]), folder, folder)
    with pytest.raises(InputError, match="not listed"):
        read_coco_panoptic(panoptic(folder, [], images=[]), folder, folder)
    broken = folder / "broken.json"
    broken.write_text("{")
    with pytest.raises(InputError, match="broken JSON"):
        read_coco_panoptic(broken, folder, folder)
