"""Which class of edge.core and of EdgeCore decodes each task's outputs, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.contract import Contract


@dataclass(frozen=True, slots=True)
class Decoder:
    """A decoder's class and its result's, by the names that both cores share.

    `word` names the result in the line that calls it. `fills` says that the caller owns the result and hands it in.
    """

    type: str
    result: str
    word: str
    fills: bool = False
    wants_region: bool = False  # where in the picture the subject is, found by another model


DECODERS: Mapping[str, Decoder | None] = {
    "pose-detection": Decoder("PoseDetection", "Detections", "people"),
    "pose-landmarks": Decoder("PoseLandmarks", "Pose", "pose", fills=True, wants_region=True),
    "segmentation": Decoder("SegmentationTask", "Segmentation", "mask"),
    "panoptic": Decoder("PanopticTask", "Panoptic", "scene"),
    "detokenization": Decoder("DetokenizationTask", "", "pixels", fills=True),
    "tensors": None,  # the outputs are the result
}


# The decoders of a task that both cores have, where they have not all of them.
_KNOWN = {"panoptic": frozenset({"mask-wise"})}


def decoder_for(contract: Contract) -> Decoder | None:
    """Return what decodes a contract's outputs in the cores, or None: then the outputs are the result."""
    named = contract.postprocess.decoder if contract.postprocess else ""
    known = _KNOWN.get(contract.task)
    return DECODERS.get(contract.task) if known is None or named in known else None


def first_class(contract: Contract) -> int:
    """Return the class number of the first label: a single label of two classes names class 1, 0 is the background."""
    decoder = contract.postprocess.decoder if contract.postprocess else ""
    return int(contract.task == "segmentation" and len(contract.labels) == 1 and decoder != "logits")
