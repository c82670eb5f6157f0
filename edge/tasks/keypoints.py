"""Keypoints: the people of a picture by COCO's 17 points, from networks that see whole bodies at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract import Contract
from edge.errors import ContractError
from edge.tasks import Frame, Image, MeanOverPictures, Region, Tensors, task, worst
from edge.tasks._geometry import planes, prepare, sigmoid, transform
from edge.tasks._movenet import crop_region, decode_person
from edge.tasks._people import KEYPOINT_NAMES, People, Person, match_people
from edge.tasks._personlab import Fields, Instances, Rule, decode, edge_count, fields_of
from edge.tasks._settings import number
from edge.tasks._skeleton import draw_people

__all__ = ["KEYPOINT_NAMES", "People", "Person", "follows_person", "personlab", "personlab_fields"]

_COUNT = len(KEYPOINT_NAMES)


@task("keypoints")
class KeypointTask(MeanOverPictures):
    """Place 17 keypoints on everybody.

    The decoder `personlab` finds several people from the outputs `heatmap` (17 planes of logits), `offset` (34, y
    before x), `displacement_fwd` and `displacement_bwd` (32 each); its settings are those of
    `edge.tasks._personlab.Rule`. The decoder `movenet` finds one person from `heatmap` (17 logits), `center` (1 logit),
    `regression` and `offset` (34 each, y and x in turn); its setting is `score_threshold`, of the mean score.
    """

    metric = "OKS"
    limit = 0.98
    needs_region = False
    result = People

    def prepare(
        self, image: Image, contract: Contract, region: Region | None = None
    ) -> tuple[dict[str, NDArray[Any]], Frame]:
        """Resize the picture, or the region that a person was in before, into the contract's input."""
        return prepare(image, contract, region)

    def decode(self, outputs: Tensors, contract: Contract, frame: Frame) -> People:
        """Turn the planes into people in picture pixels; raises ContractError for outputs that do not fit."""
        name = contract.postprocess.decoder if contract.postprocess else ""
        if name not in _DECODERS:
            raise ContractError(f"keypoints needs a decoder out of {', '.join(_DECODERS)}, not {name!r}")
        return _DECODERS[name](outputs, contract, frame)

    def compare(self, result: People, reference: People) -> float:
        """Return the mean OKS of the people in the best pairing; 1 if neither has any."""
        return match_people(result, reference)

    def compare_all(self, pairs: Sequence[tuple[Any, Any]]) -> float:
        """Return the lowest metric of any picture."""
        return worst(self, pairs)

    def draw(self, image: Image, result: People) -> Image:
        """Return the picture with everybody's skeleton."""
        return draw_people(image, result)


def follows_person(contract: Contract) -> bool:
    """Return whether the results say where to look for the person in the next picture."""
    return contract.postprocess is not None and contract.postprocess.decoder == "movenet"


def personlab_fields(outputs: Tensors, contract: Contract) -> Fields:
    """Return PersonLab's four outputs per cell; raises ContractError for planes that do not fit together."""
    heatmap = planes(outputs, contract, "heatmap")
    vectors = [planes(outputs, contract, name) for name in ("offset", "displacement_fwd", "displacement_bwd")]
    wanted = (_COUNT, 2 * _COUNT, 2 * edge_count(), 2 * edge_count())
    found = tuple(array.shape[2] for array in (heatmap, *vectors))
    if found != wanted or any(array.shape[:2] != heatmap.shape[:2] for array in vectors):
        raise ContractError(f"PersonLab needs {list(wanted)} planes of one size, not {list(found)}")
    return fields_of(sigmoid(heatmap), *vectors)


def personlab_rule(contract: Contract) -> Rule:
    """Return the decoder's settings; raises ContractError for those that are not positive numbers."""
    default = Rule()
    rule = Rule(
        stride=number(contract, "stride", default.stride),
        score_threshold=number(contract, "score_threshold", default.score_threshold),
        nms_radius=number(contract, "nms_radius", default.nms_radius),
        instance_threshold=number(contract, "instance_threshold", default.instance_threshold),
        refinements=int(number(contract, "refinements", default.refinements)),
    )
    if not (rule.stride > 0 and rule.score_threshold > 0):
        raise ContractError(
            f"postprocess.settings.stride {rule.stride:g} and score_threshold {rule.score_threshold:g} must be above 0"
        )
    return rule


def personlab(outputs: Tensors, contract: Contract, frame: Frame) -> People:
    """Decode several people."""
    return into_picture(decode(personlab_fields(outputs, contract), personlab_rule(contract)), frame)


def into_picture(found: Instances, frame: Frame) -> People:
    """Return decoded people in the picture's coordinates."""
    points = transform(frame.matrix, found.points)
    return People(tuple(Person(float(total), points[i], found.scores[i]) for i, total in enumerate(found.totals)))


def _movenet(outputs: Tensors, contract: Contract, frame: Frame) -> People:
    heads = [planes(outputs, contract, name) for name in ("heatmap", "center", "regression", "offset")]
    wanted, found = (_COUNT, 1, 2 * _COUNT, 2 * _COUNT), tuple(head.shape[2] for head in heads)
    if found != wanted or len({head.shape[:2] for head in heads}) != 1:
        raise ContractError(f"MoveNet needs {list(wanted)} planes of one size, not {list(found)}")
    points, scores = decode_person(*heads)
    cell = np.array([frame.tensor_hw[1] / heads[0].shape[1], frame.tensor_hw[0] / heads[0].shape[0]])
    person = Person(float(scores.mean()), transform(frame.matrix, points * cell), scores)
    if person.score < number(contract, "score_threshold", 0.2):
        return People(())
    return People((person,), crop_region(person, frame.image_hw))


_DECODERS: dict[str, Callable[[Tensors, Contract, Frame], People]] = {"personlab": personlab, "movenet": _movenet}
