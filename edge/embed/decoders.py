"""Which class of edge.core and of EdgeCore decodes each task's outputs, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.contract import Contract


@dataclass(frozen=True, slots=True)
class Decoder:
    """A decoder's class and its result's, by the names that both cores share.

    `word` names the result in the line that calls it. `fills` says that the caller owns the result and hands it in.
    `knows` are the ways of decoding that the cores have; without any they have all of the task's.
    """

    type: str
    result: str
    word: str
    fills: bool = False
    wants_region: bool = False  # where in the picture the subject is, found by another model
    knows: tuple[str, ...] = ()


DECODERS: Mapping[str, Decoder | None] = {
    "pose-detection": Decoder("PoseDetection", "Detections", "people"),
    "pose-landmarks": Decoder("PoseLandmarks", "Pose", "pose", fills=True, wants_region=True),
    "segmentation": Decoder("SegmentationTask", "Segmentation", "mask"),
    "panoptic": Decoder("PanopticTask", "Panoptic", "scene", knows=("mask-wise",)),
    "tokenization": None,  # ids, or latents whose codebook is beside the model: TokenizerDemo takes ids
    "detokenization": Decoder("DetokenizationTask", "", "pixels", fills=True),
    "pose-embedding": None,  # the outputs are the result
    "tensors": None,
}


def decoder_of(contract: Contract) -> Decoder | None:
    """Return what decodes a contract's outputs in an app; None where the outputs are the result."""
    decoder = DECODERS.get(contract.task)
    named = contract.postprocess.decoder if contract.postprocess else ""
    return decoder if decoder and (not decoder.knows or named in decoder.knows) else None


def first_class(contract: Contract) -> int:
    """Return the class number of the first label: a single label of two classes names class 1, 0 is the background."""
    decoder = contract.postprocess.decoder if contract.postprocess else ""
    return int(contract.task == "segmentation" and len(contract.labels) == 1 and decoder != "logits")
