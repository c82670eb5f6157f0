"""Options that several commands share, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from convert.keys import ModelRequest
from edge.cli import progress
from edge.contract import Contract, parse_tensor
from edge.errors import ContractError, InputError, UsageError
from edge.images import list_images
from edge.zoo import MODELS

MAX_PICTURES = 8
MAX_CALIBRATION = 64

_PATH = click.Path(path_type=Path)
_OPTIONS = (
    click.option("--checkpoint", type=_PATH, help="Weights: .safetensors, .pt, .pth, .pth.tar, .bin, .pt2 or .npz."),
    click.option(
        "--input", "inputs", multiple=True, metavar="NAME=1x3x256x256", help="An input of your own model; repeatable."
    ),
    click.option("--contract", "contract_file", type=_PATH, help="A contract as JSON, instead of --input."),
    click.option("--data", type=_PATH, help="A folder of pictures (or one picture), in place of the kit's."),
    click.option("--random-weights", is_flag=True, help="Seeded random weights where no checkpoint exists; recorded."),
)


calibration_option = click.option(
    "--calibration",
    type=_PATH,
    help="A folder of pictures to measure the range of activations on; at most 64 are used. Default: cuts of --data.",
)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that describe a model."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def is_own(model: str) -> bool:
    """Say whether a model is the user's, named by file and function or as a `.pt2`, and not one of the zoo."""
    return ".py:" in model or model.endswith(".pt2")


def model_request(
    model: str,
    checkpoint: Path | None,
    inputs: tuple[str, ...],
    contract_file: Path | None,
    data: Path | None,
    random_weights: bool,
    calibration: Path | None = None,
) -> ModelRequest:
    """Turn the options into a request; raises UsageError and its kinds."""
    own = is_own(model)
    if not own:
        MODELS[model]
    if (inputs or contract_file) and not own:
        raise UsageError(
            f"{model} has a contract of its own; --input and --contract are for models given as file.py:function"
        )
    if inputs and contract_file:
        raise UsageError("--input and --contract say the same thing twice; give one of them")
    contract = Contract(inputs=tuple(parse_tensor(text) for text in inputs)) if inputs else None
    if contract_file:
        contract = _read_contract(contract_file)
    return ModelRequest(
        model=model,
        checkpoint=checkpoint,
        contract=contract,
        images=pictures(data, MAX_PICTURES, "data"),
        calibration=pictures(calibration, MAX_CALIBRATION, "calibration"),
        own_images=data is not None,
        random_weights=random_weights,
    )


def task_of(request: ModelRequest) -> str:
    """Return the requested model's task, as far as it is known before the model is loaded."""
    if request.contract is not None:
        return request.contract.task
    return MODELS[request.model].contract.task if request.model in MODELS else "tensors"


def _read_contract(path: Path) -> Contract:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Contract)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; expected a contract as JSON") from None
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ContractError(f"{path}: {error}") from None


def pictures(place: Path | None, most: int, word: str) -> tuple[Path, ...]:
    """Return a picture, or the first `most` of a folder by name and a remark about the others; none for None.

    Raises InputError for a folder without pictures.
    """
    if place is None:
        return ()
    if place.is_file():
        return (place,)
    found = list_images(place)
    if len(found) > most:
        progress(f"{word:8} {place} holds {len(found)} pictures; the first {most} by name are used")
    return found[:most]
