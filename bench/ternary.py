"""`python -m bench.ternary`: the ternary kernels and every peer at hand, interleaved in one run.

Every runtime lives in a process of its own. A case's variants are prepared, compared with a float64 reference, and
timed in rounds: each round runs a short batch of every variant in a new random order, so that a busy spell of the
machine falls on all of them. Where weights are larger than the last-level cache, reading memory is one more variant.
"""

from __future__ import annotations

import argparse
import datetime
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from bench.ternary_page import page, tables
from bench.ternary_peers import RUNTIMES, Case, Peer, package_version, peers_of
from bench.ternary_peers.bandwidth import cache_bytes
from bench.ternary_problem import write_problem, write_weights
from bench.ternary_record import Measured, Record, Timing
from bench.ternary_runner import Runner
from edge.errors import UsageError
from edge.profile.machine import host_name

PAGE, PLOT, RECORD = Path("docs/ternary_bench.md"), Path("docs/ternary_bench.png"), Path("out/ternary_bench.json")
ROWS = (1, 8, 128)
SIDES = (1024, 2048, 4096)
_BEYOND = (8192, 32768)  # at least, K × N
_TIMES_CACHE = 1.5  # the least that the densest weights take there
_OVERHEAD_SIDE = 256  # a product so small that the call is most of what is timed


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, or read what an earlier run measured, and write the page; returns 1 if a peer is wrong or failed."""
    options = _parse(arguments)
    if options.render:
        record = msgspec.json.decode(options.record.read_bytes(), type=Record)
    else:
        record = measure(options)
        options.record.parent.mkdir(parents=True, exist_ok=True)
        options.record.write_bytes(msgspec.json.format(msgspec.json.encode(record)))
    print(tables(record))
    if not options.quick:
        from bench.ternary_plot import plot

        options.page.write_text(page(record, options.plot.name))
        plot(record, options.plot)
        print(f"{options.page}, {options.plot}, {options.record}", file=sys.stderr)
    failed = [
        f"{case.case}, {timing.name}: {timing.reason}"
        for case in record.cases
        for timing in case.timings
        if timing.reason and not timing.reason.startswith("missing")
    ]
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.ternary", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: for busy machines, one thread")
    parser.add_argument("--rounds", type=int, default=0, help="default 21, or 3 with --quick")
    parser.add_argument("--batch-ms", type=float, default=0.0, help="of one variant in one round; default 20, or 2")
    parser.add_argument("--runtimes", nargs="+", default=list(RUNTIMES), choices=RUNTIMES)
    parser.add_argument("--cases", nargs="+", default=[], metavar="MxKxN", help="instead of the usual ones")
    parser.add_argument("--quick", action="store_true", help="a smoke test: tiny cases, nothing but the record written")
    parser.add_argument("--render", action="store_true", help="write the page from the record of an earlier run")
    parser.add_argument("--record", type=Path, default=RECORD, help="where the raw samples go")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--plot", type=Path, default=PLOT)
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (3 if options.quick else 21)
    options.batch_ms = options.batch_ms or (2.0 if options.quick else 20.0)
    if options.threads < 1 or options.rounds < 1 or options.batch_ms <= 0:
        parser.error("--threads, --rounds and --batch-ms are positive")
    if options.clock == "cpu" and options.threads != 1:
        parser.error("--clock cpu times the calling thread alone; add --threads 1")
    options.cases = [_case(text) for text in options.cases] or list(usual_cases(options.quick, cache_bytes()))
    return options


def _case(text: str) -> Case:
    sizes = text.lower().replace("×", "x").split("x")
    if len(sizes) != 3 or not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise UsageError(f"{text!r} is no case; expected rows, columns and outputs such as 1x2048x2048")
    return Case(*map(int, sizes))


def usual_cases(quick: bool, cache: int) -> Iterator[Case]:
    """Yield what is measured on a machine with a last-level cache of so many bytes."""
    yield Case(1, _OVERHEAD_SIDE, _OVERHEAD_SIDE)
    if quick:
        yield Case(8, 256, 384)
        return
    for side in SIDES:
        yield from (Case(rows, side, side) for rows in ROWS)
    columns, outputs = _BEYOND
    while columns * outputs * 1.6 / 8 < _TIMES_CACHE * cache:
        outputs *= 2
    yield Case(1, columns, outputs)


def measure(options: argparse.Namespace) -> Record:
    """Run every case; runtimes whose packages are missing are in the record with the reason."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ternary-")))
        runners = {
            name: stack.enter_context(Runner(name, options.threads)) for name in (*options.runtimes, "bandwidth")
        }
        cases = []
        for case in options.cases:
            cases.append(_measure(case, runners, folder, options))
        _progress("")
        versions = tuple(package_version(name) for name in options.runtimes)
    return Record(
        machine=host_name(), date=datetime.date.today().isoformat(), threads=options.threads, clock=options.clock,
        rounds=options.rounds, cache_bytes=cache_bytes(), versions=versions, cases=tuple(cases),
    )  # fmt: skip


