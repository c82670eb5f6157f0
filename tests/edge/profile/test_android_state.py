"""What Android's shell tells, as phones of several makers and versions print it, and garbage."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from android_dumps import BATTERY_7, BATTERY_14, EMULATOR, GALAXY_10, GALAXY_13, PIXEL_14, SAMSUNG_CPUFREQ, WITHOUT_HAL
from hypothesis import given
from hypothesis import strategies as st

from edge.profile.devices import _android as android
from edge.profile.records import Cluster


def test_temperatures_are_the_present_ones_and_only_temperatures() -> None:
    assert android.temperatures(PIXEL_14) == {
        "VIRTUAL-SKIN": 38.087505,
        "neutral_therm": 20.623001,
        "battery": 29.2,
        "cpu:BIG": 61.000004,
        "TPU": 37.0,
    }
    assert android.temperatures(GALAXY_10) == {"TYPE_CPU": 24.0, "TYPE_BATTERY": 24.4, "TYPE_SKIN": 25.3}
    assert android.temperatures(GALAXY_13) == {"cpu:AP": 41.5, "battery:BAT": 33.1, "SKIN": 36.4}
    assert android.temperatures(WITHOUT_HAL) == {}


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (PIXEL_14, "light"),
        (GALAXY_10, "none"),
        (GALAXY_13, "severe"),
        (GALAXY_13.replace("\n", "\r\n"), "severe"),
        (WITHOUT_HAL, "unknown"),
        (WITHOUT_HAL.replace("Status: 0", "Status: 2"), "moderate"),
        ("Thermal Status: 6\n", "shutdown"),
        ("Thermal Status: 7\n", "unknown"),
        ("Can't find service: thermalservice\n", "unknown"),
    ],
)
def test_the_thermal_status_is_unknown_where_nothing_would_raise_it(text: str, status: str) -> None:
    assert android.thermal_status(text) == status


def test_a_battery_tells_its_first_list_and_not_the_logs_after_it() -> None:
    assert android.battery(BATTERY_7) == android.Battery(percent=100.0, charging=True, celsius=27.4)
    assert android.battery(BATTERY_14) == android.Battery(
        percent=67.0, charging=False, celsius=33.7, charge=android.Charge(2483000, 3964)
    )
    assert android.battery(EMULATOR) == android.Battery(percent=89.0, charging=True)
    assert android.battery("  present: false\n  level: 100\n  AC powered: true\n") == android.Battery()
    assert android.battery("Can't find service: battery\n") == android.Battery()


def test_energy_is_the_charge_that_left_times_the_mean_voltage() -> None:
    # 1 mAh = 3.6 C; at a mean of 4 V: 14.4 J. What stays in the battery does not count, whatever the voltage does.
    before, after = android.Charge(3_000_000, 4100), android.Charge(2_999_000, 3900)
    assert android.drawn_joules(before, after) == pytest.approx(14.4)
    assert android.drawn_joules(before, android.Charge(3_000_000, 3900)) == 0


def test_properties_are_read_in_both_forms() -> None:
    listed = "[ro.product.model]: [Pixel 8]\n[a]: []\n[log.tag]: [one\ntwo]\n[b]: [x]: [y]]\n"
    values = android.properties(listed)
    assert values["ro.product.model"] == android.property_value(listed, "ro.product.model") == "Pixel 8"
    assert (values["a"], values["log.tag"], values["b"]) == ("", "one\ntwo", "x]: [y]")
    assert android.property_value("Pixel 8\n", "ro.product.model") == "Pixel 8"
    assert android.property_value("\n", "ro.soc.model") == android.property_value(listed, "ro.soc.model") == ""


def test_names_come_from_the_properties_that_a_version_has() -> None:
    new = {"ro.soc.manufacturer": "QTI", "ro.soc.model": "SM8650", "ro.board.platform": "pineapple"}
    assert android.soc_name(new) == "QTI SM8650"
    assert android.soc_name({"ro.board.platform": "msm8998"}) == "msm8998"
    assert android.soc_name({}) == ""
    assert (
        android.phone_name({"ro.product.manufacturer": "samsung", "ro.product.model": "SM-S921B"}) == "samsung SM-S921B"
    )
    assert android.phone_name({"ro.product.manufacturer": "HUAWEI", "ro.product.model": "Huawei P30"}) == "Huawei P30"
    assert android.system_name({"ro.build.version.release": "9", "ro.build.version.sdk": "28"}) == "Android 9 (API 28)"
    assert android.system_name({}) == "Android"
    assert android.machine_name({"ro.product.cpu.abi": "arm64-v8a"}) == "aarch64"
    assert android.machine_name({"ro.product.cpu.abilist": "x86_64,arm64-v8a"}) == "x86_64"
    assert android.machine_name({}, "armv8l\n") == "armv8l"


@pytest.mark.parametrize(
    ("values", "emulated"),
    [
        ({"ro.kernel.qemu": "1"}, True),
        ({"ro.boot.qemu": "1"}, True),
        ({"ro.hardware": "ranchu"}, True),
        ({"ro.build.characteristics": "emulator,nosdcard"}, True),
        ({"ro.hardware": "qcom", "ro.kernel.qemu": "0"}, False),
        ({}, False),
    ],
)
def test_emulators_say_so(values: dict[str, str], emulated: bool) -> None:
    assert android.is_emulated(values) is emulated


def test_cores_are_grouped_by_their_highest_frequency() -> None:
    found = android.clusters(SAMSUNG_CPUFREQ)
    assert found == (
        Cluster(cores=(0, 1), max_khz=2002000, governor="schedutil"),
        Cluster(cores=(6,), max_khz=2600000, governor="performance"),
    )
    assert android.current_khz(SAMSUNG_CPUFREQ) == (533000, 0, 0, 0, 0, 0, 2600000)
    assert android.current_khz("") == ()
    assert android.core_count("0-7\n", found) == 8
    assert android.core_count("0-3,6", found) == 5
    assert android.core_count("", found, "4\n") == 3
    assert android.core_count("", (), "4\n") == 4
    assert android.core_count("", ()) == 1


def test_memory_and_load() -> None:
    assert android.memory_bytes("MemTotal:        7768900 kB\nMemFree: 1 kB\n") == 7768900 * 1024
    assert android.memory_bytes("cat: /proc/meminfo: Permission denied") == 0
    assert android.load_average("5.81 5.60 5.17 2/2714 12345\n") == 5.81
    assert android.load_average("") is None
    assert android.load_average("nan 1 1") is None


def test_sections_without_a_beginning_are_dropped() -> None:
    assert android.sections("noise\n@@ a\r\n1\n2\n@@ b\n@@ a\n3\n", "@@") == {"a": "1\n2\n3\n\n", "b": ""}


READERS: tuple[Callable[[str], object], ...] = (
    android.properties,
    android.clusters,
    android.current_khz,
    android.memory_bytes,
    android.load_average,
    android.thermal_status,
    android.temperatures,
    android.battery,
    lambda text: android.property_value(text, "ro.product.model"),
    lambda text: android.core_count(text, (), text),
    lambda text: android.sections(text, "@@edge"),
)
_DUMPS = (PIXEL_14, GALAXY_10, GALAXY_13, WITHOUT_HAL, BATTERY_7, BATTERY_14, EMULATOR, SAMSUNG_CPUFREQ, "[a]: [b]\n")
_PIECES = st.sampled_from(
    (
        *(
            "Temperature{mValue=",
            "9" * 24,
            "-1",
            "NaN",
            "1e999",
            "٣",
            "²",
            "mType=",
            ", ",
            "}",
            "\n",
            "\r\n",
            "\t",
            "\0",
        ),
        *(
            " ",
            "  level: ",
            "  scale: 0\n",
            "[",
            "]: [",
            "MemTotal: ",
            " kB",
            "0-4095",
            "0-99999999999",
            ",",
            "@@edge a",
        ),
        *("Thermal Status: ", "cpu9999/cpufreq/", "Current temperatures from HAL:\n"),
    )
)


@given(st.one_of(st.text(), st.lists(_PIECES).map("".join)))
def test_no_reader_raises_on_garbage(text: str) -> None:
    for reader in READERS:
        reader(text)


@given(st.sampled_from(_DUMPS), st.integers(0, 2000), st.integers(0, 2000), st.one_of(_PIECES, st.text(max_size=5)))
def test_no_reader_raises_on_a_damaged_dump(dump: str, start: int, end: int, piece: str) -> None:
    damaged = dump[:start] + piece + dump[end:]
    for reader in READERS:
        reader(damaged)
    assert all(0 < celsius <= 150 for celsius in android.temperatures(damaged).values())
    percent = android.battery(damaged).percent
    assert percent is None or 0 <= percent <= 100
