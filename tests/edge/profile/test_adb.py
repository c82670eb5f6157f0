"""State, energy and files of a phone over adb: the real client against a daemon that speaks its protocol."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from adbd import Daemon, Phone
from fake_phone import BATTERY, TMP, heat

from edge.errors import MissingError, TargetError, UsageError
from edge.profile.devices import Bundle, BundleFile, Command, Device, EnergyCounter, _adb_files, _adb_shell

pytest_plugins = ("adb_fixtures",)


def pushes(phone: Phone) -> int:
    """Return how many transfers there were."""
    return sum(service.startswith("sync:") for service in phone.opened)


def test_the_state_follows_the_phone(device: Device, phone: Phone) -> None:
    cool = device.state(1.5)
    assert (cool.at_s, cool.thermal, cool.battery_percent, cool.charging, cool.load) == (1.5, "none", 81, True, 1.25)
    assert cool.celsius == {"VIRTUAL-SKIN": 31.5, "cpu:BIG": 41.0, "battery": 27.4}
    assert cool.khz == (852_000,) * 4 + (1_183_500,) * 4 + (1_457_000,)
    heat(phone, status=3, skin=44.25)
    hot = device.state(2.0)
    assert (hot.thermal, hot.celsius["VIRTUAL-SKIN"]) == ("severe", 44.25)


def test_what_a_phone_does_not_tell_is_unknown(device: Device, phone: Phone) -> None:
    shutil.rmtree(phone.root / "state")
    shutil.rmtree(phone.root / "sys")
    shutil.rmtree(phone.root / "proc")
    state = device.state(0.0)
    assert (state.thermal, state.celsius, state.battery_percent, state.charging) == ("unknown", {}, None, None)
    assert (state.khz, state.load) == ((), None)


def test_energy_is_read_from_a_battery_that_is_not_powered(device: Device, phone: Phone) -> None:
    assert "is powered by its cable" in str(device.energy())
    unplugged = BATTERY.replace("USB powered: true", "USB powered: false").replace("status: 2", "status: 3")
    (phone.root / "state/battery").write_text(unplugged)
    assert device.energy() == "the phone's battery has no charge counter"
    read = []
    for microampere_hours in (3_000_000, 2_999_000, 2_997_000):
        (phone.root / "state/battery").write_text(f"{unplugged}  Charge counter: {microampere_hours}\n")
        counter = device.energy()
        assert isinstance(counter, EnergyCounter)
        read.append(counter.joules)
    assert read == pytest.approx([0.0, 3.6 * 4.203, 3 * 3.6 * 4.203])


def test_a_bundle_is_pushed_once_and_again_where_a_file_differs(
    device: Device, phone: Phone, bundle: Callable[..., Bundle]
) -> None:
    folder = device.put(bundle())
    there = phone.root / folder.lstrip("/")
    assert (folder, pushes(phone)) == (f"{TMP}/edge/{bundle().key()}", 2)
    assert {path.name: path.stat().st_mode & 0o777 for path in there.iterdir()} == {
        "runner": 0o755,
        "model's data.bin": 0o644,
    }
    assert (device.put(bundle()), pushes(phone)) == (folder, 2)
    (there / "model's data.bin").write_bytes(b"1235")  # as long as before
    assert (device.put(bundle()), pushes(phone)) == (folder, 3)
    assert (there / "model's data.bin").read_bytes() == b"1234"
    assert device.run(Command(argv=("./runner",), folder=folder), 20).output == "ready\n"
    assert device.put(bundle(data=b"another")) != folder


def test_what_arrives_changed_is_refused(device: Device, phone: Phone, bundle: Callable[..., Bundle]) -> None:
    phone.faults.corrupt = True
    with pytest.raises(TargetError, match=r"runner arrived on .* as \w{12}…, expected \w{12}… \(sha256\)"):
        device.put(bundle())
    phone.faults.corrupt = False
    device.put(bundle())


def test_a_phone_without_sha256sum_has_its_files_read_back(
    device: Device, phone: Phone, bundle: Callable[..., Bundle]
) -> None:
    for name in ("sha256sum", "toybox"):
        (phone.root / "bin" / name).write_text("#!/bin/sh\necho no such applet >&2; exit 127\n")
        (phone.root / "bin" / name).chmod(0o755)
    device.put(bundle())
    device.put(bundle())
    assert pushes(phone) == 2
    phone.faults.corrupt = True
    with pytest.raises(TargetError, match="arrived"):
        device.put(bundle(data=b"other"))


def test_a_push_that_fails_says_why(
    device: Device, phone: Phone, bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    phone.faults.full = True
    with pytest.raises(TargetError, match="cannot push runner to .*No space left on device"):
        device.put(bundle())
    with pytest.raises(UsageError, match="'a/b' cannot name a file of a bundle; expected a name without folders"):
        device.put(Bundle(files=(BundleFile(name="a/b", path=tmp_path / "data"),)))


def test_one_file_comes_back(device: Device, bundle: Callable[..., Bundle], tmp_path: Path) -> None:
    folder = device.put(bundle(data=bytes(range(256)) * 1000))
    device.get(f"{folder}/model's data.bin", tmp_path / "new/back.bin")
    assert (tmp_path / "new/back.bin").read_bytes() == bytes(range(256)) * 1000
    with pytest.raises(TargetError, match=r"cannot pull .*/none from .*does not exist"):
        device.get(f"{folder}/none", tmp_path / "new/none")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["back.bin"]


def test_a_push_that_breaks_off_is_taken_up_again(
    phone: Phone, device: Device, bundle: Callable[..., Bundle], plugged: Daemon
) -> None:
    data = os.urandom(600_000)
    phone.faults.cut_after = 300_000
    with pytest.raises(MissingError, match=f"device {plugged.serial} (is offline|was lost)"):
        device.put(bundle(data=data))
    _adb_shell.Shell(device._shell.client).state(20.0)  # type: ignore[attr-defined]
    folder = device.put(bundle(data=data))
    assert (phone.root / folder.lstrip("/") / "model's data.bin").read_bytes() == data


def test_a_slow_link_is_waited_for_and_a_dead_one_is_not(
    phone: Phone, device: Device, bundle: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    phone.faults.bytes_per_s = 200_000
    folder = device.put(bundle(data=os.urandom(100_000)))
    assert device.run(Command(argv=("./runner",), folder=folder), 20).output == "ready\n"
    phone.faults.bytes_per_s = 20_000
    monkeypatch.setattr(_adb_files, "FILES_S", 0.4)
    with pytest.raises(MissingError, match=r"was lost \(it does not answer\)"):
        device.put(bundle(data=os.urandom(100_000)))
    phone.faults.bytes_per_s = 0
