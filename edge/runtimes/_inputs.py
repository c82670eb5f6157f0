"""What every session checks before it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from edge.contract import TensorSpec
from edge.errors import InputError


def checked_input(inputs: Mapping[str, NDArray[Any]], spec: TensorSpec) -> NDArray[Any]:
    """Return one of the named inputs; raises InputError if it is missing or has another shape or dtype."""
    if spec.name not in inputs:
        raise InputError(f"input {spec.name!r} is missing; given: {', '.join(sorted(inputs)) or 'none'}")
    array = inputs[spec.name]
    if array.shape != spec.shape or array.dtype.name != spec.dtype:
        raise InputError(
            f"input {spec.name!r} is {list(array.shape)} {array.dtype.name}; expected {list(spec.shape)} {spec.dtype}"
        )
    return array
