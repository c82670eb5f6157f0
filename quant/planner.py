"""Which precision to try next, and which one to take: a policy over what was measured so far, without any IO.

Ladder: the float precisions a target has are the yardstick, then int8, mixed, w8a16, and at the end the advice to train
for 8 bits. The fastest candidate within the budget is taken, by latency that was measured here, or where none was by
size and then by the ladder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edge.errors import UsageError

Timing = Literal["native", "emulated", "unknown"]
FLOATS = ("fp16", "fp32")
LADDER = ("int8", "mixed", "w8a16")
DOUBLINGS = 2
_ORDER = {name: index for index, name in enumerate((*LADDER, *FLOATS))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Bound what may be lost: a share of the metric (0.01 is one percent), and the latency if that matters."""

    max_drop: float
    max_latency_ms: float | None = None

    @property
    def floor(self) -> float:
        """Return the least metric; 1 is that of the eager model against itself."""
        return 1.0 - self.max_drop


DEFAULT_BUDGET = Budget(max_drop=0.01)


def checked_budget(max_drop: float, max_latency_ms: float | None = None) -> Budget:
    """Return the budget; raises UsageError for a share outside of 0 to 1 or a latency that is not positive."""
    if not 0.0 <= max_drop < 1.0:
        raise UsageError(f"a drop of {max_drop:g} is no share of the metric; expected 0 to 1, for example 0.01 or 1%")
    if max_latency_ms is not None and not 0.0 < max_latency_ms < float("inf"):
        raise UsageError(f"a latency of {max_latency_ms:g} ms cannot be met; expected more than 0, for example 12ms")
    return Budget(max_drop=max_drop, max_latency_ms=max_latency_ms)


def parse_share(text: str) -> float:
    """Read a share of the metric such as 1% or 0.01; raises UsageError."""
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise UsageError(f"{text!r} is no share of the metric; expected for example 1% or 0.01") from None


def parse_milliseconds(text: str) -> float:
    """Read a latency such as 12ms or 12, in milliseconds; raises UsageError."""
    try:
        return float(text.removesuffix("ms"))
    except ValueError:
        raise UsageError(f"{text!r} is no latency in milliseconds; expected for example 12ms") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Hold what was measured of one artifact, or why there is none."""

    precision: str
    status: str = "ok"  # or why it was not made: refused, needs-sdk, failed, skipped
    reason: str = ""
    fault: str = ""  # why it must not be taken although it was measured: its outputs differ from the model's
    metric: str = ""
    value: float | None = None  # of the metric; None: it could not be executed or compared
    ci95: tuple[float, float] | None = None
    count: int = 0  # pictures that the value rests on
    latency_ms: float | None = None
    latency_ci95_ms: tuple[float, float] | None = None
    timing: Timing = "unknown"  # only a native latency is compared
    size_bytes: int = 0
    kept: int = 0  # layers that mixed keeps from 8 bits
    layers: int = 0  # of which it could keep so many

    @property
    def measured(self) -> bool:
        """Say whether it exists and its metric is known."""
        return self.status == "ok" and self.value is not None

    @property
    def drop(self) -> float:
        """Return what it lost of the metric; 1 if nothing is known."""
        return 1.0 if self.value is None else max(0.0, 1.0 - self.value)

    def timed(self) -> float | None:
        """Return the latency if it is this machine's own."""
        return self.latency_ms if self.timing == "native" else None


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
            first, f"the yardstick {_names([n for n in first if n in FLOATS]) or 'that the target lacks'}, and int8"
        )
    rounded = [candidate for candidate in tried if candidate.precision not in FLOATS]
    if any(_accurate(candidate, budget) for candidate in rounded) or _pointless(tried, budget):
        return _choose(tried, budget, model, offered)
    attempts = [candidate for candidate in tried if candidate.precision == "mixed"]
    if again := _double(attempts, budget):
        return again
    for name in LADDER:
        if name in offered and name not in done:
            return Make((name,), _because(rounded, name))
    return _choose(tried, budget, model, offered)


