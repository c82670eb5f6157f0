"""The record of a tail that was cut off: written by convert/tails.py, read without torch."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata

import msgspec

from edge.artifact import Step
from edge.contract import Contract, Postprocess, TensorSpec

TOOL = "convert.tails"


def tail_step(operators: str, output: TensorSpec, scores: TensorSpec, decoder: Postprocess) -> Step:
    """Record that `operators` were cut off `output`, which a decoder now makes of `scores`."""
    options: dict[str, str | int | float | bool] = {
        "cut-tail": operators,
        "output": output.name,
        "shape": "x".join(map(str, output.shape)),
        "dtype": output.dtype,
        "layout": output.layout,
        "scores": scores.name,
        "decoder": decoder.decoder,
    }
    return Step(tool=TOOL, version=metadata.version("torch"), options=options)


def describe_tails(steps: Sequence[Step]) -> tuple[str, ...]:
    """Return a line for every tail that was cut off, for people."""
    return tuple(
        f"{options['cut-tail']} of {options['output']} is left to the decoder {options['decoder']!r}; "
        f"artifacts give {options['scores']}"
        for options in (step.options for step in steps if step.tool == TOOL)
    )


def restore_tails(contract: Contract, steps: Sequence[Step]) -> Contract:
    """Return the contract of the model itself from an artifact's contract and steps."""
    for step in steps:
        if step.tool != TOOL:
            continue
        values = {key: str(value) for key, value in step.options.items()}
        sizes = tuple(int(size) for size in values["shape"].split("x") if size)
        plain = {"name": values["output"], "shape": sizes, "dtype": values["dtype"], "layout": values["layout"]}
        output = msgspec.convert(plain, TensorSpec)
        outputs = tuple(output if spec.name == values["scores"] else spec for spec in contract.outputs)
        contract = msgspec.structs.replace(contract, outputs=outputs, postprocess=Postprocess(decoder="labels"))
    return contract
