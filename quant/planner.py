"""Which precision to try next, and which one to take: a policy over what was measured so far, without any IO.

Ladder: the float precisions a target has are the yardstick, then int8, mixed, w8a16, and at the end the advice to train
for 8 bits. The fastest candidate within the budget is taken, by latency that was measured here, or where none was by
size and then by the ladder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quant.budget import FLOATS, Budget, Candidate, accurate, meets, pointless
from quant.explain import advice, comparison, names, percent, reason, verdicts

LADDER = ("int8", "mixed", "w8a16")
DOUBLINGS = 2
MOST_KEPT = 0.75  # of the layers; with more, too little is left in 8 bits to gain size or speed
_ORDER = {name: index for index, name in enumerate((*LADDER, *FLOATS))}


@dataclass(frozen=True, slots=True)
class Make:
    """Ask for candidates; `doublings` says how often mixed's kept layers are doubled."""

    precisions: tuple[str, ...]
    why: str
    doublings: int = 0


@dataclass(frozen=True, slots=True)
class Chosen:
    """Take one of the candidates, by index; None if there is nothing to take. `met` says whether it is in budget."""

    index: int | None
    met: bool
    explanation: tuple[str, ...]


def next_step(
    tried: Sequence[Candidate], offered: Sequence[str], budget: Budget, *, model: str = "MODEL"
) -> Make | Chosen:
    """Return what to make next, or what to take and why; `offered` are the target's precisions."""
    done = {candidate.precision for candidate in tried}
    first = tuple(name for name in (*FLOATS, "int8") if name in offered and name not in done)
    if not done and first:
        return Make(
            first, f"the yardstick {names([n for n in first if n in FLOATS]) or 'that the target lacks'}, and int8"
        )
    rounded = [candidate for candidate in tried if candidate.precision not in FLOATS]
    if any(accurate(candidate, budget) for candidate in rounded) or pointless(tried, budget):
        return _choose(tried, budget, model, offered)
    attempts = [candidate for candidate in tried if candidate.precision == "mixed"]
    if again := _double(attempts, budget):
        return again
    for name in LADDER:
        if name in offered and name not in done:
            return Make((name,), _because(rounded, name))
    return _choose(tried, budget, model, offered)


def _double(attempts: Sequence[Candidate], budget: Budget) -> Make | None:
    """Return mixed once more with twice the kept layers if the last attempt misses and enough would stay in 8 bits."""
    if not attempts or len(attempts) > DOUBLINGS:
        return None
    last = attempts[-1]
    if not last.measured or accurate(last, budget) or 2 * last.kept > MOST_KEPT * last.layers:
        return None
    why = f"mixed with {last.kept} kept layers loses {percent(last.drop)}: twice as many are kept"
    return Make(("mixed",), why, doublings=len(attempts))


def _because(rounded: Sequence[Candidate], name: str) -> str:
    last = rounded[-1] if rounded else None
    if last is None:
        return f"{name} is the first of the ladder that the target has"
    lost = (
        f"loses {percent(last.drop)}"
        if last.measured
        else "could not be measured"
        if last.status == "ok"
        else last.status
    )
    return f"{last.precision} {lost}, so {name} is next"


def _choose(tried: Sequence[Candidate], budget: Budget, model: str, offered: Sequence[str]) -> Chosen:
    known = [index for index, candidate in enumerate(tried) if candidate.measured]
    meeting = [index for index in known if meets(tried[index], budget)]
    if not known:
        return _unmeasured(tried)
    if meeting:
        taken = min(meeting, key=lambda index: _speed_key(tried, meeting, index))
    else:
        taken = min(known, key=lambda index: _nearness(tried[index], budget))
    explanation = [
        *verdicts(tried, budget, offered),
        *comparison(tried, budget),
        reason(tried, meeting, taken, budget),
    ]
    if not any(accurate(tried[i], budget) and tried[i].precision not in FLOATS for i in known):
        explanation.append(advice(tried, budget, model))
    return Chosen(taken, bool(meeting), tuple(explanation))


def _unmeasured(tried: Sequence[Candidate]) -> Chosen:
    """Take what needs no accuracy budget to be trusted: the first float that was made, or the first of all."""
    made = [index for index, candidate in enumerate(tried) if candidate.status == "ok"]
    floats = [index for index in made if tried[index].precision in FLOATS]
    lines = [f"{c.precision} was not made: {c.status}, {c.reason}." for c in tried if c.status != "ok"]
    if not made:
        return Chosen(None, False, (*lines, "Nothing could be built, so nothing was chosen."))
    taken = (floats or made)[0]
    word = tried[taken].precision
    lines.append(
        f"No artifact of this target can be executed and compared here, so the budget could not be judged; {word} is "
        "kept because it rounds least."
    )
    return Chosen(taken, False, tuple(lines))


def _speed_key(tried: Sequence[Candidate], among: Sequence[int], index: int) -> tuple[float, float, int]:
    """Order by measured latency if all have one, by size and ladder otherwise."""
    candidate = tried[index]
    latency = candidate.timed()
    by_latency = latency is not None and all(tried[other].timed() is not None for other in among)
    speed = latency if by_latency and latency is not None else float(candidate.size_bytes)
    return speed, candidate.drop, _ORDER.get(candidate.precision, len(_ORDER))


def _nearness(candidate: Candidate, budget: Budget) -> tuple[bool, float, float, int]:
    """Order candidates that miss by how far: those that differ last, then by accuracy, then by latency."""
    excess = max(0.0, budget.floor - (candidate.value or 0.0))
    late = 0.0
    if (latency := candidate.timed()) is not None and budget.max_latency_ms:
        late = max(0.0, latency - budget.max_latency_ms)
    return bool(candidate.fault), excess, late, _ORDER.get(candidate.precision, len(_ORDER))