def _accurate(candidate: Candidate, budget: Budget) -> bool:
    return (
        candidate.value is not None
        and candidate.status == "ok"
        and not candidate.fault
        and candidate.value >= budget.floor
    )


def _fast(candidate: Candidate, budget: Budget) -> bool:
    """Say whether a candidate is in time; where latency cannot be measured here it is not judged."""
    latency = candidate.timed()
    return budget.max_latency_ms is None or latency is None or latency <= budget.max_latency_ms


def _meets(candidate: Candidate, budget: Budget) -> bool:
    return _accurate(candidate, budget) and _fast(candidate, budget)


def _pointless(tried: Sequence[Candidate], budget: Budget) -> bool:
    """Say whether int8 is slower than a float precision in budget by more than both intervals: mixed lies between."""
    rounded = next((c for c in tried if c.precision == "int8" and c.measured and c.timed()), None)
    floats = [c for c in tried if c.precision in FLOATS and _meets(c, budget) and c.timed()]
    return rounded is not None and any(_surely_slower(rounded, other) for other in floats)


def _surely_slower(candidate: Candidate, other: Candidate) -> bool:
    mine, theirs = candidate.latency_ci95_ms, other.latency_ci95_ms
    return mine is not None and theirs is not None and mine[0] > theirs[1]


def _double(attempts: Sequence[Candidate], budget: Budget) -> Make | None:
    """Return mixed once more with twice the kept layers if the last attempt exists, misses, and could keep more."""
    if not attempts or len(attempts) > DOUBLINGS:
        return None
    last = attempts[-1]
    if not last.measured or _accurate(last, budget) or last.kept >= last.layers:
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
    meeting = [index for index in known if _meets(tried[index], budget)]
    if not known:
        return _unmeasured(tried)
    if meeting:
        taken = min(meeting, key=lambda index: _speed_key(tried, meeting, index))
    else:
        taken = min(known, key=lambda index: _nearness(tried[index], budget))
    explanation = [
        *_verdicts(tried, budget, offered),
        *_comparison(tried, budget),
        _reason(tried, meeting, taken, budget),
    ]
    if not any(_accurate(tried[i], budget) and tried[i].precision not in FLOATS for i in known):
        explanation.append(_advice(tried, budget, model))
    return Chosen(taken, bool(meeting), tuple(explanation))


def _unmeasured(tried: Sequence[Candidate]) -> Chosen:
    """Take what needs no accuracy budget to be trusted: the first float that was made, or the first of all."""
    made = [index for index, candidate in enumerate(tried) if candidate.status == "ok"]
    floats = [index for index in made if tried[index].precision in FLOATS]
    lines = [f"{c.precision} was not made: {c.status}, {c.reason}" for c in tried if c.status != "ok"]
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


def _verdicts(tried: Sequence[Candidate], budget: Budget, offered: Sequence[str]) -> list[str]:
    lines = [verdict(candidate, budget) for candidate in tried]
    made = {candidate.precision for candidate in tried}
    absent = [name for name in ("int8", "mixed", "w8a16") if name not in offered and name not in made]
    if absent:
        lines.append(f"The target has no {_names(absent)}.")
    return lines


def verdict(candidate: Candidate, budget: Budget) -> str:
    """Return what came of one candidate as a sentence."""
    name = candidate.precision + (f" with {candidate.kept} of {candidate.layers} layers kept" if candidate.kept else "")
    if candidate.status != "ok":
        return f"{name} was not built: {candidate.status}{f', {candidate.reason}' if candidate.reason else ''}."
    if candidate.value is None:
        why = f": {candidate.reason}" if candidate.reason else ""
        return f"{name} was built, but its accuracy could not be measured{why}."
    word = "is within" if candidate.value >= budget.floor else "misses"
    text = (
        f"{name} has {candidate.metric} {candidate.value:.4f} on {candidate.count} pictures, a loss of "
        f"{percent(candidate.drop)}, and {word} the {percent(budget.max_drop)} allowed"
    )
    if candidate.ci95 and candidate.ci95[0] < budget.floor <= candidate.ci95[1]:
        low, high = candidate.ci95
        text += f" (its 95 % interval {low:.4f} to {high:.4f} holds the limit: more pictures would tell)"
    if candidate.fault:
        text += f"; it cannot be taken, for its outputs differ from the model's: {candidate.fault}"
    if not _fast(candidate, budget):
        text += f"; its {candidate.latency_ms:.2f} ms are over the {budget.max_latency_ms:g} ms allowed"
    return f"{text}."


