"""What a Linux machine tells of itself in text files, read here or brought over from a device by one shell command.

`Facts` are files by path. What a file does not say, or says in a way that is not known, stays empty: nothing is raised.
Formats: proc(5); Documentation/ABI/testing/sysfs-class-{thermal,power} and sysfs-devices-system-cpu of the kernel.
"""

from __future__ import annotations

import glob
import os
import platform
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from edge.profile.records import Cluster, DeviceRecord, DeviceState

Facts = Mapping[str, str]  # path → content
_CPUS = "/sys/devices/system/cpu"
_STATE = (
    "/proc/loadavg",
    "/sys/class/thermal/thermal_zone*/type",
    "/sys/class/thermal/thermal_zone*/temp",
    f"{_CPUS}/cpu[0-9]*/cpufreq/scaling_cur_freq",
    "/sys/class/power_supply/*/type",
    "/sys/class/power_supply/*/status",
    "/sys/class/power_supply/*/capacity",
    "/sys/class/power_supply/*/scope",
)
_RECORD = (
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/version",
    "/etc/os-release",
    "/sys/firmware/devicetree/base/model",
    f"{_CPUS}/cpu[0-9]*/cpufreq/cpuinfo_max_freq",
    f"{_CPUS}/cpu[0-9]*/cpufreq/scaling_governor",
)
_MARK = "=edge= "  # begins the line before a file's content
_MOST_BYTES = 1 << 16  # of one file
_PLAUSIBLE_C = (-60.0, 200.0)  # other numbers are of sensors that are not there


def state_command() -> str:
    """Return the shell command whose output `parse_facts` takes, for `state_of`."""
    return _command(_STATE, "")


def record_command() -> str:
    """Return the shell command whose output `parse_facts` takes, for `record_of`."""
    return _command(_RECORD, f"echo; echo '{_MARK}machine'; uname -m; ")


def _command(patterns: tuple[str, ...], before: str) -> str:
    # Every POSIX shell has these words; a pattern without a match is itself no file.
    each = f'[ -r "$f" ] && {{ echo; echo \'{_MARK}\'"$f"; head -c {_MOST_BYTES} "$f" 2>/dev/null; }}'
    return f"{before}for f in {' '.join(patterns)}; do {each}; done; true"


def parse_facts(output: str) -> dict[str, str]:
    """Return the files in a command's output; text before the first one is passed over."""
    found: dict[str, str] = {}
    for part in f"\n{output}".split(f"\n{_MARK}")[1:]:
        path, _, content = part.partition("\n")
        found[path.strip()] = content
    return found


def local_state(at_s: float) -> DeviceState:
    """Read this machine's state."""
    return state_of(_local(_STATE), at_s)


def local_record(id: str) -> DeviceRecord:
    """Describe this machine."""
    return record_of({**_local(_RECORD), "machine": platform.machine()}, id)


