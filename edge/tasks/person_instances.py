"""Person instances: who is where, pixel by pixel, next to everybody's pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract import Contract
from edge.errors import ContractError
from edge.images import warp_nearest, warp_plane
from edge.tasks import Frame, Image, MeanOverPictures, Region, Tensors, task, worst
from edge.tasks._geometric_embedding import distance_maps
from edge.tasks._geometry import invert, planes, prepare, sigmoid
from edge.tasks._maskwise import bounded
from edge.tasks._overlay import palette, tint
from edge.tasks._people import KEYPOINT_NAMES, People
from edge.tasks._personlab import decode, finite
from edge.tasks._settings import number
from edge.tasks._skeleton import draw_people
from edge.tasks.keypoints import into_picture, personlab_fields, personlab_rule

_DECODER = "personlab-instances"


@dataclass(frozen=True, slots=True, eq=False)
class PersonInstances:
    """`ids` (H, W) holds each pixel's person, 1 for the first of `people`, 0 where nobody is."""

    ids: NDArray[np.uint16]
    people: People

    @property
    def empty(self) -> bool:
        """Whether there is nothing to compare: nobody was found."""
        return self.people.empty

    def to_json(self) -> dict[str, Any]:
        """Return everybody's pose and area in pixels."""
        areas = np.bincount(self.ids.ravel(), minlength=len(self.people.items) + 1)[1:]
        people = [{**person.to_json(), "area": int(a)} for person, a in zip(self.people.items, areas, strict=True)]
        return {"size": list(self.ids.shape), "people": people}


@task("person-instances")
class PersonInstanceTask(MeanOverPictures):
    """Segment people: PersonLab's outputs for `keypoints`, `long_offset` (34 planes) and `mask` (1 plane of logits).

    Settings of the decoder `personlab-instances`: those of `personlab`, `mask_threshold` on the probability of a person
    and `embedding_threshold` on the distance to one, in that person's sizes.
    """

    metric = "mask IoU"
    limit = 0.95
    needs_region = False
    result = PersonInstances

    def prepare(
        self, image: Image, contract: Contract, region: Region | None = None
    ) -> tuple[dict[str, NDArray[Any]], Frame]:
        """Resize the picture into the contract's input."""
        return prepare(image, contract, region)

    def decode(self, outputs: Tensors, contract: Contract, frame: Frame) -> PersonInstances:
        """Find everybody's pose, then each pixel's person; raises ContractError for outputs that do not fit.

        Pixels of a picture that is larger than the input take the person of the nearest one at the input's size.
        """
        if contract.postprocess is None or contract.postprocess.decoder != _DECODER:
            raise ContractError(f"person-instances needs the decoder {_DECODER} in postprocess")
        fields, rule = personlab_fields(outputs, contract), personlab_rule(contract)
        long_offset, mask = (planes(outputs, contract, name) for name in ("long_offset", "mask"))
        if long_offset.shape != (*fields.shape, 2 * len(KEYPOINT_NAMES)) or mask.shape != (*fields.shape, 1):
            raise ContractError(
                f"long_offset {list(long_offset.shape)} and mask {list(mask.shape)} do not fit the other planes: they "
                f"must be {[*fields.shape, 2 * len(KEYPOINT_NAMES)]} and {[*fields.shape, 1]} (rows, columns, planes)"
            )
        found = decode(fields, rule)
        likely = finite(sigmoid(mask[..., 0]))
        threshold = number(contract, "mask_threshold", 0.5)
        vectors = finite(long_offset).reshape(likely.size, 2, -1)
        maps = distance_maps(fields, vectors, likely >= threshold, found, rule)
        small = bounded(frame)
        to_cells = invert(small.matrix) / rule.stride
        ids = _nearest(maps, to_cells, small.image_hw, number(contract, "embedding_threshold", 0.25))
        ids[warp_plane(likely, to_cells, small.image_hw) < threshold] = 0
        shrink = np.diag(np.divide(small.image_hw[::-1], frame.image_hw[::-1]))
        whole = warp_nearest(ids, np.column_stack([shrink, (0.0, 0.0)]), frame.image_hw)
        return PersonInstances(whole, into_picture(found, frame))

    def compare(self, result: PersonInstances, reference: PersonInstances) -> float:
        """Return the mean IoU over the best pairing of people, 0 for whom only one side has; 1 if neither has any."""
        from scipy.optimize import linear_sum_assignment

        mine, theirs = len(result.people.items), len(reference.people.items)
        if max(mine, theirs) == 0:
            return 1.0
        overlap = _overlaps(result, reference)
        rows, columns = linear_sum_assignment(overlap, maximize=True)
        return float(overlap[rows, columns].sum()) / max(mine, theirs)

    def compare_all(self, pairs: Sequence[tuple[Any, Any]]) -> float:
        """Return the lowest metric of any picture."""
        return worst(self, pairs)

    def draw(self, image: Image, result: PersonInstances) -> Image:
        """Return the picture with everybody tinted in a colour of their own, and their skeletons."""
        colours = palette(len(result.people.items) + 1)
        drawn = image
        for i, colour in enumerate(colours[1:], start=1):
            drawn = tint(drawn, colour, (result.ids == i).astype(np.float32), strength=0.5)
        return draw_people(drawn, result.people)


def _nearest(
    maps: NDArray[np.float64], to_cells: NDArray[np.float64], image_hw: tuple[int, int], limit: float
) -> NDArray[np.uint16]:
    """Return the person (H, W) whose distance map (N, rows, columns) is lowest at each pixel; 0 where none is below."""
    ids = np.zeros(image_hw, np.uint16)
    nearest = np.full(image_hw, limit, np.float32)
    for i, distance in enumerate(maps, start=1):
        here = warp_plane(distance, to_cells, image_hw)
        ids[here < nearest] = i
        np.minimum(nearest, here, out=nearest)
    return ids


def _overlaps(result: PersonInstances, reference: PersonInstances) -> NDArray[np.float64]:
    """Return the IoU of everybody with every reference person: (people, references); 1 where both have no pixel."""
    if result.ids.shape != reference.ids.shape:
        raise ContractError(
            f"masks differ in size: {list(result.ids.shape)} and {list(reference.ids.shape)} (height, width)"
        )
    mine, theirs = len(result.people.items) + 1, len(reference.people.items) + 1
    both = np.bincount(result.ids.ravel().astype(np.int64) * theirs + reference.ids.ravel(), minlength=mine * theirs)
    shared = both.reshape(mine, theirs).astype(np.float64)
    union = shared.sum(axis=1)[1:, None] + shared.sum(axis=0)[None, 1:] - shared[1:, 1:]
    return np.asarray(np.divide(shared[1:, 1:], union, out=np.ones_like(union), where=union > 0))