def _comparison(tried: Sequence[Candidate], budget: Budget) -> list[str]:
    """Say so where a float precision is both faster and closer to the model than int8."""
    rounded = next((c for c in tried if c.precision == "int8" and c.measured), None)
    if rounded is None or (late := rounded.timed()) is None:
        return []
    better = [
        c
        for c in tried
        if c.precision in FLOATS and c.measured and c.drop <= rounded.drop and (c.timed() or late) < late
    ]
    if not better:
        return []
    best = min(better, key=lambda candidate: candidate.timed() or 0.0)
    sure = "" if _surely_slower(rounded, best) else ", though their intervals overlap"
    times = f"{best.timed():.2f} ms against {late:.2f} ms{sure}"
    line = f"{best.precision} is both faster ({times}) and better than int8 here."
    if _pointless(tried, budget) and not any(c.precision == "mixed" for c in tried):
        line += " So mixed and w8a16, which are no faster than int8, were not tried."
    return [line]


def _reason(tried: Sequence[Candidate], meeting: Sequence[int], taken: int, budget: Budget) -> str:
    candidate = tried[taken]
    if not meeting:
        faults = " and ".join(_faults(candidate, budget))
        return f"Nothing meets the budget; {candidate.precision} comes nearest and is kept: {faults}."
    unjudged = ""
    if budget.max_latency_ms is not None and candidate.timed() is None:
        unjudged = f" Whether it takes at most {budget.max_latency_ms:g} ms is not known: it cannot be timed here."
    if len(meeting) == 1:
        return f"{candidate.precision} is chosen: nothing else that was built meets the budget.{unjudged}"
    if all(tried[index].timed() is not None for index in meeting):
        time = f"{candidate.timed():.2f} ms"
        return f"{candidate.precision} is chosen: at {time} on this host it is the fastest within the budget."
    size = f"{candidate.size_bytes / 1e6:.2f} MB"
    return (
        f"{candidate.precision} is chosen: it is the smallest within the budget ({size}); which one is fastest on the "
        f"device cannot be measured here.{unjudged}"
    )


def _faults(candidate: Candidate, budget: Budget) -> list[str]:
    """Return what keeps a candidate from the budget, as parts of a sentence."""
    parts = ["its outputs differ from the model's"] if candidate.fault else []
    if (far := candidate.drop - budget.max_drop) > 0:
        lost, allowed = percent(candidate.drop), percent(budget.max_drop)
        parts.append(f"it loses {lost} where {allowed} is allowed, {percent(far)} too much")
    if not _fast(candidate, budget) and candidate.latency_ms is not None and budget.max_latency_ms is not None:
        over = candidate.latency_ms - budget.max_latency_ms
        parts.append(
            f"it takes {candidate.latency_ms:.2f} ms, {over:.2f} ms over the {budget.max_latency_ms:g} ms allowed"
        )
    return parts


def _advice(tried: Sequence[Candidate], budget: Budget, model: str) -> str:
    """Return the advice to train for 8 bits, for a model that loses too much in every rounded precision."""
    rounded = [candidate for candidate in tried if candidate.precision not in FLOATS and candidate.measured]
    if not rounded:
        return "Nothing with 8-bit weights could be measured, so whether 8 bits would do is not known."
    best = min(rounded, key=lambda candidate: candidate.drop)
    return (
        f"With 8-bit weights the least loss is {percent(best.drop)} ({best.precision}); training for 8 bits may win "
        f"the rest: edge train {model} --qat, then deploy its checkpoint."
    )


def percent(share: float) -> str:
    """Format a share of the metric."""
    return f"{100 * share:.2f} %" if share < 0.1 else f"{100 * share:.1f} %"


def _names(items: Sequence[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
