"""What a Linux machine tells of itself: recorded texts of boards and laptops, this machine, and garbage."""

from __future__ import annotations

import subprocess

from hypothesis import given
from hypothesis import strategies as st

from edge.profile.devices import _linux
from edge.profile.records import Cluster, DeviceRecord, DeviceState

BOARD = {  # as a Raspberry Pi 4 and a phone's kernel write them
    "machine": "aarch64\n",
    "/proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd\nCPU part\t: 0xd08\n\n"
    "processor\t: 1\nBogoMIPS\t: 108.00\n\nprocessor\t: 2\n\nHardware\t: BCM2835\nModel\t\t: Raspberry Pi 4\n",
    "/proc/meminfo": "MemTotal:        3884272 kB\nMemFree:          2113832 kB\n",
    "/proc/version": "Linux version 6.1.21-v8+ (dom@buildbot) (aarch64-linux-gnu-gcc-8) #1642 SMP\n",
    "/etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\n',
    "/sys/firmware/devicetree/base/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "1500000\n",
    "/sys/devices/system/cpu/cpu1/cpufreq/cpuinfo_max_freq": "1500000\n",
    "/sys/devices/system/cpu/cpu2/cpufreq/cpuinfo_max_freq": "2400000\n",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "ondemand\n",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "600000\n",
    "/sys/devices/system/cpu/cpu10/cpufreq/scaling_cur_freq": "900000\n",
    "/sys/devices/system/cpu/cpu2/cpufreq/scaling_cur_freq": "700000\n",
    "/proc/loadavg": "0.52 0.58 0.59 1/467 12345\n",
    "/sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "/sys/class/thermal/thermal_zone0/temp": "48312\n",
    "/sys/class/thermal/thermal_zone1/type": "cpu-thermal\n",
    "/sys/class/thermal/thermal_zone1/temp": "49000\n",
    "/sys/class/thermal/thermal_zone2/type": "absent\n",
    "/sys/class/thermal/thermal_zone2/temp": "-273000\n",
    "/sys/class/power_supply/AC/type": "Mains\n",
    "/sys/class/power_supply/BAT0/type": "Battery\n",
    "/sys/class/power_supply/BAT0/status": "Discharging\n",
    "/sys/class/power_supply/BAT0/capacity": "87\n",
    "/sys/class/power_supply/A_mouse/type": "Battery\n",
    "/sys/class/power_supply/A_mouse/scope": "Device\n",
    "/sys/class/power_supply/A_mouse/capacity": "5\n",
}


def printed(facts: dict[str, str]) -> str:
    return "motd\n" + "".join(f"\n=edge= {path}\n{content}" for path, content in facts.items())


def test_a_board_is_described() -> None:
    record = _linux.record_of(_linux.parse_facts(printed(BOARD)), "ssh:pi")
    assert record == DeviceRecord(
        id="ssh:pi",
        name="Raspberry Pi 4 Model B Rev 1.4 (aarch64, 3 cores)",
        soc="BCM2835",
        system="Debian GNU/Linux 12 (bookworm), Linux 6.1.21-v8+",
        machine="aarch64",
        cores=3,
        clusters=(
            Cluster(cores=(0, 1), max_khz=1500000, governor="ondemand"),
            Cluster(cores=(2,), max_khz=2400000),
        ),
        ram_bytes=3884272 * 1024,
    )


def test_a_board_tells_its_state() -> None:
    state = _linux.state_of(_linux.parse_facts(printed(BOARD)), 3.5)
    assert state == DeviceState(
        at_s=3.5,
        celsius={"cpu-thermal": 48.312, "cpu-thermal (thermal_zone1)": 49.0},
        battery_percent=87.0,
        charging=False,
        khz=(600000, 700000, 900000),
        load=0.52,
    )


def test_the_commands_print_what_is_read_here() -> None:
    def told(command: str) -> dict[str, str]:
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, errors="replace", check=True)
        return _linux.parse_facts(done.stdout)

    here, there = _linux.local_record("host"), _linux.record_of(told(_linux.record_command()), "host")
    assert here == there
    assert here.cores > 0
    assert here.ram_bytes > 1 << 28
    assert here.machine
    state = _linux.state_of(told(_linux.state_command()), 0.0)
    local = _linux.local_state(0.0)
    assert state.load is not None
    assert (set(state.celsius), len(state.khz), state.charging) == (set(local.celsius), len(local.khz), local.charging)


def test_nothing_told_is_nothing_known() -> None:
    assert _linux.state_of({}, 1.0) == DeviceState(at_s=1.0)
    assert _linux.record_of({}, "x").machine == ""


@given(st.dictionaries(st.sampled_from(sorted(BOARD)), st.text(max_size=60)), st.text(max_size=200))
def test_no_text_is_an_error(changed: dict[str, str], output: str) -> None:
    facts = {**BOARD, **changed}
    state, record = _linux.state_of(facts, 0.0), _linux.record_of(facts, "x")
    assert state.battery_percent is None or 0 <= state.battery_percent <= 100
    assert state.load is None or state.load >= 0
    assert all(-60 < value < 200 for value in state.celsius.values())
    assert record.cores >= 1
    assert record.ram_bytes >= 0
    assert isinstance(_linux.parse_facts(output), dict)
    _linux.record_of(_linux.parse_facts(printed(facts)), "x")
