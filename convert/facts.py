"""What a model card says of a network by counting: parameters, and multiply-accumulates of one inference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from convert.export import example_inputs, export
from convert.load import load
from convert.prepare import find_region, run_eager, wants_person
from convert.program import Model, Program
from edge.contract import image_contract, takes_image
from edge.images import read_image, write_image
from edge.tasks import TASKS
from edge.zoo import MODELS

_PICTURE_PX = 480  # longest side


def facts_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Count a zoo model's parameters and multiply-accumulates, and draw its result; the child's side of `edge card`.

    `picture` in the payload names the file to draw into, from `photo`; nothing is drawn with weights that mean nothing.
    """
    name = payload["model"]
    random = MODELS[name].weight_status == "yours"
    model = load(name, random_weights=random)
    drawn = bool(payload["picture"]) and not random and takes_image(model.contract)
    if drawn:
        draw(model, Path(payload["photo"]), Path(payload["picture"]))
    return {
        "parameters": count_parameters(model.module),
        "macs": count_macs(export(model)),
        "contract": msgspec.to_builtins(MODELS[name].contract if random else model.contract),
        "drawn": drawn,
    }


def count_parameters(module: nn.Module) -> int:
    """Return how many numbers training would change: those of parameters, each tensor counted once."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_macs(program: Program) -> int:
    """Return the multiply-accumulates of one inference of an exported program.

    Counted by `torch.utils.flop_counter` over convolutions, matrix products and attention, without computing; one
    multiply-accumulate is two of its floating-point operations.
    """
    inputs = example_inputs(program.contract)
    module = program.exported.module()
    with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return int(counter.get_total_flops()) // 2


def draw(model: Model, photo: Path, picture: Path) -> None:
    """Write the photograph with the eager model's result drawn on it, small enough for a page."""
    from PIL import Image

    contract, image = image_contract(model.contract), read_image(photo)
    task = TASKS[contract.task]
    region = find_region(model.name, image) if wants_person(model.name, contract) else None
    inputs, frame = task.prepare(image, contract, region if task.needs_region else None)
    result = task.decode(run_eager(model, contract, inputs), contract, frame)
    shown = Image.fromarray(task.draw(image, result))
    shown.thumbnail((_PICTURE_PX, _PICTURE_PX), Image.Resampling.LANCZOS)

    write_image(picture, np.asarray(shown))
