"""The records of profile.json: what was measured, on what, how, and every raw sample."""

from __future__ import annotations

from typing import Literal

import msgspec

from edge.delegation import Unit

Harness = Literal["python", "native", "benchmark_model", "coremltools", "app"]  # app: the sample app's own screen
Inputs = Literal["random", "real"]
Gate = Literal["passed", "timeout", "unavailable", "off"]
Thermal = Literal["none", "light", "moderate", "severe", "critical", "emergency", "shutdown", "unknown"]
Bound = Literal["compute", "memory", "overhead", "unknown"]
Verdict = Literal["faster", "slower", "indistinguishable", "unknown"]
Interval = tuple[float, float]  # 95 %


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Frozen, and an unknown key is an error."""


class Cluster(_Record, kw_only=True):
    """Cores that share one frequency."""

    cores: tuple[int, ...]
    max_khz: int
    governor: str = ""


class DeviceRecord(_Record, kw_only=True):
    """Say what the device is; what it does not tell is empty."""

    id: str  # as given: host, adb:SERIAL, ssh:HOST
    name: str
    soc: str = ""
    system: str = ""
    machine: str  # aarch64, x86_64
    cores: int
    clusters: tuple[Cluster, ...] = ()
    ram_bytes: int = 0
    emulated: bool = False  # a processor or a phone that is emulated: its times say nothing


class DeviceState(_Record, kw_only=True):
    """One reading of what disturbs a measurement; what the device does not tell is unknown, empty or None."""

    at_s: float  # since the profile began
    thermal: Thermal = "unknown"
    celsius: dict[str, float] = {}  # sensor → °C
    battery_percent: float | None = None
    charging: bool | None = None
    khz: tuple[int, ...] = ()  # of each core, now
    load: float | None = None  # runnable processes, averaged over a minute


class Summary(_Record, kw_only=True):
    """What a program that prints no single runs says of one process, in nanoseconds; None where it does not."""

    runs: int
    min_ns: int
    mean_ns: int
    max_ns: int
    deviation_ns: int
    median_ns: int | None = None
    load_ns: int | None = None
    first_ns: int | None = None
    warmup_mean_ns: int | None = None


class Launch(_Record, kw_only=True):
    """One process: load, first inference, warm-up, runs; all of them, in nanoseconds."""

    order: int  # among the launches of all variants
    cold_load_ns: int
    warm_load_ns: int | None = None  # loaded again in the same process, after the runs
    first_ns: int
    warmup_ns: tuple[int, ...]
    steady: bool  # whether the warm-up ended because the runs were steady, and not because it was long enough
    runs_ns: tuple[int, ...]
    starts_ns: tuple[int, ...] = ()  # when each run began, since the first; kept where time matters
    state: DeviceState | None = None  # before it
    summary: Summary | None = None  # instead of runs
    problem: str = ""  # why it ended early; what it had measured is kept


class Mode(_Record, kw_only=True):
    """Launches whose medians lie together, away from the others."""

    median_ms: float
    launches: int
    khz: int | None = None  # the fastest core's frequency before these launches, if known


class Estimate(_Record, kw_only=True):
    """The latency of one inference in milliseconds.

    A quantile is the median over launches of that quantile within each: ten launches cannot know the tail of launches,
    so launches that fall into groups are told as `modes` instead. The minimum is of all runs.
    """

    launches: int
    runs: int
    median_ms: float
    ci95_ms: Interval | None  # hierarchical bootstrap; None with fewer than five launches
    p90_ms: float | None = None  # None, as the next two, where single runs are not known
    p90_ci95_ms: Interval | None = None
    p99_ms: float | None = None
    min_ms: float
    first_ms: float  # median over launches, as the two below
    cold_load_ms: float
    warm_load_ms: float | None = None
    modes: tuple[Mode, ...] = ()  # more than one: the launches fall into groups, and one number describes none of them


class Peaks(_Record, kw_only=True):
    """What the device's CPU reaches in small kernels, measured: the roof of a roofline."""

    flops_per_s: dict[str, float]  # dtype → operations (a multiply-accumulate is two)
    bytes_per_s: float
    how: str


