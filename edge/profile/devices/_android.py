"""Read what Android's shell tells of a phone: properties, processors, thermal service and battery.

Every function takes what a command printed and returns what it understood of it; garbage is understood as nothing.
Numbers of types and states: AOSP, android.os.Temperature, PowerManager.THERMAL_STATUS_* and BatteryManager.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple, get_args

from edge.profile.records import Cluster, Thermal

_THERMALS: tuple[Thermal, ...] = get_args(Thermal)[:7]  # none … shutdown: 0 to 6
_TYPES = {
    0: "cpu", 1: "gpu", 2: "battery", 3: "skin", 4: "usb_port", 5: "power_amplifier", 9: "npu", 10: "tpu",
    11: "display", 12: "modem", 13: "soc", 14: "wifi", 15: "camera", 16: "flashlight", 17: "speaker", 18: "ambient",
    19: "pogo",
}  # fmt: skip
_NO_TEMPERATURES = (6, 7, 8)  # the battery current limiter's volts, amperes and percent
_HOTTEST = 150.0  # °C; more is a raw reading of a sensor that is off, as is 0 or less
_FULL_LOAD = 10_000.0  # processes; more is no load average
_CHARGING = 2  # BatteryManager.BATTERY_STATUS_CHARGING
_MACHINES = {"arm64-v8a": "aarch64", "armeabi-v7a": "armv7l", "armeabi": "armv7l", "x86": "i686"}
_PROPERTY = re.compile(r"^\[([^\[\]\n]+)\]: \[(.*?)\]\r?$", re.MULTILINE | re.DOTALL)
_TEMPERATURE = re.compile(r"Temperature\{mValue=([^,}]+), mType=(-?\d{1,9}), mName=([^,}]*), mStatus=(-?\d{1,9})")
_FREQUENCY = re.compile(r"cpu(\d{1,4})/cpufreq/(\w+) ([^\n]*)$", re.MULTILINE)


class Charge(NamedTuple):
    """What is left in a battery, and its voltage."""

    microampere_hours: int
    millivolts: int


class Battery(NamedTuple):
    """A battery; None for what the phone does not tell."""

    percent: float | None = None
    charging: bool | None = None  # or powered: a full phone on its cable draws nothing from its battery
    celsius: float | None = None
    charge: Charge | None = None


def sections(text: str, mark: str) -> dict[str, str]:
    """Split what a script printed at its lines `MARK NAME`; what a section lacks is empty, never an error."""
    found: dict[str, str] = {}
    name = ""
    for line in text.replace("\r\n", "\n").split("\n"):
        if line.startswith(f"{mark} "):
            name = line[len(mark) + 1 :].strip()
            found.setdefault(name, "")
        elif name:
            found[name] += line + "\n"
    return found


def properties(text: str) -> dict[str, str]:
    """Return the properties that `getprop` lists as `[name]: [value]`; a value may have several lines."""
    return {name: value.replace("\r\n", "\n").strip() for name, value in _PROPERTY.findall(text)}


def property_value(text: str, name: str) -> str:
    """Return a property from what `getprop` or `getprop NAME` printed; empty where there is none."""
    listed = properties(text)
    if listed:
        return listed.get(name, "")
    lines = text.strip().splitlines()
    return lines[0].strip() if len(lines) == 1 else ""


def phone_name(values: Mapping[str, str]) -> str:
    """Return manufacturer and model."""
    maker, model = values.get("ro.product.manufacturer", ""), values.get("ro.product.model", "")
    return model if model.casefold().startswith(maker.casefold()) else f"{maker} {model}".strip()


def soc_name(values: Mapping[str, str]) -> str:
    """Return the chip: maker and model since Android 12, before that the name of its platform."""
    model = values.get("ro.soc.model", "")
    if model:
        return f"{values.get('ro.soc.manufacturer', '')} {model}".strip()
    names = ("ro.hardware.chipname", "ro.vendor.mediatek.platform", "ro.mediatek.platform", "ro.board.platform")
    return next((values[name] for name in names if values.get(name)), "")


def system_name(values: Mapping[str, str]) -> str:
    """Return the release of Android and its API level."""
    release, level = values.get("ro.build.version.release", ""), values.get("ro.build.version.sdk", "")
    return " ".join(["Android", *([release] if release else []), *([f"(API {level})"] if level else [])])


def machine_name(values: Mapping[str, str], uname: str = "") -> str:
    """Return the processor's instruction set as uname(1) names it; `uname` is for a phone that tells no ABI."""
    abi = values.get("ro.product.cpu.abi", "") or values.get("ro.product.cpu.abilist", "").partition(",")[0]
    return _MACHINES.get(abi, abi) or uname.strip() or "unknown"


def is_emulated(values: Mapping[str, str]) -> bool:
    """Say whether the phone is an emulator."""
    return (
        values.get("ro.kernel.qemu") == "1"
        or values.get("ro.boot.qemu") == "1"
        or values.get("ro.hardware") in ("goldfish", "ranchu", "cutf_cvm", "vsoc_x86_64")
        or "emulator" in values.get("ro.build.characteristics", "").split(",")
    )


