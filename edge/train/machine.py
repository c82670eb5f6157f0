"""Where a training computes, and the folder it writes into."""

from __future__ import annotations

import contextlib
import platform
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from edge.errors import MissingError, UsageError
from edge.output import exclusive
from edge.train.state import STATE, UNFINISHED

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FULL_PRECISION = "32-true"
# Fabric's names. Half precision would need a scale of the loss, which a state would have to hold.
PRECISIONS = (FULL_PRECISION, "bf16-mixed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Say where to compute: Fabric's names of an accelerator, a number of devices and a precision.

    `workers` processes prepare a recipe's data for each device; 0 is a thread.
    """

    accelerator: str = "auto"
    devices: str = "1"
    precision: str = FULL_PRECISION
    workers: int = 0


def start_fabric(machine: Machine) -> Fabric:
    """Start Lightning Fabric, in as many processes as there are devices; raises MissingError or UsageError."""
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise MissingError(
            f"edge train needs Lightning Fabric ({error}): pip install 'edge-deployment-kit[train]'"
        ) from None
    devices: int | str = int(machine.devices) if machine.devices.isdigit() else machine.devices
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on hardware that is not asked for
        try:
            fabric = Fabric(accelerator=machine.accelerator, devices=devices, precision=machine.precision)
        except Exception as error:  # Fabric raises many types for devices that are not there
            first = str(error).strip().split("\n", 1)[0]
            raise UsageError(f"cannot train on {machine.devices} of {machine.accelerator}: {first}") from error
        fabric.launch()  # with several devices, each runs this command in a process of its own
    return fabric


def check_batch(batch: int, fabric: Fabric) -> None:
    """Raise UsageError for a batch that the processes cannot share evenly."""
    if batch % fabric.world_size:
        raise UsageError(f"--batch {batch} cannot be shared among {fabric.world_size} devices; choose a multiple")


@contextlib.contextmanager
def training_folder(out: Path, resume: bool, *, first: bool) -> Iterator[None]:
    """Hold the output folder; the first process does so for all. Raises UsageError for one that is in use."""
    if not first:
        yield
        return
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; choose another --out")
    if resume and not (out / STATE).is_file():
        raise UsageError(f"{out} holds no training to resume ({STATE} is not there); leave --resume out")
    if not resume and out.is_dir() and {path.name for path in out.iterdir()} - {".lock", UNFINISHED}:
        raise UsageError(f"{out} exists; go on with --resume, or choose another --out")
    with exclusive(out):
        yield


def device_name(device: torch.device) -> str:
    """Return the device's name for a record."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type}, {platform.machine()}"