def _local(patterns: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for path in (path for pattern in patterns for path in sorted(glob.glob(pattern))):
        try:
            with open(path, "rb") as stream:
                found[path] = stream.read(_MOST_BYTES).decode(errors="replace")
        except OSError:  # a sensor that answers with an error
            continue
    return found


def state_of(facts: Facts, at_s: float) -> DeviceState:
    """Return a machine's state; Linux tells no thermal status of the whole, so that one is unknown."""
    percent, charging = _battery(facts)
    return DeviceState(
        at_s=at_s,
        celsius=_celsius(facts),
        battery_percent=percent,
        charging=charging,
        khz=tuple(khz for _, khz in sorted(_of_cores(facts, "scaling_cur_freq").items())),
        load=_load(facts.get("/proc/loadavg", "")),
    )


def record_of(facts: Facts, id: str) -> DeviceRecord:
    """Return what a machine is; its cores are those that /proc/cpuinfo lists."""
    cpuinfo, machine = facts.get("/proc/cpuinfo", ""), facts.get("machine", "").strip()
    cores = len(re.findall(r"^processor\s*:", cpuinfo, re.MULTILINE)) or os.cpu_count() or 1
    model = facts.get("/sys/firmware/devicetree/base/model", "").strip("\0\n ")
    processor = _field(cpuinfo, "model name") or _field(cpuinfo, "Hardware") or _field(cpuinfo, "Model")
    return DeviceRecord(
        id=id,
        name=f"{model or processor or machine} ({machine}, {cores} cores)",
        soc=_field(cpuinfo, "Hardware"),
        system=_system(facts),
        machine=machine,
        cores=cores,
        clusters=_clusters(facts),
        ram_bytes=_kib(facts.get("/proc/meminfo", ""), "MemTotal"),
    )


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{re.escape(name)}[ \t]*:[ \t]*(.*)$", text, re.MULTILINE)
    return found.group(1).strip() if found else ""


def _kib(text: str, name: str) -> int:
    found = re.match(r"([0-9]{1,15}) kB", _field(text, name))
    return int(found.group(1)) * 1024 if found else 0


def _system(facts: Facts) -> str:
    name = re.search(r'^PRETTY_NAME="?(.*?)"?$', facts.get("/etc/os-release", ""), re.MULTILINE)
    kernel = re.match(r"Linux version (\S+)", facts.get("/proc/version", ""))
    words = [name.group(1) if name else "", f"Linux {kernel.group(1)}" if kernel else ""]
    return ", ".join(word for word in words if word)


def _load(text: str) -> float | None:
    found = re.match(r"[0-9]{1,9}(\.[0-9]{1,9})?(?=\s|$)", text)
    return float(found.group()) if found else None


def _integer(text: str) -> int | None:
    found = re.fullmatch(r"-?[0-9]{1,15}", text.strip(), re.ASCII)
    return int(found.group()) if found else None


def _celsius(facts: Facts) -> dict[str, float]:
    """Return the zones' temperatures by the zones' types; several of one type are numbered."""
    found: dict[str, float] = {}
    for path in sorted(facts, key=_numbers):
        zone, _, name = path.rpartition("/")
        if name != "temp" or not zone.startswith("/sys/class/thermal/"):
            continue
        millidegrees = _integer(facts[path])
        if millidegrees is None or not _PLAUSIBLE_C[0] < millidegrees / 1000 < _PLAUSIBLE_C[1]:
            continue
        kind = facts.get(f"{zone}/type", "").strip() or Path(zone).name
        found[kind if kind not in found else f"{kind} ({Path(zone).name})"] = millidegrees / 1000
    return found


def _of_cores(facts: Facts, name: str) -> dict[int, int]:
    """Return a frequency of each core, in kHz."""
    found = {}
    for path, content in facts.items():
        core = re.fullmatch(rf"{_CPUS}/cpu([0-9]{{1,5}})/cpufreq/{name}", path)
        khz = _integer(content)
        if core and khz is not None and khz > 0:
            found[int(core.group(1))] = khz
    return found


def _clusters(facts: Facts) -> tuple[Cluster, ...]:
    groups: dict[tuple[int, str], list[int]] = defaultdict(list)
    for core, khz in sorted(_of_cores(facts, "cpuinfo_max_freq").items()):
        governor = facts.get(f"{_CPUS}/cpu{core}/cpufreq/scaling_governor", "").strip()
        groups[khz, governor].append(core)
    return tuple(
        Cluster(cores=tuple(cores), max_khz=khz, governor=governor) for (khz, governor), cores in groups.items()
    )


def _battery(facts: Facts) -> tuple[float | None, bool | None]:
    """Return the percentage and whether it charges, of the first battery that powers the machine and no mouse."""
    for path in sorted(facts):
        supply, _, name = path.rpartition("/")
        if name != "type" or not supply.startswith("/sys/class/power_supply/") or facts[path].strip() != "Battery":
            continue
        if facts.get(f"{supply}/scope", "").strip() == "Device":
            continue
        percent, status = _integer(facts.get(f"{supply}/capacity", "")), facts.get(f"{supply}/status", "").strip()
        known = percent is not None and 0 <= percent <= 100
        charging = {"Charging": True, "Full": True, "Not charging": True, "Discharging": False}.get(status)
        return float(percent) if known and percent is not None else None, charging
    return None, None


def _numbers(path: str) -> tuple[int, str]:
    found = re.search(r"([0-9]{1,9})/", path)
    return int(found.group(1)) if found else -1, path