def frequencies(text: str, name: str) -> dict[int, int]:
    """Return core → kHz from lines `…/cpuN/cpufreq/NAME VALUE`."""
    found = {}
    for core, field, value in _FREQUENCY.findall(text):
        khz = _whole(value)
        if field == name and khz > 0:
            found[int(core)] = khz
    return found


def current_khz(text: str) -> tuple[int, ...]:
    """Return each core's frequency now; 0 for a core that is off, nothing if none tells."""
    found = frequencies(text, "scaling_cur_freq")
    return tuple(found.get(core, 0) for core in range(max(found) + 1)) if found else ()


def clusters(text: str) -> tuple[Cluster, ...]:
    """Group cores by their highest frequency, slowest first, with the governor of each group."""
    highest = frequencies(text, "cpuinfo_max_freq")
    governors = {
        int(core): value.strip() for core, name, value in _FREQUENCY.findall(text) if name == "scaling_governor"
    }
    groups: dict[int, list[int]] = {}
    for core in sorted(highest):
        groups.setdefault(highest[core], []).append(core)
    return tuple(
        Cluster(
            cores=tuple(cores),
            max_khz=khz,
            governor="/".join(sorted({governors[core] for core in cores if governors.get(core)})),
        )
        for khz, cores in sorted(groups.items())
    )


def core_count(possible: str, groups: tuple[Cluster, ...], nproc: str = "") -> int:
    """Return how many cores there are: the kernel's `0-7` or `0-3,6`, the clusters', or what nproc says; at least 1."""
    count = 0
    for part in possible.strip().split(","):
        first, dash, last = part.partition("-")
        low, high = _whole(first), _whole(last if dash else first)
        if 0 <= low <= high < 4096:
            count += high - low + 1
    return max(count or sum(len(group.cores) for group in groups) or _whole(nproc), 1)


def memory_bytes(text: str) -> int:
    """Return MemTotal of /proc/meminfo in bytes; 0 where there is none."""
    found = re.search(r"^MemTotal:\s+(\d{1,15}) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def load_average(text: str) -> float | None:
    """Return the load of the last minute from /proc/loadavg."""
    load = _decimal(text.strip().partition(" ")[0])
    return load if load is not None and 0 <= load < _FULL_LOAD else None


def thermal_status(text: str) -> Thermal:
    """Return the thermal status of `dumpsys thermalservice`.

    A status of 0 without a thermal HAL says nothing: there is nobody to raise it.
    """
    found = re.search(r"^\s*Thermal Status:\s*(\d{1,3})\s*$", text, re.MULTILINE)
    status = int(found[1]) if found else len(_THERMALS)
    if status >= len(_THERMALS) or (status == 0 and re.search(r"^\s*HAL Ready:\s*false", text, re.MULTILINE)):
        return "unknown"
    return _THERMALS[status]


def temperatures(text: str) -> dict[str, float]:
    """Return sensor → °C of `dumpsys thermalservice`, as the HAL reads them now; cached readings can be hours old.

    A sensor whose name does not tell its type gets that before it: `battery:BAT`. Sensors that are off read 0.
    """
    _, _, after = text.partition("Current temperatures from HAL:")
    found: dict[str, float] = {}
    for line in after.splitlines()[1:]:
        if line.strip() and not line.strip().startswith("Temperature{"):
            break  # the next list
        match = _TEMPERATURE.search(line)
        celsius = _decimal(match[1]) if match else None
        if match is None or celsius is None or int(match[2]) in _NO_TEMPERATURES or not 0 < celsius <= _HOTTEST:
            continue
        name = _sensor(match[3].strip(), int(match[2]))
        found[name] = max(celsius, found.get(name, celsius))
    return found


def _sensor(name: str, number: int) -> str:
    kind = _TYPES.get(number, "")
    if not name:
        return kind or f"type {number}"
    told = any(word in name.casefold() for word in _TYPES.values())
    return name if told or not kind else f"{kind}:{name}"


def battery(text: str) -> Battery:
    """Return what `dumpsys battery` tells."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.strip().partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())  # vendors append lists that repeat names
    if fields.get("present") == "false":
        return Battery()
    level, scale = _whole(fields.get("level", "")), _whole(fields.get("scale", "100"))
    tenths, status = _whole(fields.get("temperature", "")), _whole(fields.get("status", ""))
    powered = [value for name, value in fields.items() if name.endswith(" powered") and value in ("true", "false")]
    charge, millivolts = _whole(fields.get("Charge counter", "")), _whole(fields.get("voltage", ""))
    return Battery(
        percent=100.0 * level / scale if 0 <= level <= scale and scale > 0 else None,
        charging=status == _CHARGING or "true" in powered if status >= 0 or powered else None,
        celsius=tenths / 10 if 0 < tenths <= 10 * _HOTTEST else None,
        charge=Charge(charge, millivolts) if charge > 0 and 1000 <= millivolts <= 30_000 else None,
    )


def drawn_joules(before: Charge, after: Charge) -> float:
    """Return the energy that left the battery between two readings: the charge times the mean voltage."""
    coulombs = (before.microampere_hours - after.microampere_hours) * 3.6e-3
    return coulombs * (before.millivolts + after.millivolts) / 2000


def _whole(text: str) -> int:
    """Return a whole number, -1 for anything else."""
    text = text.strip()
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else -1


def _decimal(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
