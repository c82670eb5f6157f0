"""How far a student's outputs are from the teacher's, by what the task reads from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from edge.contract import Contract
from edge.errors import ContractError
from edge.tasks.segmentation import decoder_of

Outputs = Sequence[Tensor]
Distance = Callable[[Tensor, Tensor, Tensor], Tensor]  # student, teacher, the teacher's confidence → a number ≥ 0

_LEAST_SHARE = 1.0 / 512  # half a code of 8 bits: what a rounded probability can say of 0 and 1
_BACKGROUND = 0.01  # weight of a place where a detector sees nothing; people are few among its boxes
_LEAST_SCALE = 1e-12
FEATURES = 0.3  # of inner results beside 1 for the outputs


@dataclass(frozen=True, slots=True)
class Term:
    """Compare the output at `position`."""

    name: str
    position: int
    distance: Distance


@dataclass(frozen=True, slots=True)
class Distillation:
    """The mean over a model's outputs of their distances to the teacher's; 0 where all are equal.

    `features` are inner results: their mean counts by `FEATURES` beside it, and not among the parts.
    """

    terms: tuple[Term, ...]
    confidence: int | None = None  # the position of a detector's scores, logits of shape (1, N, 1)
    features: tuple[Term, ...] = ()

    def parts(self, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        """Return every output's distance."""
        sure = torch.ones(()) if self.confidence is None else torch.sigmoid(teacher[self.confidence])
        return {term.name: term.distance(student[term.position], teacher[term.position], sure) for term in self.terms}

    def __call__(self, student: Outputs, teacher: Outputs) -> Tensor:
        """Return the mean of the outputs' distances, and that of the features' where there are any."""
        whole = torch.stack(list(self.parts(student, teacher).values())).mean()
        if not self.features:
            return whole
        sure = torch.ones(())
        inner = [term.distance(student[term.position], teacher[term.position], sure) for term in self.features]
        return whole + FEATURES * torch.stack(inner).mean()


def distillation(contract: Contract, answers: Sequence[Outputs], features: Sequence[str] = ()) -> Distillation:
    """Return the loss for a contract's outputs; `answers` are the teacher's, which distances are relative to.

    `features` names what the answers hold after the outputs.

    Every output counts by its squared error over the mean square of what the teacher answers. Segmentation adds the
    divergence of the classes' probabilities; a detector's boxes and scores count where the teacher sees something.
    Raises ContractError if no output is a float.
    """
    terms: list[Term] = []
    detector = contract.task == "pose-detection"
    for position, spec in enumerate(contract.outputs):
        if not spec.dtype.startswith("float"):
            continue  # choices have no gradient
        terms.append(Term(spec.name, position, _distance(contract, position, _mean_square(answers, position))))
    if not terms:
        raise ContractError("the model's outputs are all integers, which have no gradient; end it before its choices")
    names = [spec.name for spec in contract.outputs]
    inner = tuple(
        Term(name, position, partial(_squares, scale=_mean_square(answers, position)))
        for position, name in enumerate(features, start=len(names))
    )
    return Distillation(tuple(terms), names.index("scores") if detector else None, inner)


def _mean_square(answers: Sequence[Outputs], position: int) -> float:
    square = torch.stack([answer[position].float().square().mean() for answer in answers]).mean()
    return max(float(square), _LEAST_SCALE)


def _distance(contract: Contract, position: int, scale: float) -> Distance:
    spec = contract.outputs[position]
    if contract.task == "pose-detection":
        return _scores if spec.name == "scores" else partial(_where_sure, scale=scale)
    if contract.task == "segmentation" and position == 0:
        decoder, axis = decoder_of(contract), {"NCHW": 1, "NHWC": 3}.get(spec.layout)
        if decoder == "probability":
            return partial(_probabilities, scale=scale)
        if decoder in ("logits", "argmax") and axis is not None:
            return partial(_classes, scale=scale, axis=axis)
    return partial(_squares, scale=scale)


def _squares(student: Tensor, teacher: Tensor, _: Tensor, *, scale: float) -> Tensor:
    return F.mse_loss(student, teacher) / scale


def _probabilities(student: Tensor, teacher: Tensor, sure: Tensor, *, scale: float) -> Tensor:
    return _squares(student, teacher, sure, scale=scale) + _bernoulli(student, teacher).mean()


def _bernoulli(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of two probabilities, element by element."""
    p, q = (value.clamp(_LEAST_SHARE, 1.0 - _LEAST_SHARE) for value in (teacher, student))
    return p * (p.log() - q.log()) + (1.0 - p) * (torch.log1p(-p) - torch.log1p(-q))


def _classes(student: Tensor, teacher: Tensor, sure: Tensor, *, scale: float, axis: int) -> Tensor:
    logs = F.kl_div(student.log_softmax(axis), teacher.log_softmax(axis), reduction="none", log_target=True)
    return _squares(student, teacher, sure, scale=scale) + logs.sum(axis).mean()


def _where_sure(student: Tensor, teacher: Tensor, sure: Tensor, *, scale: float) -> Tensor:
    weight = sure + _BACKGROUND
    return ((student - teacher).square().mean(-1, keepdim=True) * weight).sum() / weight.sum() / scale


def _scores(student: Tensor, teacher: Tensor, sure: Tensor) -> Tensor:
    weight = sure + _BACKGROUND
    return (_bernoulli(student.sigmoid(), sure) * weight).sum() / weight.sum()


def mean_parts(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """Return each output's mean distance over several inputs."""
    return {name: float(torch.stack([part[name] for part in parts]).mean()) for name in parts[0]}
