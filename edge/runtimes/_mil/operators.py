"""The table of operators: one small function each, registered by `@op`, with the parameters' published names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from edge.errors import EdgeError

Result = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Operator:
    """How to compute one operator, and which arguments it takes."""

    compute: Callable[..., Result]
    required: frozenset[str]
    accepted: frozenset[str]
    lists: frozenset[str]  # parameters that are a list of tensors
    widen: bool  # whether fp16 arguments are widened before, and the result rounded after

    def refuse(self, given: frozenset[str]) -> str:
        """Return what is wrong with an operation's parameter names, or an empty text."""
        if unknown := sorted(given - self.accepted):
            return f"has the unknown parameter {', '.join(unknown)}"
        if absent := sorted(self.required - given):
            return f"lacks the parameter {', '.join(absent)}"
        return ""


OPERATORS: dict[str, Operator] = {}


def op(*names: str, lists: tuple[str, ...] = (), widen: bool = True) -> Callable[..., Any]:
    """Register a function as the operators `names`; its parameters are the operator's, keyword by keyword."""

    def decorate(function: Callable[..., Result]) -> Callable[..., Result]:
        parameters: Mapping[str, inspect.Parameter] = inspect.signature(function).parameters
        entry = Operator(
            compute=function,
            required=frozenset(key for key, item in parameters.items() if item.default is inspect.Parameter.empty),
            accepted=frozenset(parameters),
            lists=frozenset(lists),
            widen=widen,
        )
        for name in names:
            if name in OPERATORS:
                raise EdgeError(f"MIL operator {name!r} is defined twice")
            OPERATORS[name] = entry
        return function

    return decorate


class UnsupportedForm(Exception):
    """A form of a known operator that is not implemented."""


def ints(value: Tensor | None, default: list[int] | None = None) -> list[int]:
    """Return a constant vector as a list, or `default` where the parameter was left out."""
    if value is None:
        return default or []
    return [int(item) for item in value.reshape(-1).tolist()]


def flags(value: Tensor | None, count: int) -> list[bool]:
    """Return a constant vector of booleans, all false where the parameter was left out."""
    return [False] * count if value is None else [bool(item) for item in value.reshape(-1).tolist()]
