"""What the device and its network are like now, as far as this machine tells; apps bring providers of their own.

A provider is a function without arguments. What it does not know stays unknown, and an unknown network is metered.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edge.client.breaker import Clock
from edge.client.endpoint import Endpoint
from edge.profile.devices._linux import local_state
from edge.serve.call import Device, Network

R = TypeVar("R", Device, Network)
DeviceProvider = Callable[[], Device]
NetworkProvider = Callable[[], Network]
_KEPT_MS = 1_000.0
_MEMINFO, _INTERFACES = Path("/proc/meminfo"), Path("/sys/class/net")


def device_here() -> Device:
    """Return battery and memory of a Linux machine, which tells no thermal status; elsewhere nothing is known."""
    if sys.platform != "linux":
        return Device()
    state = local_state(0.0)
    return Device(available_bytes=_available_bytes(), battery_percent=state.battery_percent, charging=state.charging)


def network_to(endpoint: Endpoint | None) -> NetworkProvider:
    """Return the provider for an endpoint: this machine is always reached, others if an interface is up."""

    def network() -> Network:
        if endpoint is None:
            return Network()
        return Network(online=True, metered=False) if endpoint.local else Network(online=_connected())

    return network


def kept(provider: Callable[[], R], unknown: R, clock: Clock) -> Callable[[], R]:
    """Return the provider asked at most once a second; one that raises knows nothing."""
    last: list[tuple[float, R]] = []

    def read() -> R:
        now = clock()
        if not last or not 0 <= now - last[-1][0] < _KEPT_MS:
            try:
                found = provider()
            except Exception:  # of an app's own code, which must not take a call down
                found = unknown
            last[:] = [(now, found)]
        return last[-1][1]

    return read


def _available_bytes() -> int | None:
    try:
        found = re.search(r"^MemAvailable:\s+([0-9]{1,15}) kB", _MEMINFO.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found.group(1)) * 1024 if found else None


def _connected() -> bool:
    """Say whether an interface other than loopback is up."""
    try:
        names = [path for path in _INTERFACES.iterdir() if path.name != "lo"]
        return any((path / "operstate").read_text().strip() in ("up", "unknown") for path in names)
    except OSError:
        return False
