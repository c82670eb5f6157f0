"""Whether calibration inputs fit the contract, and whether they look like what the model will see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convert.reference import Arrays
from edge.contract import Contract
from edge.errors import ContractError

if TYPE_CHECKING:
    from convert.program import Program

FEWEST = 8
_FLAT = 0.01  # share of the whole range below which a picture's values count as constant
_DIM = 0.05  # share of the whole range that all inputs together must span
_BEYOND = 0.05  # share by which values may leave the range: resampling does not, arithmetic does a little
_WALKED = 2  # inputs that activations are checked on


def checked_arrays(contract: Contract, given: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return one set of inputs in the contract's order; raises ContractError for another name, shape or type."""
    known = {spec.name: spec for spec in contract.inputs}
    if set(given) != set(known):
        raise ContractError(f"calibration inputs are named {sorted(given)}; the contract has {sorted(known)}")
    for name, spec in known.items():
        array = given[name]
        if array.shape != spec.shape or array.dtype != spec.dtype:
            raise ContractError(
                f"calibration input {name} is {array.dtype} {list(array.shape)}; the contract has {spec.dtype} "
                f"{list(spec.shape)}"
            )
        if not np.isfinite(array).all():
            raise ContractError(f"calibration input {name} holds NaN or infinity")
    return {name: np.ascontiguousarray(given[name]) for name in known}


def doubts(contract: Contract, inputs: Sequence[Arrays], *, pictures: int) -> tuple[str, ...]:
    """Return what looks wrong with calibration inputs, as sentences; `pictures` is how many the user gave."""
    found = []
    if pictures < FEWEST:
        found.append(f"only {pictures} calibration inputs: ranges from fewer than {FEWEST} rarely hold for others")
    if len({_fingerprint(entry) for entry in inputs}) < min(len(inputs), 2):
        found.append("all calibration inputs are equal")
    for spec in contract.inputs:
        if spec.dtype.startswith("float"):
            found += _range_doubts(contract, spec.name, [entry[spec.name] for entry in inputs])
    return tuple(found)


def _fingerprint(entry: Arrays) -> bytes:
    return b"".join(entry[name].tobytes() for name in sorted(entry))


def _range_doubts(contract: Contract, name: str, arrays: list[NDArray[Any]]) -> list[str]:
    flat = sum(float(np.ptp(array)) <= _FLAT * _span(contract) for array in arrays)
    found = [f"{flat} of {len(arrays)} calibration inputs {name} are constant"] if flat else []
    if contract.preprocess is None or not arrays:
        return found
    low, high = _expected(contract)
    least, largest = min(float(array.min()) for array in arrays), max(float(array.max()) for array in arrays)
    margin = _BEYOND * (high - low)
    if least < low - margin or largest > high + margin:
        found.append(
            f"calibration inputs {name} go from {least:.4g} to {largest:.4g}; preprocessed pictures lie within "
            f"{low:.4g} to {high:.4g}"
        )
    elif largest - least < _DIM * (high - low):
        found.append(
            f"calibration inputs {name} span {least:.4g} to {largest:.4g} only, of {low:.4g} to {high:.4g}: "
            "were they preprocessed twice?"
        )
    return found


def _span(contract: Contract) -> float:
    low, high = _expected(contract) if contract.preprocess is not None else (0.0, 0.0)
    return high - low


def _expected(contract: Contract) -> tuple[float, float]:
    """Return the least and the largest value that preprocessing can give."""
    rule = contract.preprocess
    if rule is None:
        raise ValueError("the contract states no preprocessing")
    mean, std = np.array(rule.mean), np.array(rule.std)
    ends = np.concatenate([(end - mean) / std for end in rule.range])
    return float(ends.min()), float(ends.max())


def check_activations(program: Program) -> None:
    """Raise ContractError, naming the operator, if a program computes NaN or infinity on its calibration inputs.

    Such a value would leave every quantizer without a scale; -inf in a mask that softmax reads is one too.
    """
    import torch
    from torch.fx import Interpreter

    class Check(Interpreter):
        def run_node(self, n: Any) -> Any:
            value = super().run_node(n)
            floats = n.op == "call_function" and isinstance(value, torch.Tensor) and value.is_floating_point()
            if floats and not bool(torch.isfinite(value).all()):
                raise ContractError(
                    f"{program.name}: operator {n.name} ({n.target}) gives NaN or infinity on a calibration input, "
                    "which no integer range holds; mend the model or the pictures, or ask for fp16 or fp32"
                )
            return value

    with torch.no_grad():
        for inputs in program.calibration_tensors()[:_WALKED]:
            Check(program.exported.module()).run(*inputs)
