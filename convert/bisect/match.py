"""Match the tensors that an artifact computed with the operators of the program that it was made from.

The program is run eagerly in order, and an operator's value is replaced by the artifact's tensor as soon as that is
found, so that errors do not add up on the way. By name first: values of ONNX and Core ML files are called after the
exported operators, some converters write them as tags. The others by value: the same number of elements in channels
first or last, and no further off than rounding explains. Where a wrong operator breaks the way, each place that its
tensor could have is tried, and the one after which most of the program agrees again is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import Node

from convert.bisect.network import Network
from convert.bisect.policy import FLOORS, OwnError
from edge.runtimes._taps import Tap

How = Literal["name", "value", "output"]
Array = NDArray[Any]
_TAG = re.compile(r"edge/([A-Za-z0-9_.]+);")
_CAST = re.compile(r"_cast_fp(?:16|32)$|_to_fp(?:16|32)$|_dtype$|_DequantizeLinear_Output(?:_\d+)?$")
_SAMPLES = 1024
_PREFILTER = 3.0  # a sample may be this much further off than the whole
_ORDERS: Mapping[int, tuple[tuple[int, ...], ...]] = {4: ((0, 3, 1, 2), (0, 2, 3, 1)), 3: ((0, 2, 1),)}
_REPAIRS, _PLACES, _TAPS = 4, 6, 4


@dataclass(frozen=True, slots=True)
class Match:
    """A tensor of the artifact in the shape and order of axes of an operator's value, and how it was found."""

    tap: Tap
    value: Array
    how: How


@dataclass(frozen=True, slots=True)
class Walk:
    """One way through the program: what each operator gives on the artifact's own tensors, and the matches."""

    own: Mapping[Node, Tensor]
    matches: Mapping[Node, Match]


def match_taps(network: Network, taps: Sequence[Tap], outputs: Mapping[Node, Match], precision: str) -> Walk:
    """Return the matches and every operator's result on the artifact's own tensors; no tap serves two operators."""
    limit = FLOORS[precision]
    given = {id(match.tap) for match in outputs.values()}
    free = [tap for tap in taps if id(tap) not in given and tap.value.size]
    fixed = dict(outputs)
    walk = _walk(network, free, fixed, limit)
    for _ in range(_REPAIRS):
        better = _repaired(network, free, fixed, walk, limit)
        if better is None:
            break
        fixed, walk = better
    return walk


def arrangements(value: Array, shape: tuple[int, ...]) -> Iterator[Array]:
    """Yield a tensor in the orders of axes that give it a shape; axes of size 1 are left out and put in as needed."""
    if value.size != int(np.prod(shape)):
        return
    wide = tuple(size for size in shape if size != 1)
    seen: set[tuple[int, ...]] = set()
    for order in ((*range(value.ndim),), *_ORDERS.get(value.ndim, ())):
        kept = tuple(axis for axis in order if value.shape[axis] != 1)
        if kept not in seen and tuple(value.shape[axis] for axis in kept) == wide:
            yield value.transpose(order).reshape(shape)
        seen.add(kept)


def own_error(value: Array, right: Array, step: float, reach: float = 0.0) -> OwnError:
    """Measure a tensor against the right one; `reach`, the rms of what it was computed from, bounds cancellation."""
    a, b = value.astype(np.float64).reshape(-1), right.astype(np.float64).reshape(-1)
    if a.size == 0:
        return OwnError(0.0, 1.0, step)
    with np.errstate(all="ignore"):
        unequal = ~((a == b) | (np.isnan(a) & np.isnan(b)))
        difference = float(np.sqrt(np.mean(np.where(unequal, a - b, 0.0) ** 2)))
        scale = max(float(np.sqrt(np.mean(b**2))), 1e-3 * reach)
    return OwnError(difference, scale if np.isfinite(scale) else 1.0, step)


def _walk(network: Network, free: Sequence[Tap], fixed: Mapping[Node, Match], limit: float) -> Walk:
    """Run the program once; `fixed` matches stand, others are looked for among the free taps."""
    values: dict[Node, Any] = dict(network.values)
    own: dict[Node, Tensor] = {}
    matches: dict[Node, Match] = {}
    used = {id(match.tap) for match in fixed.values()}
    named = _names([tap for tap in free if id(tap) not in used])
    wanted = {node.name for node in network.tensors()}
    reserved = {id(tap) for name, found in named.items() if name in wanted for tap in found}
    pool: dict[int, list[Tap]] = {}
    for tap in free:
        pool.setdefault(tap.value.size, []).append(tap)
    for node in network.nodes:
        if node.op != "call_function" or node not in network.variable:
            continue
        values[node] = network.compute(node, values)
        if not isinstance(values[node], Tensor):
            continue
        own[node] = values[node]
        match = fixed.get(node) or _find(node, own[node], named.get(node.name, ()), pool, used, reserved, limit)
        if match is not None:
            used.add(id(match.tap))
            matches[node] = match
            values[node] = torch.from_numpy(np.ascontiguousarray(match.value)).to(own[node].dtype)
    return Walk(own, matches)


