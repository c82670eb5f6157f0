"""Why a candidate was chosen or not, in sentences that a user reads."""

from __future__ import annotations

from collections.abc import Sequence

from quant.budget import FLOATS, Budget, Candidate, fast, pointless, surely_slower


def verdicts(tried: Sequence[Candidate], budget: Budget, offered: Sequence[str]) -> list[str]:
    """Return a sentence for every candidate, and one for what the target lacks."""
    lines = [verdict(candidate, budget) for candidate in tried]
    made = {candidate.precision for candidate in tried}
    absent = [name for name in ("int8", "mixed", "w8a16") if name not in offered and name not in made]
    if absent:
        lines.append(f"The target has no {names(absent)}.")
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
    if not fast(candidate, budget):
        text += f"; its {candidate.latency_ms:.2f} ms are over the {budget.max_latency_ms:g} ms allowed"
    return f"{text}."


def comparison(tried: Sequence[Candidate], budget: Budget) -> list[str]:
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
    sure = "" if surely_slower(rounded, best) else ", though their intervals overlap"
    times = f"{best.timed():.2f} ms against {late:.2f} ms{sure}"
    line = f"{best.precision} is both faster ({times}) and better than int8 here."
    if pointless(tried, budget) and not any(c.precision == "mixed" for c in tried):
        line += " So mixed and w8a16, which are no faster than int8, were not tried."
    return [line]


def reason(tried: Sequence[Candidate], meeting: Sequence[int], taken: int, budget: Budget) -> str:
    """Return why a candidate was taken, or how near the one that is kept came."""
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
    if not fast(candidate, budget) and candidate.latency_ms is not None and budget.max_latency_ms is not None:
        over = candidate.latency_ms - budget.max_latency_ms
        parts.append(
            f"it takes {candidate.latency_ms:.2f} ms, {over:.2f} ms over the {budget.max_latency_ms:g} ms allowed"
        )
    return parts


def advice(tried: Sequence[Candidate], budget: Budget, model: str) -> str:
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


def names(items: Sequence[str]) -> str:
    """List words in a sentence."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
