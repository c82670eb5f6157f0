"""LiteRT's benchmark_model: what it prints, and the words it is started with.

The program itself is for phones and in no package: a script stands in for it where it is started.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from launching import laid_out, made

from edge.errors import MissingError, Refused, UsageError
from edge.profile.devices import Bundle, BundleFile
from edge.profile.events import read_events
from edge.profile.records import DeviceRecord
from edge.profile.runners import Wish
from edge.profile.runners.benchmark_model import Summary, prepare_benchmark_model, read_summary

OLDER = """STARTING!
Log parameter values verbosely: [0]
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=7 first=83235 curr=80021 min=79000 max=83235 avg=80123.5 std=1200

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=50 first=79449 curr=81350 min=77385 max=88213 avg=79760.9 std=1929

Average inference timings in us: Warmup: 83235, Init: 38467, Inference: 79760.9
"""
NEWER = """count=1 curr=2100 p5=2100 median=2100 p95=2100
count=30 first=1500 curr=1490 min=1480 max=1.6e3 avg=1501 std=12 p5=1481 median=1499 p95=1550
Inference timings in us: Init: 38467, First inference: 2100, Warmup (avg): 2100, Inference (avg): 1501.25
"""


def test_what_it_prints_is_kept_and_nothing_made_up() -> None:
    assert read_summary(OLDER) == Summary(
        runs=50, min_ns=77385000, mean_ns=79760900, max_ns=88213000, deviation_ns=1929000,
        load_ns=38467000, warmup_mean_ns=83235000,
    )  # fmt: skip
    assert read_summary("noise\n" + NEWER) == Summary(
        runs=30, min_ns=1480000, mean_ns=1501250, max_ns=1600000, deviation_ns=12000, median_ns=1499000,
        load_ns=38467000, first_ns=2100000, warmup_mean_ns=2100000,
    )  # fmt: skip


@pytest.mark.parametrize("lines", [0, 5, 8])
def test_a_process_that_was_ended_has_no_summary(lines: int) -> None:
    assert read_summary("\n".join(OLDER.splitlines()[:lines])) is None


@given(st.text(max_size=80), st.integers(0, len(NEWER)), st.integers(0, len(NEWER)))
def test_no_text_is_an_error(text: str, begin: int, end: int) -> None:
    read_summary(text)
    read_summary(NEWER[:begin] + text + NEWER[end:])


def prepare(folder: Path, binary: Path | None, target: str = "litert-cpu"):
    artifact = made(folder / target.replace(":", "-"), target, "model.tflite", b"model")
    device = SimpleNamespace(id="adb:1", kind="adb", prefix=())
    record = DeviceRecord(id="adb:1", name="phone", machine="aarch64", cores=8)
    return prepare_benchmark_model(artifact, device, record, Wish(threads=2, binary=binary))


def elf(path: Path, machine: int) -> Path:
    path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(11) + machine.to_bytes(2, "little"))
    return path


def test_the_program_is_checked(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, elf(tmp_path / "b", 183))
    assert [file.name for file in prepared.bundle.files] == ["benchmark_model", "run.sh", "model.tflite"]
    with pytest.raises(MissingError, match="--benchmark-model FILE"):
        prepare(tmp_path, None)
    with pytest.raises(UsageError, match="another processor"):
        prepare(tmp_path, elf(tmp_path / "b", 62))
    (tmp_path / "text").write_text("x")
    with pytest.raises(UsageError, match="no program"):
        prepare(tmp_path, tmp_path / "text")
    with pytest.raises(UsageError, match="cannot be read"):
        prepare(tmp_path, tmp_path / "none")
    with pytest.raises(Refused, match="litert-cpu"):
        prepare(tmp_path, elf(tmp_path / "b", 183), "litert-qualcomm:SM8650")


def test_the_profilers_words_become_its_own(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, elf(tmp_path / "b", 183))
    stand_in = tmp_path / "stand-in"
    stand_in.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > words\ncat <<'E'\n{NEWER}E\nexit $(cat code)\n")
    files = [BundleFile(name="benchmark_model", path=stand_in, executable=True), *prepared.bundle.files[1:]]
    folder = laid_out(Bundle(files=tuple(files)), tmp_path / "bundle")

    def run(code: int, *flags: str) -> subprocess.CompletedProcess[str]:
        (folder / "code").write_text(str(code))
        words = [*prepared.argv, *flags]
        return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=60)

    plain = ("--threads", "2", "--warmup-runs", "50", "--warmup-seconds", "5", "--min-runs", "30", "--min-seconds", "1")
    done = run(0, *plain, "--input", "input0.bin")
    printed = read_events(done.stdout)
    assert (done.returncode, printed.ended, printed.threads, printed.runs_ns) == (0, True, 2, ())
    assert read_summary(done.stdout) == read_summary(NEWER)
    words = (folder / "words").read_text().split()
    assert words == ["--graph=model.tflite", "--use_xnnpack=true", "--num_threads=2", "--num_runs=30", "--min_secs=1"]
    run(0, *plain, "--seconds", "600", "--memory", "--trace", "ops.csv")
    words = (folder / "words").read_text().split()
    assert {"--min_secs=600", "--max_secs=600", "--report_peak_memory_footprint=true"} < set(words)
    assert words[-1] == "--profiling_output_csv_file=ops.csv"
    done = run(7)
    assert (done.returncode, read_events(done.stdout).ended) == (7, False)
    assert run(0, "--unknown").returncode == 2
