"""Which phone `adb` and `adb:SERIAL` open, and what is said of one that cannot be opened; the real adb client."""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path

import pytest
from adbd import Daemon, Phone
from fake_phone import make_phone, plugged_in, set_properties

from edge.errors import MissingError, UsageError
from edge.profile.devices import open_device
from edge.profile.devices._adb import Said, choose, find_adb, parse_devices, state_problem
from edge.profile.records import Cluster

pytest_plugins = ("adb_fixtures",)


def test_the_only_phone_is_opened_and_describes_itself(plugged: Daemon) -> None:
    device = open_device("adb")
    record = device.probe()
    assert device.id == record.id == f"adb:{plugged.serial}"
    assert (record.name, record.soc, record.system) == ("Google Pixel 8", "Google Tensor G3", "Android 14 (API 34)")
    assert (record.machine, record.cores, record.ram_bytes) == ("aarch64", 9, 7768900 * 1024)
    assert record.clusters == (
        Cluster(cores=(0, 1, 2, 3), max_khz=1_704_000, governor="sched_pixel"),
        Cluster(cores=(4, 5, 6, 7), max_khz=2_367_000, governor="sched_pixel"),
        Cluster(cores=(8,), max_khz=2_914_000, governor="sched_pixel"),
    )
    assert not record.emulated


def test_an_emulated_phone_or_processor_is_no_phone(phone: Phone, plugged: Daemon) -> None:
    assert open_device("adb", ("qemu-aarch64-static", "-cpu", "max")).probe().emulated
    set_properties(phone, {"ro.hardware": "ranchu"})
    assert open_device("adb").probe().emulated


def test_a_phone_that_tells_nothing_is_described_by_its_serial(phone: Phone, plugged: Daemon) -> None:
    (phone.root / "state/getprop").unlink()
    (phone.root / "bin/uname").write_text("#!/bin/sh\nexit 1\n")
    record = open_device("adb").probe()
    assert (record.name, record.soc, record.machine) == (plugged.serial, "", "unknown")


def test_one_of_several_phones_has_to_be_named(
    plugged: Daemon, adb_clients: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plugged_in(make_phone(tmp_path / "second"), adb_clients) as second:
        with pytest.raises(MissingError, match=r"^2 devices are connected; name one of them: adb:127\S+ or adb:127"):
            open_device("adb")
        assert open_device(f"adb:{second.serial}").id == f"adb:{second.serial}"
        monkeypatch.setenv("ANDROID_SERIAL", plugged.serial)
        assert open_device("adb").id == f"adb:{plugged.serial}"
        monkeypatch.delenv("ANDROID_SERIAL")
        second.unplug()
        assert open_device("adb").id == f"adb:{plugged.serial}"


def test_no_phone_and_a_phone_that_is_not_there(adb_clients: dict[str, str]) -> None:
    with pytest.raises(MissingError, match="no device is connected to adb: plug a phone in and allow USB debugging"):
        open_device("adb")
    with pytest.raises(
        MissingError, match=r"device 10\.0\.0\.9:5555 is not connected; mend: adb connect 10\.0\.0\.9:5555$"
    ):
        open_device("adb:10.0.0.9:5555")
    with pytest.raises(UsageError, match="names no device; expected adb or adb:NAME"):
        open_device("adb:")


def test_an_unauthorized_phone_says_how_to_allow_it(phone: Phone, adb_clients: dict[str, str]) -> None:
    phone.faults.unauthorized = True
    with plugged_in(phone, adb_clients) as daemon:
        for name in ("adb", f"adb:{daemon.serial}"):
            with pytest.raises(MissingError, match="is unauthorized; mend: unlock it and accept 'Allow USB debugging"):
                open_device(name)


def test_a_phone_whose_connection_broke_is_offline(plugged: Daemon) -> None:
    plugged.unplug()
    with pytest.raises(
        MissingError, match=f"device {plugged.serial} is (offline|not connected); mend: adb (dis)?connect"
    ):
        open_device("adb:" + plugged.serial)


def test_without_adb_the_command_that_gets_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ANDROID_HOME", raising=False)
    monkeypatch.delenv("ANDROID_SDK_ROOT", raising=False)
    with pytest.raises(MissingError, match="adb is not installed: apt-get install adb"):
        open_device("adb")
    tool = tmp_path / "sdk/platform-tools/adb"
    tool.parent.mkdir(parents=True)
    tool.write_text("not a program")
    tool.chmod(0o755)
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path / "sdk"))
    assert find_adb() == str(tool)
    with pytest.raises(MissingError, match="cannot be started"):
        open_device("adb")


