"""LiteRT's own benchmark_model on a phone: a program that the user brings, as no package contains it.

It prints no single runs, only their number, smallest, mean and largest, and later versions the median. A launch of it
is therefore no launch of ours: `read_summary` returns what it printed, and nothing is made up to look like samples.
The words of every runner are turned into its own by a script of the phone's shell; its inputs are random, its own.
"""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path

from edge.artifact import Artifact
from edge.errors import MissingError, Refused, UsageError
from edge.profile.devices import Bundle, BundleFile, Device
from edge.profile.records import DeviceRecord, Summary
from edge.profile.runners import Prepared, Wish, runner

_TARGET = "litert-cpu"
_ELF = b"\x7fELF"
_MACHINES = {"x86_64": 62, "aarch64": 183, "arm64": 183}  # e_machine of elf(5)
_SCRIPT = """\
# run.sh MODEL FLAGS…: benchmark_model with the profiler's flags. Its warm-up is its own: one run and half a second.
words="--graph=$1 --use_xnnpack=true"
shift
while [ $# -gt 0 ]; do
  case "$1" in
    --threads) threads="$2"; words="$words --num_threads=$2"; shift ;;
    --min-runs) words="$words --num_runs=$2"; shift ;;
    --min-seconds) [ "$long" ] || words="$words --min_secs=$2"; shift ;;
    --seconds) long=1; words="$words --min_secs=$2 --max_secs=$2"; shift ;;
    --memory) words="$words --report_peak_memory_footprint=true" ;;
    --trace) words="$words --enable_op_profiling=true --profiling_output_csv_file=$2"; shift ;;
    --warmup-runs | --warmup-seconds | --input) shift ;;
    *) echo "unknown flag $1" >&2; exit 2 ;;
  esac
  shift
done
echo '{"k":"start","schema":1,"runtime":"benchmark_model","version":"","threads":'"${threads:-1}}"
# shellcheck disable=SC2086  # words without spaces
./benchmark_model $words 2>&1 || exit $?
echo
echo '{"k":"end"}'
"""


def read_summary(output: str) -> Summary | None:
    """Return what benchmark_model printed of its runs; None if it printed none, whatever else there is."""
    counts = [dict(re.findall(r"(\w+)=([0-9.eE+]+)", line)) for line in output.splitlines() if "count=" in line]
    times = _times(output)
    if not counts or "inference" not in times:
        return None  # the warm-up also has a line of counts, and the runs' comes after it
    last = counts[-1]
    numbers = {name: _nanoseconds(last.get(name, "")) for name in ("min", "avg", "max", "std", "median")}
    count = last.get("count", "")
    if not (count.isascii() and count.isdigit()) or numbers["min"] is None or numbers["max"] is None:
        return None
    return Summary(
        runs=int(count),
        min_ns=numbers["min"],
        mean_ns=times["inference"],
        max_ns=numbers["max"],
        deviation_ns=numbers["std"] or 0,
        median_ns=numbers["median"],
        load_ns=times.get("init"),
        first_ns=times.get("first inference"),
        warmup_mean_ns=times.get("warmup"),
    )


def _times(output: str) -> dict[str, int]:
    """Return the line of timings, which versions write as `Warmup: 1.5` or `Warmup (avg): 1.5`, in microseconds."""
    found: dict[str, int] = {}
    for line in output.splitlines():
        _, mark, rest = line.partition("nference timings in us:")
        for name, value in re.findall(r"([A-Z][a-z ]*?)(?: \(avg\))?: ([0-9.eE+]+)", rest if mark else ""):
            number = _nanoseconds(value)
            if number is not None:
                found[name.lower()] = number
    return found


def _nanoseconds(microseconds: str) -> int | None:
    try:
        value = float(microseconds)
    except ValueError:
        return None
    return round(value * 1000) if 0 <= value < 1e12 else None


@runner("benchmark_model", harness="benchmark_model", devices=("adb",), families=("litert",))
def prepare_benchmark_model(artifact: Artifact, device: Device, record: DeviceRecord, wish: Wish) -> Prepared:
    """Make a `.tflite` ready for the user's benchmark_model.

    Raises MissingError without that program, UsageError for a file that the device cannot start, Refused for
    accelerators.
    """
    if artifact.manifest.target.partition(":")[0] != _TARGET:
        raise Refused(
            f"{artifact.manifest.target} needs its vendor's libraries beside benchmark_model; "
            f"what is measured through it is {_TARGET}"
        )
    if wish.binary is None:
        raise MissingError(
            "LiteRT's benchmark_model is in no package: build it (bazel build -c opt --config=android_arm64 "
            "//tflite/tools/benchmark:benchmark_model in LiteRT's sources) and name it with --benchmark-model FILE"
        )
    _check(wish.binary, record.machine)
    return Prepared(
        bundle=Bundle(
            files=(
                BundleFile(name="benchmark_model", path=wish.binary, executable=True),
                BundleFile(name="run.sh", path=_script()),
                BundleFile(name="model.tflite", path=artifact.file(".tflite")),
            )
        ),
        argv=("sh", "run.sh", "model.tflite"),
        runtime="benchmark_model",
        summary=read_summary,
        remarks=("benchmark_model prints a summary and no single runs; its inputs are random ones of its own",),
    )


def _check(binary: Path, machine: str) -> None:
    try:
        with binary.open("rb") as stream:
            head = stream.read(20)
    except OSError as error:
        raise UsageError(f"--benchmark-model {binary} cannot be read: {error.strerror}") from None
    if head[:4] != _ELF or len(head) < 20:
        raise UsageError(f"--benchmark-model {binary} is no program for Android")
    if machine in _MACHINES and int.from_bytes(head[18:20], "little") != _MACHINES[machine]:
        raise UsageError(f"--benchmark-model {binary} is for another processor than the device's {machine}")


@cache
def _script() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="edge-benchmark-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "run.sh"
    path.write_text(_SCRIPT)
    return path
