"""Program with a decoding tail → program without, and a decoder that continues where it ends."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from convert.passes._rewrite import argument, aten, shape
from convert.passes.functional import functional_module
from convert.passes.tails import Tail, end_output_at, find_tails
from convert.program import Program
from convert.reference import Arrays, Sample
from convert.tail_step import tail_step
from edge.contract import Contract, Layout, Postprocess, TensorSpec
from edge.tasks.segmentation import MOST_CLASSES, class_map, decoder_of

_LAYOUTS: Mapping[int, Layout] = {1: "NCHW", 3: "NHWC"}  # by the axis of the classes
_CASTS = frozenset({aten.to.dtype, aten._to_copy.default})
_SQUEEZES = frozenset(
    {
        aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.unsqueeze.default, aten.view.default,
        aten.reshape.default, aten.select.int, aten.slice.Tensor, aten.clone.default, aten.contiguous.default,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cut:
    """End an output at a node; `spec` describes it there and `decoder` continues from it."""

    position: int
    node: str
    spec: TensorSpec
    decoder: Postprocess


@dataclass(frozen=True, slots=True)
class Continuation:
    """Say where a task's decoders can take over (longest cut first), and what must be the same afterwards."""

    cuts: Callable[[Tail, Contract], Iterator[Cut]]
    result: Callable[[Arrays, Contract], NDArray[Any]]


def cut_tails(program: Program, samples: Sequence[Sample]) -> tuple[Program, list[Sample]]:
    """Return the program and its answers without the tail that the task's decoder can run; else both as they are.

    A cut is made only if the decoder then chooses the same for every sample; a step of the program records it.
    """
    continuation = CONTINUATIONS.get(program.contract.task)
    module = functional_module(program.exported) if continuation else None
    if continuation is None or module is None:
        return program, list(samples)
    for tail in find_tails(module):
        for cut in continuation.cuts(tail, program.contract):
            shorter = _apply(program, tail, cut)
            answers = [_answer(shorter, sample) for sample in samples]
            if all(_same(continuation, program, old, shorter, new) for old, new in zip(samples, answers, strict=True)):
                return shorter, answers
    return program, list(samples)


def _apply(program: Program, tail: Tail, cut: Cut) -> Program:
    old = program.contract.outputs[cut.position]
    outputs = (*program.contract.outputs[: cut.position], cut.spec, *program.contract.outputs[cut.position + 1 :])
    contract = msgspec.structs.replace(program.contract, outputs=outputs, postprocess=cut.decoder)
    step = tail_step(tail.operators, old, cut.spec, cut.decoder)
    exported = end_output_at(program.exported, cut.position, cut.node)
    return replace(program, exported=exported, contract=contract, steps=(*program.steps, step))


def _answer(program: Program, sample: Sample) -> Sample:
    inputs = [torch.from_numpy(sample.inputs[spec.name]) for spec in program.contract.inputs]
    with torch.no_grad():
        results = program.exported.module(check_guards=False)(*inputs)
    outputs = {spec.name: value.numpy() for spec, value in zip(program.contract.outputs, results, strict=True)}
    return Sample(sample.image, sample.frame, sample.inputs, outputs)


def _same(continuation: Continuation, program: Program, old: Sample, shorter: Program, new: Sample) -> bool:
    finite = all(np.isfinite(value).all() for value in new.outputs.values() if value.dtype.kind == "f")
    return finite and np.array_equal(
        continuation.result(old.outputs, program.contract), continuation.result(new.outputs, shorter.contract)
    )


def _segmentation_cuts(tail: Tail, contract: Contract) -> Iterator[Cut]:
    """Offer to let the decoder choose classes: from what softmax reads, or from what argmax or a threshold reads."""
    if tail.outputs != (0,) or len(tail.choices) != 1 or decoder_of(contract) != "labels":
        return
    [choice] = tail.choices
    old = contract.outputs[0]
    if not all(_keeps_classes(node, choice) for node in tail.nodes if node is not choice):
        return
    for scores, axis in _scores(choice):
        value = scores.meta["val"]
        threshold, planes = choice.target is aten.gt.Scalar, value.shape[axis]
        if value.dtype is not torch.float32 or (planes == 1) is not threshold or planes > MOST_CLASSES:
            continue
        if scores.op != "call_function" or any(user.op == "output" for user in scores.users):
            continue  # runtimes refuse outputs that are inputs, or two that are one
        spec = TensorSpec(name=f"{old.name}_scores", shape=tuple(value.shape), layout=_LAYOUTS[axis])
        settings: dict[str, float | int | str | list[float]] = {}
        if threshold:
            settings["threshold"] = float(choice.args[1])
        decoder = Postprocess(decoder="threshold" if threshold else "argmax", settings=settings)
        yield Cut(0, scores.name, spec, decoder)


def _keeps_classes(node: Any, choice: Any) -> bool:
    """Tell whether an operator after the choice leaves the numbers of the classes and their order."""
    if node.target is aten._assert_tensor_metadata.default:
        return True
    if node.target in _CASTS:
        return node.meta["val"].dtype is not torch.bool or choice.target is aten.gt.Scalar
    if node.target in _SQUEEZES:
        before, after = ([size for size in shape(item) if size != 1] for item in (node.args[0], node))
        return before == after
    return node.target is operator.getitem


def _scores(choice: Any) -> Iterator[tuple[Any, int]]:
    """Yield the score planes (1, …) that a choice reads, and the axis of their classes; the earliest first."""
    source = choice.args[0]
    if choice.target is aten.gt.Scalar:
        planes, axis = _with_batch(source, None)
    elif choice.target is aten.argmax.default:
        planes, axis = _with_batch(source, argument(choice, 1, "dim"))
    elif choice.target is aten.max.dim or (choice.target is aten.topk.default and choice.args[1] == 1):
        readers = [reader for reader in choice.users if reader.users]
        dim = argument(choice, 1, "dim") if choice.target is aten.max.dim else argument(choice, 2, "dim", -1)
        largest = choice.target is aten.max.dim or argument(choice, 3, "largest", True)
        if any(reader.args[1] != 1 for reader in readers) or not largest:
            return
        planes, axis = _with_batch(source, dim)
    else:
        return
    if axis not in _LAYOUTS:
        return
    if planes.target in (aten.softmax.int, aten.log_softmax.int) and planes.args[1] % 4 == axis:
        yield planes.args[0], axis
    yield planes, axis


def _with_batch(source: Any, dim: int | None) -> tuple[Any, int]:
    """Follow dropped axes of size 1 back to a tensor of four axes; without `dim`, its one plane's axis is taken."""
    axis = None if dim is None else dim % len(shape(source))
    while len(shape(source)) == 3 and source.target in (aten.select.int, aten.squeeze.dim):
        before, dropped = shape(source.args[0]), source.args[1] % len(shape(source.args[0]))
        if before[dropped] != 1:
            break
        axis = dropped if axis is None and dropped else None if axis is None else axis + (dropped <= axis)
        source = source.args[0]
    sizes = shape(source)
    if len(sizes) != 4 or sizes[0] != 1:
        return source, -1
    if axis is None:
        axis = next((i for i in _LAYOUTS if sizes[i] == 1), -1)
    return source, axis


CONTINUATIONS: Mapping[str, Continuation] = {
    "segmentation": Continuation(_segmentation_cuts, class_map),
}