def _measure(case: Case, runners: dict[str, Runner], folder: Path, options: argparse.Namespace) -> Measured:
    weights = write_weights(folder, case)
    write_problem(weights, case)
    beyond = case.weights * 1.6 / 8 > cache_bytes()
    present = [(runner, peer) for name in options.runtimes for runner in [runners[name]] for peer in peers_of(name)]
    reads = [(runners["bandwidth"], peer) for peer in peers_of("bandwidth")] if beyond else []
    started: dict[str, dict[str, object]] = {}
    for runner, peer in (*present, *reads):
        _progress(f"{case}: preparing {peer.name}")
        started[peer.name] = runner.ask(do="prepare", peer=peer.name, folder=str(weights), batch_ms=options.batch_ms)
    ready = [entry for entry in (*present, *reads) if "reason" not in started[entry[1].name]]
    samples = _rounds(case, ready, started, options)
    for runner in runners.values():
        runner.ask(do="release")
    return Measured(
        case.rows, case.columns, case.outputs,
        timings=tuple(_timing(peer, started[peer.name], samples) for _, peer in present),
        reads=tuple(_timing(peer, started[peer.name], samples) for _, peer in reads),
    )  # fmt: skip


Samples = dict[str, list[tuple[float, float]]]  # medians and least times of rounds


def _rounds(
    case: Case,
    ready: list[tuple[Runner, Peer]],
    started: dict[str, dict[str, object]],
    options: argparse.Namespace,
) -> Samples:
    samples: Samples = {peer.name: [] for _, peer in ready}
    order = list(ready)
    for index in range(options.rounds):
        _progress(f"{case}: round {index + 1} of {options.rounds}")
        random.shuffle(order)
        for runner, peer in order:
            answer = runner.ask(do="time", peer=peer.name, calls=started[peer.name]["calls"], clock=options.clock)
            if "reason" in answer:
                started[peer.name] = answer
                samples[peer.name].clear()
                order = [entry for entry in order if entry[1] is not peer]
            else:
                samples[peer.name].append((float(answer["median_ms"]), float(answer["least_ms"])))
    return samples


def _progress(text: str) -> None:
    """Show what is done now in the last line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r{text:<70}{'' if text else chr(10)}", end="", file=sys.stderr, flush=True)


def _timing(peer: Peer, started: dict[str, object], samples: Samples) -> Timing:
    found = samples.get(peer.name) or []
    return Timing(
        name=peer.name, ours=peer.ours, reason=str(started.get("reason", "")),
        stored_bits=_number(started.get("stored_bits")), read_bytes=_number(started.get("read_bytes")),
        error=_number(started.get("error")), rounds_ms=tuple(median for median, _ in found),
        least_ms=min((least for _, least in found), default=0.0),
    )  # fmt: skip


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


if __name__ == "__main__":
    raise SystemExit(main())
