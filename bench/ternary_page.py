"""The tables of `python -m bench.ternary`, and docs/ternary_bench.md around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.ternary_record import Measured, Record, Spread, Timing, bandwidth, cache_rate, ratio, roofline_ms

PROSE = Path(__file__).with_name("ternary.md")
_MARK, _PLOT_MARK = "<!-- tables -->\n", "PLOT"
_RIVAL = "XNNPACK int8 (ExecuTorch)"
_LEAST_RATIO, _LEAST_SHARE = 1.5, 0.85


def page(record: Record, plot: str) -> str:
    """Return the page: the prose that lies beside this module, with the tables of a record and its plot."""
    before, after = PROSE.read_text().split(_MARK)
    return (before + tables(record) + "\n" + after).replace(_PLOT_MARK, plot)


def tables(record: Record) -> str:
    """Return what was measured as Markdown: a table for every number of activation rows, and the targets."""
    counts = sorted({case.rows for case in record.cases})
    lines = [*_header(record), *(line for rows in counts for line in _table(record, rows)), *_roofline(record)]
    return "\n".join([*lines, *_targets(record)]) + "\n"


def _header(record: Record) -> Iterator[str]:
    threads = f"{record.threads} thread{'s' * (record.threads > 1)}"
    clock = "" if record.clock == "wall" else " on the clock of the calling thread"
    yield f"{record.machine}, last-level cache {record.cache_bytes >> 20} MiB; {record.date}; {threads}; medians of"
    yield f"{record.rounds} rounds in ms{clock} (95 % bootstrap interval; least). {'; '.join(record.versions)}."
    yield ""


def _table(record: Record, rows: int) -> Iterator[str]:
    cases = record.of_rows(rows)
    yield f"### {f'GEMV, M = {rows}' if rows == 1 else f'GEMM, M = {rows}'}"
    yield ""
    yield f"| | bits a weight | {' | '.join(_size(case) for case in cases)} |"
    yield f"| --- | --: | {' | '.join('--:' for _ in cases)} |"
    for timing in cases[-1].timings:
        of_cases = [next((found for found in case.timings if found.name == timing.name), None) for case in cases]
        cells = [_cell(found, case) for found, case in zip(of_cases, cases, strict=True)]
        name = f"**{timing.name}**" if timing.ours else timing.name
        bits = next((f"{found.stored_bits:.2f}" for found in reversed(of_cases) if found and found.stored_bits), "–")
        yield f"| {name} | {bits} | {' | '.join(cells)} |"
    yield ""
    yield from _reasons(cases)


def _size(case: Measured) -> str:
    return f"{case.columns}×{case.outputs}"


def _cell(timing: Timing | None, case: Measured) -> str:
    if timing is None or not timing.rounds_ms:
        return timing.reason.split(":")[0] if timing else "–"
    text = f"{_figure(timing.time)[:-1]}; {timing.least_ms:.3g})"
    fastest = min(case.timed(), key=lambda found: found.time.median)
    return f"**{text}**" if timing is fastest else text


def _figure(value: Spread) -> str:
    return f"{value.median:.3g} ({value.low:.3g}–{value.high:.3g})"


def _reasons(cases: Sequence[Measured]) -> Iterator[str]:
    """Yield why variants have no time, each reason once."""
    found = {f"- {timing.name}: {timing.reason}" for case in cases for timing in case.timings if timing.reason}
    yield from sorted(found)
    if found:
        yield ""


def _roofline(record: Record) -> Iterator[str]:
    """Yield what reading memory allows, and how near to it the kit's kernels come, of cases beyond the cache."""
    cases = [case for case in record.cases if case.reads and record.is_beyond(case)]
    if not cases:
        return
    yield "### Beyond the cache: what is possible"
    yield ""
    for case in cases:
        for read in case.reads:
            if read.rounds_ms:
                yield f"- {_size(case)}: {read.name}: {bandwidth(read) / 1e9:.1f} GB/s"
    yield ""
    yield "| | reads | time in ms | roofline in ms | share |"
    yield "| --- | --: | --: | --: | --: |"
    for case in cases:
        for timing in case.timed():
            if timing.ours and (limit := roofline_of(record, case, timing)):
                cells = (f"{timing.read_bytes / 1e6:.1f} MB", f"{timing.time.median:.3g}", f"{limit:.3g}")
                share = f"{100 * limit / timing.time.median:.0f} %"
                yield f"| **{timing.name}** {_size(case)}, M = {case.rows} | {' | '.join(cells)} | {share} |"
    yield ""


def roofline_of(record: Record, case: Measured, timing: Timing) -> float:
    """Return the least time in ms of a variant beyond the cache, 0 if the run does not tell."""
    inside = [found for found in record.of_rows(case.rows) if not record.is_beyond(found)]
    rate = cache_rate(inside, timing.name)
    read = case.read(record.threads)
    return roofline_ms(timing, case.case.weights, read, rate) if read and rate else 0.0


def _targets(record: Record) -> Iterator[str]:
    """Yield the targets of the kernels and what this run says of each."""
    lines = [line for case in record.cases if case.columns >= 1024 for line in _judged(record, case)]
    if not lines:
        return
    yield "### Targets"
    yield ""
    yield "| case | target | measured | |"
    yield "| --- | --- | --- | --- |"
    yield from lines
    yield ""


def _judged(record: Record, case: Measured) -> Iterator[str]:
    ours, rival = case.best(ours=True), case.best(ours=False)
    if ours is None:
        return
    name = f"M = {case.rows}, {_size(case)}"
    if case.rows == 128:
        rival = case.named(_RIVAL)
    if rival is not None:
        found = ratio(rival, ours)
        least = _LEAST_RATIO if record.is_beyond(case) else 1.0
        target = f"{least:g}× the best peer" if case.rows < 128 else f"no slower than {_RIVAL}"
        yield f"| {name} | {target} | {_figure(found)}× {rival.name} | {_verdict(found, least)} |"
    limit = roofline_of(record, case, ours) if record.is_beyond(case) else 0.0
    if limit:
        share = limit / ours.time.median
        yield (
            f"| {name} | {100 * _LEAST_SHARE:.0f} % of the roofline | {100 * share:.0f} % ({ours.name}) "
            f"| {'met' if share >= _LEAST_SHARE else 'missed'} |"
        )


def _verdict(found: Spread, least: float) -> str:
    """Return whether a ratio reaches what it should, and whether the interval leaves that open."""
    verdict = "met" if found.median >= least else "missed"
    return f"{verdict}, within the noise" if found.low < least <= found.high else verdict