class OperatorTime(_Record, kw_only=True):
    """One operator of an inference; where several runs were taken, the median over them."""

    name: str
    type: str
    source: str = ""  # the operator of the exported program it came from, if known
    unit: Unit | Literal["unknown"]
    backend: str
    median_us: float
    ci95_us: Interval | None = None
    calls: int = 1  # in one inference
    start_us: float | None = None  # in one inference, for the timeline
    flops: int | None = None
    bytes: int | None = None  # read and written once each
    bound: Bound = "unknown"
    roof_share: float | None = None  # of the time that the nearer roof allows, 1 = at the roof


class OperatorPass(_Record, kw_only=True):
    """Time per operator, taken in runs of their own: a profiler slows what it watches."""

    tool: str
    operators: tuple[OperatorTime, ...]  # in order of execution
    runs: int
    whole_us: float  # one inference under the profiler
    overhead: float | None  # whole_us over that of runs without the profiler, interleaved, minus 1
    coverage: float  # the operators' sum over the whole
    unit_share: dict[str, float]  # unit → share of the operators' time, 0 to 1
    estimated: bool = False  # a compiler's estimate: nothing was executed
    peaks: Peaks | None = None
    remarks: tuple[str, ...] = ()


class Memory(_Record, kw_only=True):
    """Resident memory of a process of its own."""

    before_load_bytes: int  # with the runtime loaded
    peak_bytes: int  # the largest resident set
    pss_bytes: int | None = None  # proportional share of pages, after the runs


class Energy(_Record, kw_only=True):
    """Energy of one inference: above what the idle device draws."""

    source: str
    runs: int
    seconds: float
    idle_watts: float
    busy_watts: float
    millijoules: float


class Window(_Record, kw_only=True):
    """A stretch of a sustained measurement."""

    start_s: float
    runs: int
    median_ms: float
    state: DeviceState | None = None


class Sustained(_Record, kw_only=True):
    """What latency becomes under a load that does not end."""

    seconds: float
    windows: tuple[Window, ...]
    burst_ms: float  # median of the first window
    steady_ms: float  # of the last third
    ratio: float  # steady over burst
    ratio_ci95: Interval | None  # moving-block bootstrap
    throttled_at_s: float | None  # start of the first of two windows in a row that are 10 % above burst
    launch: Launch  # every run
    problem: str = ""


class Variant(_Record, kw_only=True):
    """What was measured of one artifact."""

    name: str  # unique in the profile: TARGET@PRECISION, with the model before it if there are several
    artifact: str
    sha256: str  # of the manifest's list of files: equal for equal artifacts
    model: str
    target: str
    precision: str
    harness: Harness
    runtime: str  # name and version of what ran it on the device
    threads: int
    inputs: Inputs
    emulated: bool
    launches: tuple[Launch, ...] = ()
    estimate: Estimate | None = None
    operators: OperatorPass | None = None
    operators_reason: str = ""  # why there are none
    memory: Memory | None = None
    energy: Energy | None = None
    energy_reason: str = ""
    sustained: Sustained | None = None
    problem: str = ""


class Ratio(_Record, kw_only=True):
    """Compare a variant's latency with another's, from launches interleaved in one profile."""

    name: str
    reference: str
    ratio: float | None  # of the medians; None where the two must not be compared
    ci95: Interval | None = None
    verdict: Verdict
    reason: str = ""  # why it is unknown


class Protocol(_Record, kw_only=True):
    """How it was measured, enough to do it again."""

    launches: int
    min_runs: int
    min_seconds: float
    warmup_runs: int
    warmup_seconds: float
    seed: int
    prefix: tuple[str, ...] = ()  # words before every command on the device, such as `taskset f0`
    threads: int
    sustain_seconds: float = 0.0


class Profile(_Record, kw_only=True):
    """Everything measured in one call of `edge profile`; written as profile.json."""

    schema: Literal[1] = 1
    date: str
    kit: str
    device: DeviceRecord
    thermal_gate: Gate
    gate_reason: str = ""
    protocol: Protocol
    variants: tuple[Variant, ...]
    ratios: tuple[Ratio, ...] = ()
    problem: str = ""  # why it ended early, such as a device that vanished
