"""Model → Program: torch.export with the contract's names, shapes and a flat tuple of outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from typing import Any, get_args

import msgspec
import torch
from torch import Tensor, nn

from convert.program import Model, Program
from edge.artifact import Step
from edge.contract import Contract, DType, TensorSpec
from edge.errors import CheckpointError, ContractError, EdgeError


class Flat(nn.Module):
    """Call a module and flatten what it returns (a tensor, tuple, list or dict) to a tuple in order."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return flatten(self.module(*inputs))


def flatten(outputs: Any) -> tuple[Tensor, ...]:
    """Return the tensors of a module's result in order; raises ContractError for anything but tensors."""
    if isinstance(outputs, Tensor):
        return (outputs,)
    items = outputs.values() if isinstance(outputs, Mapping) else outputs
    if not isinstance(items, (tuple, list)) and not isinstance(outputs, Mapping):
        raise ContractError(
            f"the model returns {type(outputs).__name__}; it must return a tensor, or a tuple or dict of them"
        )
    return tuple(tensor for item in items for tensor in flatten(item))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into eval mode, and every part of it back into the mode it was in."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training  # train() would change the parts of a part as well


def example_inputs(contract: Contract, *, seed: int = 0) -> tuple[Tensor, ...]:
    """Return seeded random inputs: floats in [0, 1), integers in [0, 127)."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(_example(spec, generator) for spec in contract.inputs)


def _example(spec: TensorSpec, generator: torch.Generator) -> Tensor:
    dtype: torch.dtype = getattr(torch, spec.dtype)
    if dtype.is_floating_point:
        return torch.rand(spec.shape, generator=generator, dtype=torch.float32).to(dtype)
    high = 2 if dtype is torch.bool else 127  # fits every integer dtype
    return torch.randint(0, high, spec.shape, generator=generator).to(dtype)


def complete_contract(model: Model) -> Model:
    """Run the module once in eval mode and fill in, or check, the contract's outputs.

    Raises ContractError if the module rejects the inputs or its outputs differ from the contract's.
    """
    try:
        with torch.no_grad(), evaluating(model.module):
            outputs = flatten(model.module(*example_inputs(model.contract)))
    except EdgeError:
        raise
    except Exception as error:  # whatever a user's forward raises
        shapes = ", ".join(f"{spec.name}={'x'.join(map(str, spec.shape))}" for spec in model.contract.inputs)
        first = str(error).strip().split("\n", 1)[0]
        raise ContractError(
            f"{model.name} rejects its contract's inputs {shapes}: {type(error).__name__}: {first}"
        ) from error
    specs = _output_specs(model.contract, outputs)
    contract = msgspec.structs.replace(model.contract, outputs=specs)
    return Model(model.name, model.module, contract, model.source)


def _output_specs(contract: Contract, outputs: tuple[Tensor, ...]) -> tuple[TensorSpec, ...]:
    found = tuple((tuple(tensor.shape), _dtype_name(i, tensor.dtype)) for i, tensor in enumerate(outputs))
    if not contract.outputs:
        layout = contract.inputs[0].layout
        return tuple(
            TensorSpec(name=f"output_{i}", shape=shape, dtype=dtype, layout=layout if len(shape) == 4 else "")
            for i, (shape, dtype) in enumerate(found)
        )
    expected = tuple((spec.shape, spec.dtype) for spec in contract.outputs)
    if found != expected:
        raise ContractError(f"the model's outputs are {_show(found)}, its contract says {_show(expected)}")
    return contract.outputs


def _dtype_name(index: int, dtype: torch.dtype) -> DType:
    name = str(dtype).removeprefix("torch.")
    for known in get_args(DType):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise ContractError(f"output {index} is {name}; artifacts carry {', '.join(get_args(DType))}: cast it in the model")


def _show(items: tuple[tuple[tuple[int, ...], str], ...]) -> str:
    return ", ".join(f"{'x'.join(map(str, shape))}:{dtype}" for shape, dtype in items)


def check_weights(module: nn.Module) -> None:
    """Raise CheckpointError naming the first parameters or buffers that hold NaN or infinity."""
    bad = [
        name
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise CheckpointError(
            f"weights hold NaN or infinity in {', '.join(bad[:3])}{more}; train or download the checkpoint again"
        )


def export(model: Model) -> Program:
    """Trace a model in eval mode with torch.export at its contract's fixed shapes; the module stays as it is.

    Raises CheckpointError for weights that are not finite, ContractError as `complete_contract` does.
    """
    check_weights(model.module)
    model = complete_contract(model)
    with torch.no_grad(), evaluating(model.module):
        exported = torch.export.export(Flat(model.module).eval(), example_inputs(model.contract))
    step = Step(tool="torch.export", version=metadata.version("torch"))
    return Program(model.name, exported, model.contract, model.source, (step,))