def _find(
    node: Node,
    own: Tensor,
    named: Sequence[Tap],
    pool: Mapping[int, Sequence[Tap]],
    used: set[int],
    reserved: set[int],
    limit: float,
) -> Match | None:
    right = own.numpy()
    called = _closest([tap for tap in named if id(tap) not in used], right, limit=float("inf"))
    if called is not None and called[0] <= limit:
        return Match(called[1], called[2], "name")
    others = pool.get(right.size, ())
    near = _closest([tap for tap in others if id(tap) not in used and id(tap) not in reserved], right, limit)
    if near is None and called is not None:  # the exporter numbered its names anew
        near = _closest([tap for tap in others if id(tap) not in used], right, limit)
    if near is not None:
        return Match(near[1], near[2], "value")
    return None if called is None else Match(called[1], called[2], "name")


def _closest(taps: Sequence[Tap], right: Array, limit: float) -> tuple[float, Tap, Array] | None:
    """Return the tap that is least off, the first of several, if it is within the limit."""
    best: tuple[float, Tap, Array] | None = None
    places = _places(right.size)
    sample = right.reshape(-1)[places]
    for tap in taps:
        for value in arrangements(tap.value, right.shape):
            near = own_error(value.reshape(-1)[places], sample, tap.step).excess
            if near > _PREFILTER * limit and best is not None:
                continue
            if near > _PREFILTER * limit and np.isfinite(limit):
                continue
            error = own_error(value, right, tap.step).excess
            if error <= limit and (best is None or error < 0.5 * best[0]):
                best = (error, tap, value)
    return best


def _places(size: int) -> NDArray[np.int64]:
    if size <= _SAMPLES:
        return np.arange(size)
    return np.random.default_rng(size).integers(0, size, _SAMPLES)


def _names(taps: Sequence[Tap]) -> dict[str, list[Tap]]:
    named: dict[str, list[Tap]] = {}
    for tap in taps:
        for name in dict.fromkeys((tap.name, _CAST.sub("", tap.name), *_TAG.findall(tap.name)[:1])):
            named.setdefault(name, []).append(tap)
    return named


def _repaired(
    network: Network, free: Sequence[Tap], fixed: dict[Node, Match], walk: Walk, limit: float
) -> tuple[dict[Node, Match], Walk] | None:
    """Give the first broken stretch's operators free taps, one at a time; return the best if more of it agrees then."""
    broken = _first_broken(network, walk, limit)
    if broken is None:
        return None
    used = {id(match.tap) for match in walk.matches.values()}
    known = dict.fromkeys(walk.matches)
    last = max((walk.matches[node].tap.operator for node in network.stretch(broken, known).inputs
                if node in walk.matches), default=-1)  # fmt: skip
    inner = [node for node in network.stretch(broken, known).operators[:-1] if node in walk.own]
    best: tuple[tuple[int, float, float], dict[Node, Match], Walk] | None = None
    tried = 0
    for node in inner:
        right = walk.own[node].numpy()
        fitting = [tap for tap in free if id(tap) not in used and tap.operator > last and tap.value.size == right.size]
        for tap in fitting[:_TAPS]:
            near = _closest([tap], right, float("inf"))
            if near is None:
                continue
            trial = {**fixed, node: Match(tap, near[2], "value")}
            found = _walk(network, free, trial, limit)
            gain = len(found.matches) - len(walk.matches) - 1 + _mended(found, walk, limit)
            rank = (gain, -_other_signs(near[2], right), -near[0])
            if gain > 0 and (best is None or rank > best[0]):
                best = (rank, trial, found)
        tried += bool(fitting)
        if tried == _PLACES:
            break
    return None if best is None else best[1:]


def _other_signs(value: Array, right: Array) -> float:
    """Return in tenths by how much the shares of negative numbers differ: a fused ReLU leaves none."""
    return round(abs(float(np.mean(value < 0)) - float(np.mean(right < 0))), 1)


def _mended(after: Walk, before: Walk, limit: float) -> int:
    """Return how many fewer of the matches that both walks have are off."""
    both = after.matches.keys() & before.matches.keys()
    return sum(_excess(before, node) > limit for node in both) - sum(_excess(after, node) > limit for node in both)


def _excess(walk: Walk, node: Node) -> float:
    match = walk.matches[node]
    return own_error(match.value, walk.own[node].numpy(), match.tap.step).excess


def _first_broken(network: Network, walk: Walk, limit: float) -> Node | None:
    """Return the first matched operator that is off and has operators without a tap before it."""
    for node in sorted(walk.matches, key=network.order.__getitem__):
        if _excess(walk, node) > limit and len(network.stretch(node, dict.fromkeys(walk.matches)).operators) > 1:
            return node
    return None