def test_something_else_on_the_port_of_adbs_server(
    adb_clients: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for _ in range(20):
                try:
                    link, _ = listener.accept()
                except OSError:
                    return
                with link:
                    link.sendall(b"SSH-2.0\r\n")

        threading.Thread(target=answer, daemon=True).start()
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(listener.getsockname()[1]))
        with pytest.raises(MissingError, match=r"adb's server cannot be reached \(.+\); restart it: adb kill-server"):
            open_device("adb")
        listener.shutdown(socket.SHUT_RDWR)


def test_lists_of_devices_are_read_as_adb_prints_them() -> None:
    listed = parse_devices(
        "* daemon not running; starting now at tcp:5037\n* daemon started successfully\nList of devices attached\n"
        "8A1X0ABCD\tdevice\nemulator-5554\toffline\n0123456789\tunauthorized\n"
        "????????????\tno permissions (user in plugdev group; are your udev rules wrong?); see [http://example.org]\n\n"
    )
    assert listed == {
        "8A1X0ABCD": "device",
        "emulator-5554": "offline",
        "0123456789": "unauthorized",
        "????????????": "no permissions (user in plugdev group; are your udev rules wrong?); see [http://example.org]",
    }
    long = parse_devices(
        "List of devices attached\n8A1X0ABCD              device usb:1-2 product:shiba model:Pixel_8 device:shiba "
        "transport_id:4\n0123456789             recovery usb:1-3 transport_id:5\n"
    )
    assert long == {"8A1X0ABCD": "device", "0123456789": "recovery"}
    assert choose(listed, "") == "8A1X0ABCD"
    with pytest.raises(MissingError, match=r"emulator-5554 is offline.* \(connected: 8A1X0ABCD, 0123456789"):
        choose(listed, "emulator-5554")


@pytest.mark.parametrize(
    ("line", "broken"),
    [
        ("error: device '127.0.0.1:5555' not found", True),
        ("error: device offline", True),
        ("error: closed", True),
        ("error: protocol fault (couldn't read status): Connection reset by peer", True),
        ("adb: error: failed to get feature set: no devices/emulators found", True),
        ("adb: error: connect failed: closed", True),
        ("adb.exe: device unauthorized.", True),
        (
            "adb: error: failed to copy 'offline.bin' to '/data/x closed': remote write failed: No space left",
            False,
        ),
        ("adb: error: remote object '/data/connecting' does not exist", False),
        ("adb: error: cannot stat 'closed': No such file or directory", False),
        ("the program says: connection reset, offline, closed", False),
    ],
)
def test_a_failure_of_the_connection_is_told_from_others(line: str, broken: bool) -> None:
    said = Said(code=1, output=b"", errors=f"noise\n{line}\n")
    assert said.connection_problem == (line if broken else "")
    assert said.complaint == line


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("device", "^$"),
        ("recovery", "in state 'recovery', in which it runs no commands; mend: adb -s X reboot"),
        ("authorizing", "still authorizing; mend: wait and try again"),
        ("no permissions; see [http://example.org]", "no permissions; .*udev"),
        ("gone", "device X is not connected; mend: plug it in"),
        ("offline", "device X is offline; mend: plug it in again"),
    ],
)
def test_every_state_says_what_mends_it(state: str, said: str) -> None:
    assert re.search(said, state_problem("X", state))
