"""An iPhone or iPad that is connected to this Mac: `xcrun[:UDID]`, through Xcode's devicectl and coremltools.

Commands run on the Mac; coremltools' model runner, an app that it builds and signs, runs the model on the phone.
Written from coremltools' sources and tested with a stand-in for xcrun alone: it has not yet run on a Mac.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.errors import MissingError, UsageError
from edge.profile.devices import Device, EnergyCounter, device
from edge.profile.devices.host import Host
from edge.profile.records import DeviceRecord, DeviceState

_LIST_S = 60


class Xcrun(Host):
    """A phone behind this Mac; files stay on the Mac, and coremltools brings the model over."""

    kind = "xcrun"

    def __init__(self, phone: Mapping[str, Any]) -> None:
        super().__init__(())
        self._phone = phone
        self.udid = str(phone["hardwareProperties"]["udid"])
        self.id = f"xcrun:{self.udid}"

    def probe(self) -> DeviceRecord:
        """Describe the phone; devicectl does not tell its cores."""
        hardware, properties = self._phone["hardwareProperties"], self._phone.get("deviceProperties", {})
        return DeviceRecord(
            id=self.id,
            name=str(hardware.get("marketingName") or properties.get("name") or self.udid),
            soc=str(hardware.get("hardwareModel", "")),
            system=f"{hardware.get('platform', 'iOS')} {properties.get('osVersionNumber', '')}".strip(),
            machine="aarch64",
            cores=0,
        )

    def state(self, at_s: float) -> DeviceState:
        """Return nothing known: devicectl tells neither temperature nor load."""
        return DeviceState(at_s=at_s)

    def energy(self) -> EnergyCounter | str:
        """Say why there is no reading."""
        return "devicectl tells no energy"


def connected(listing: str) -> list[Mapping[str, Any]]:
    """Return the phones and tablets in the JSON of `devicectl list devices` that are connected; others are left out."""
    try:
        found = json.loads(listing)["result"]["devices"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return [phone for phone in found if _is_connected(phone)] if isinstance(found, list) else []


def _is_connected(phone: Any) -> bool:
    try:
        hardware, connection = phone["hardwareProperties"], phone["connectionProperties"]
        known = isinstance(phone.get("deviceProperties", {}), dict) and isinstance(hardware["udid"], str)
        return known and hardware["deviceType"] in ("iPhone", "iPad") and connection["tunnelState"] == "connected"
    except (KeyError, TypeError, AttributeError):
        return False


def _listing() -> str:
    with tempfile.TemporaryDirectory(prefix="edge-xcrun-") as folder:
        path = Path(folder) / "devices.json"
        words = ["xcrun", "devicectl", "list", "devices", "--json-output", str(path)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_LIST_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MissingError(f"`xcrun devicectl` does not answer ({error}); xcode-select --install") from None
        if done.returncode != 0 or not path.is_file():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise MissingError(f"`xcrun devicectl` failed ({last}); Xcode 15 or later is needed")
        return path.read_text(errors="replace")


@device("xcrun")
def open_xcrun(name: str, prefix: tuple[str, ...]) -> Device:
    """Open a connected phone; raises MissingError off macOS, without Xcode or without the phone."""
    if sys.platform != "darwin":
        raise MissingError(
            f"xcrun needs a Mac with Xcode, and this is {platform.system()}: profile there, or measure the model's "
            "other artifacts on host, adb or ssh"
        )
    if shutil.which("xcrun") is None:
        raise MissingError("there is no xcrun: install Xcode 15 or later, then `xcode-select --install`")
    if prefix:
        raise UsageError(f"{' '.join(prefix)!r} cannot come before what an app does on a phone; leave the prefix out")
    phones = connected(_listing())
    names = [str(phone["hardwareProperties"]["udid"]) for phone in phones]
    if name and name not in names:
        raise MissingError(f"xcrun:{name} is not connected; connected: {', '.join(names) or 'none'}")
    if not name and len(phones) != 1:
        raise MissingError(f"{len(phones)} phones are connected ({', '.join(names) or 'none'}); name one: xcrun:UDID")
    return Xcrun(phones[names.index(name) if name else 0])
