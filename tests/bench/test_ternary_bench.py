"""The figures and tables of `make bench-ternary`, and a run of it on tiny products."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.ternary import main, usual_cases
from bench.ternary_page import page, tables
from bench.ternary_peers import RUNTIMES, Case, peers_of
from bench.ternary_problem import write_problem, write_weights
from bench.ternary_record import Measured, Record, Timing, bandwidth, ratio, relative_error, roofline_ms, spread
from edge.errors import MissingError, UsageError

MIB = 1 << 20


def timing(name: str, *rounds: float, ours: bool = False, read: float = 0.0, reason: str = "") -> Timing:
    return Timing(
        name, ours=ours, stored_bits=2.0 if rounds else 0.0, read_bytes=read, reason=reason, rounds_ms=rounds,
        least_ms=min(rounds, default=0.0),
    )  # fmt: skip


def record() -> Record:
    """Return a run in which one thread reads 10 bytes a nanosecond."""
    weights = 8192 * 32768
    read = timing("read, 1 thread", 1.0, 1.0, read=1e7)
    inside = Measured(
        1, 1024, 1024, (timing("ours t2", 0.01, 0.01, ours=True, read=MIB / 4), timing("peer", 0.02, 0.04))
    )
    beyond = Measured(
        1, 8192, 32768,
        (timing("ours t2", 7.0, 8.0, ours=True, read=weights / 4), timing("peer", 9.0, 9.0),
         timing("absent", reason="missing: no package")),
        reads=(read,),
    )  # fmt: skip
    panel = Measured(128, 2048, 2048, (timing("ours t2", 3.0, ours=True), timing("XNNPACK int8 (ExecuTorch)", 2.4)))
    return Record("a machine", "2026-01-02", 1, "wall", 2, 32 * MIB, ("lib 1",), (inside, beyond, panel))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=40))
def test_an_interval_holds_the_median(values: list[float]) -> None:
    found = spread(values)
    assert min(values) <= found.low <= found.median <= found.high <= max(values)
    assert found == spread(values)


def test_an_interval_tells_constant_from_scattered_rounds() -> None:
    assert spread([2.0] * 9) == spread([2.0])
    assert spread([2.0]).low == spread([2.0]).high == 2.0
    assert spread([1.0, 2.0, 3.0, 4.0]).low < spread([1.0, 2.0, 3.0, 4.0]).high
    with pytest.raises(ValueError, match="at least one"):
        spread([])


def test_ratios_are_taken_round_by_round() -> None:
    """A spell in which the machine runs at half speed falls on both and leaves their ratio as it is."""
    assert ratio(timing("a", 3.0, 6.0, 3.0), timing("b", 1.0, 2.0, 1.0)).median == 3.0


def test_roofline() -> None:
    read = timing("read", 2.0, read=4e7)
    assert bandwidth(read) == 2e10  # bytes a second
    case = timing("ours", 5.0, ours=True, read=8e7)
    assert roofline_ms(case, weights=10**6, read=read, rate=1e6) == pytest.approx(4.0)  # reading
    assert roofline_ms(case, weights=10**7, read=read, rate=1e6) == pytest.approx(10.0)  # adding up


def test_tables_say_what_is_fastest_missing_and_missed() -> None:
    text = tables(record())
    assert "| **ours t2** | 2.00 | **0.01 (0.01–0.01; 0.01)** | **7.5 (7–8; 7)** |" in text
    assert "| absent | – | – | missing |" in text
    assert "- absent: missing: no package" in text
    assert "1.5× the best peer" in text
    assert "read, 1 thread: 10.0 GB/s" in text
    assert "| 67.1 MB | 7.5 | 6.71 | 89 % |" in text
    assert "85 % of the roofline | 89 % (ours t2) | met" in text
    assert "no slower than XNNPACK int8 (ExecuTorch) | 0.8 (0.8–0.8)× XNNPACK int8 (ExecuTorch) | missed" in text


def test_a_page_holds_tables_and_plot(tmp_path: Path) -> None:
    from bench.ternary_plot import plot

    whole = page(record(), "picture.png")
    assert tables(record()) in whole
    assert "](picture.png)" in whole
    plot(record(), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_a_record_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(msgspec.json.encode(record()))
    options = ["--render", "--record", str(path), "--page", str(tmp_path / "p.md"), "--plot", str(tmp_path / "p.png")]
    assert main(options) == 0
    assert (tmp_path / "p.md").read_text() == page(record(), "p.png")


@pytest.mark.parametrize("cache", [4 * MIB, 32 * MIB, 96 * MIB, 1024 * MIB])
def test_one_case_is_larger_than_every_cache(cache: int) -> None:
    assert max(case.weights for case in usual_cases(False, cache)) * 1.6 / 8 >= 1.5 * cache


def test_references_are_the_product(tmp_path: Path) -> None:
    folder = write_weights(tmp_path, Case(1, 256, 24))
    write_problem(folder, Case(3, 256, 24))
    given_rows, trits, scale = (np.load(folder / f"{name}.npy") for name in ("activations", "trits", "scale"))
    expected = given_rows.astype(np.float64) @ (trits * scale[:, None]).T.astype(np.float64)
    np.testing.assert_allclose(np.load(folder / "expected.npy"), expected, rtol=1e-12, atol=1e-12)
    assert relative_error(np.load(folder / "exact.npy"), expected) < 0.02
    assert set(np.unique(trits)) == {-1, 0, 1}
    write_weights(tmp_path, Case(1, 256, 32))
    assert [path.name for path in tmp_path.iterdir()] == ["256x32"]  # the last size is gone


def test_bad_input() -> None:
    with pytest.raises(UsageError, match="'1x2' is no case"):
        main(["--cases", "1x2"])
    with pytest.raises(SystemExit):
        main(["--rounds", "-1"])
    with pytest.raises(SystemExit):
        main(["--clock", "cpu", "--threads", "2"])


def test_names_of_peers_are_unique() -> None:
    names = [peer.name for runtime in RUNTIMES for peer in peers_of(runtime)]
    assert len(names) == len(set(names))
    assert [name for name in names if name.startswith("ours")] == [
        "ours t2",
        "ours t5",
    ]


@pytest.mark.slow
def test_a_quick_run(tmp_path: Path) -> None:
    """Without ExecuTorch, whose export takes 10 s a product, and llama.cpp, which would be built."""
    from quant.kernels import available_paths

    try:
        available_paths()
    except MissingError as error:
        pytest.skip(str(error))
    path = tmp_path / "record.json"
    runtimes = ("kernels", "onnx_runtime", "litert", "bitnet_cpp")
    done = subprocess.run(
        [sys.executable, "-m", "bench.ternary", "--quick", "--record", str(path), "--runtimes", *runtimes],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = msgspec.json.decode(path.read_bytes(), type=Record)
    assert found.threads == 1
    assert [case.rows for case in found.cases] == [1, 8]
    for case in found.cases:
        assert [timing.name for timing in case.timings if timing.reason] == ["bitnet.cpp I2_S"]
        assert all(len(timing.rounds_ms) == found.rounds for timing in case.timed())
        assert all(0 < timing.error < 0.02 for timing in case.timed())
    assert done.stdout == tables(found) + "\n"
