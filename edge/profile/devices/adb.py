"""Android phones, through the user's `adb`: `adb` is the only one that is connected, `adb:SERIAL` one of several."""

from __future__ import annotations

import os
from pathlib import Path

from edge.errors import EdgeError
from edge.profile.devices import Bundle, Command, Device, Ended, EnergyCounter, device, is_emulator
from edge.profile.devices import _android as android
from edge.profile.devices._adb import Client, choose, connected, find_adb
from edge.profile.devices._adb_files import pull_file, push_bundle
from edge.profile.devices._adb_shell import Shell
from edge.profile.records import DeviceRecord, DeviceState

_SECTION = "@@edge"
_CPU = "/sys/devices/system/cpu"
_PROBE = f"""
echo "{_SECTION} properties"; getprop
echo "{_SECTION} uname"; uname -m
echo "{_SECTION} possible"; cat {_CPU}/possible
echo "{_SECTION} nproc"; nproc
echo "{_SECTION} memory"; cat /proc/meminfo
echo "{_SECTION} frequencies"
for f in {_CPU}/cpu[0-9]*/cpufreq/cpuinfo_max_freq {_CPU}/cpu[0-9]*/cpufreq/scaling_governor; do
  read v < "$f" && echo "$f $v"
done
"""
_STATE = f"""
echo "{_SECTION} thermal"; dumpsys thermalservice
echo "{_SECTION} battery"; dumpsys battery
echo "{_SECTION} load"; cat /proc/loadavg
echo "{_SECTION} frequencies"
for f in {_CPU}/cpu[0-9]*/cpufreq/scaling_cur_freq; do read v < "$f" && echo "$f $v"; done
"""


@device("adb")
def open_adb(name: str, prefix: tuple[str, ...]) -> Device:
    """Open the phone of this serial, of ANDROID_SERIAL, or the only one.

    Raises MissingError without adb, and for a phone that is not there, not ready, or one of several.
    """
    program = find_adb()
    serial = choose(connected(program), name or os.environ.get("ANDROID_SERIAL", ""))
    return AdbDevice(Client(program, serial), prefix)


class AdbDevice:
    """A phone; its files are in a folder of its shell's, one folder per bundle."""

    kind = "adb"

    def __init__(self, client: Client, prefix: tuple[str, ...] = ()) -> None:
        self.id = f"adb:{client.serial}"
        self.prefix = prefix
        self._shell = Shell(client)
        self._charge: android.Charge | None = None  # at the last reading
        self._drawn_j = 0.0  # from the first reading to the last

    def probe(self) -> DeviceRecord:
        """Describe the phone; raises MissingError if it does not answer."""
        told = android.sections(self._shell.read(_PROBE), _SECTION)
        values = android.properties(told.get("properties", ""))
        groups = android.clusters(told.get("frequencies", ""))
        return DeviceRecord(
            id=self.id,
            name=android.phone_name(values) or self._shell.client.serial,
            soc=android.soc_name(values),
            system=android.system_name(values),
            machine=android.machine_name(values, told.get("uname", "")),
            cores=android.core_count(told.get("possible", ""), groups, told.get("nproc", "")),
            clusters=groups,
            ram_bytes=android.memory_bytes(told.get("memory", "")),
            emulated=android.is_emulated(values) or is_emulator(self.prefix),
        )

    def state(self, at_s: float) -> DeviceState:
        """Read thermal status, temperatures, battery, frequencies and load; unknown where the phone does not tell."""
        try:
            text = self._shell.read(_STATE)
        except EdgeError:
            return DeviceState(at_s=at_s)
        told = android.sections(text, _SECTION)
        battery = android.battery(told.get("battery", ""))
        celsius = android.temperatures(told.get("thermal", ""))
        if battery.celsius is not None and not any("batt" in name.casefold() for name in celsius):
            celsius["battery"] = battery.celsius
        return DeviceState(
            at_s=at_s,
            thermal=android.thermal_status(told.get("thermal", "")),
            celsius=celsius,
            battery_percent=battery.percent,
            charging=battery.charging,
            khz=android.current_khz(told.get("frequencies", "")),
            load=android.load_average(told.get("load", "")),
        )

    def energy(self) -> EnergyCounter | str:
        """Read what the battery has given since the first reading: its charge counter times its voltage.

        Between two readings the mean of their voltages counts, so that the charge that stays does not.
        """
        try:
            text = self._shell.read("dumpsys battery")
        except EdgeError as error:
            return str(error)
        battery = android.battery(text)
        if battery.charging is not False:
            return (
                "the phone is powered by its cable, or does not tell, so that its battery's counter says nothing; "
                "connect over Wi-Fi (adb tcpip 5555 && adb connect HOST:5555) and unplug it"
            )
        if battery.charge is None:
            return "the phone's battery has no charge counter"
        if self._charge is not None:
            self._drawn_j += android.drawn_joules(self._charge, battery.charge)
        self._charge = battery.charge
        return EnergyCounter(self._drawn_j, "battery charge counter and voltage (dumpsys battery), the whole phone")

    def put(self, bundle: Bundle) -> str:
        """Push the files that are missing or differ, by sha256, and return their folder.

        Raises MissingError if the phone is gone, TargetError if what arrived differs, UsageError for a name that has
        folders.
        """
        return push_bundle(self._shell, bundle)

    def run(self, command: Command, timeout_s: float) -> Ended:
        """Run a command in its folder, with the prefix before it; past the limit it is ended on the phone too."""
        return self._shell.run(command, self.prefix, timeout_s)

    def get(self, remote: str, local: Path) -> None:
        """Pull one file; raises MissingError if the phone is gone, TargetError if the file is not there."""
        pull_file(self._shell, remote, local)

    def close(self) -> None:
        """End what may still run on the phone; adb's server is the user's and stays."""
        for note in tuple(self._shell.running):
            self._shell.end(note)
