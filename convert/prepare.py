"""Model + pictures → a prepared folder: the program, the inputs, and the eager fp32 model's answers."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from convert.calibration import calibrate_on
from convert.export import evaluating, example_inputs, export, flatten
from convert.keypoints import keypoint_samples, takes_keypoints
from convert.load import load, load_exported, load_user
from convert.program import Model, Program, save_program
from convert.reference import Arrays, Sample, write_samples
from convert.tails import cut_tails
from edge.contract import Contract, image_contract, takes_image
from edge.errors import ContractError, UsageError
from edge.images import read_image
from edge.tasks import TASKS, Image, Region
from edge.tasks.pose import find_person
from edge.zoo import MODELS

RANDOM_SAMPLES = 2
DETECTOR = "blazepose-detector"  # finds people for landmark models that the zoo does not know


def prepare_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Load the model that the payload describes and prepare it; the child-process side of `prepare`."""
    checkpoint = Path(payload["checkpoint"]) if payload["checkpoint"] else None
    given = [Path(image) for image in payload["images"]]
    contract = msgspec.convert(payload["contract"], Contract) if payload["contract"] else None
    model = load_any(payload["model"], checkpoint, contract, random_weights=payload["random_weights"])
    if payload["own_images"] and not (takes_image(model.contract) or takes_keypoints(model.contract)):
        raise UsageError(f"{model.name} does not take one colour picture, so --data cannot be used; leave it out")
    folder = Path(payload["folder"])
    prepare(model, given, folder)
    calibration = [Path(picture) for picture in payload["calibration"]]
    if calibration:
        calibrate_on(folder, calibration)
    return {}


def load_any(spec: str, checkpoint: Path | None, contract: Contract | None, *, random_weights: bool = False) -> Model:
    """Load a zoo model by name, a user's `file.py:function`, or a `.pt2`."""
    own, whole = ".py:" in spec, spec.endswith(".pt2")
    if random_weights and (own or whole):
        raise UsageError(f"--random-weights is for networks of the zoo; {spec} comes with weights of its own")
    if checkpoint is not None and whole:
        raise UsageError(f"{spec} holds its weights; leave --checkpoint {checkpoint} out")
    if own:
        return load_user(spec, checkpoint, contract)
    if whole:
        return load_exported(Path(spec), contract)
    return load(spec, checkpoint, random_weights=random_weights)


def prepare(model: Model, images: Sequence[Path], folder: Path) -> Program:
    """Export a model and write its program, samples and eager outputs into `folder`.

    A decoding tail that the task's decoder can run is cut off first, so that the answers are those of what is left.
    """
    program = export(model)
    samples = [
        _answer(model, program.contract, sample) for sample in make_samples(program.contract, model.name, images)
    ]
    program, samples = cut_tails(program, samples)
    folder.mkdir(parents=True, exist_ok=True)
    save_program(program, folder)
    write_samples(folder, samples)
    return program


def make_samples(contract: Contract, name: str, images: Sequence[Path]) -> list[Sample]:
    """Return one sample a picture, or seeded random ones if the model does not take one picture.

    A model of keypoints is shown those of the people in the pictures.
    """
    if images and takes_keypoints(contract) and (found := keypoint_samples(contract, images)):
        return found
    if not images or not takes_image(contract):
        return [
            Sample(None, None, _named(contract, example_inputs(contract, seed=seed)), {})
            for seed in range(RANDOM_SAMPLES)
        ]
    return [_image_sample(image_contract(contract), name, path) for path in images]


def _image_sample(contract: Contract, name: str, path: Path) -> Sample:
    task = TASKS[contract.task]
    image = read_image(path)
    person = wants_person(name, contract)
    region = find_region(name, image) if person else None
    inputs, frame = task.prepare(image, contract, region if task.needs_region else None)
    nobody = person and region is None
    # Without a person there is no result to compare; the picture still compares the tensors.
    return Sample(path, None if nobody else frame, inputs, {})


def wants_person(name: str, contract: Contract) -> bool:
    """Say whether a picture without a person has no meaningful result."""
    return TASKS[contract.task].needs_region or (name in MODELS and MODELS[name].subject == "person")


def find_region(name: str, image: Image) -> Region | None:
    """Run the eager detector that completes a landmark model and return the best person's region, or None."""
    companion = MODELS[name].companion if name in MODELS else ""
    detector = _detector(companion or DETECTOR)
    return find_person(image, lambda inputs: run_eager(detector, detector.contract, inputs), detector.contract)


@functools.cache
def _detector(name: str) -> Model:
    return load(name)


def run_eager(model: Model, contract: Contract, inputs: Arrays) -> Arrays:
    """Run the eager module on named arrays; outputs are named by the contract."""
    with torch.no_grad(), evaluating(model.module):
        outputs = flatten(model.module(*(torch.from_numpy(inputs[spec.name]) for spec in contract.inputs)))
    return {spec.name: tensor.numpy() for spec, tensor in zip(contract.outputs, outputs, strict=True)}


def _answer(model: Model, contract: Contract, sample: Sample) -> Sample:
    outputs = run_eager(model, contract, sample.inputs)
    for name, value in outputs.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ContractError(
                f"the eager model's output {name} holds NaN or infinity for {sample.image or 'a random input'}; "
                "nothing can be compared with it"
            )
    return Sample(sample.image, sample.frame, sample.inputs, outputs)


def _named(contract: Contract, tensors: tuple[Tensor, ...]) -> Arrays:
    return {spec.name: np.ascontiguousarray(t.numpy()) for spec, t in zip(contract.inputs, tensors, strict=True)}
