"""A phone that is not there: a folder with what its shell shows, behind a daemon that the real adb client talks to.

`getprop`, `dumpsys`, `settings` and `uname` are scripts that print files of the folder's `state`, so that a test can
heat the phone; the rest of its shell, and everything it runs, is this machine's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from adbd import Daemon, Phone
from adbd_services import serve

from edge.profile.devices import Command

TMP = "/data/local/tmp"
SCRIPTS = {
    "getprop": """
file="$PHONE/state/getprop"
if [ $# = 0 ]; then cat "$file"; else sed -n "s/^\\[$1\\]: \\[\\(.*\\)\\]$/\\1/p" "$file"; fi
""",
    "dumpsys": """
if [ -f "$PHONE/state/$1" ]; then cat "$PHONE/state/$1"; else echo "Can't find service: $1" >&2; fi
""",
    "settings": """
file="$PHONE/state/settings.$2.$3"
case $1 in get) cat "$file" 2>/dev/null || echo null;; put) echo "$4" > "$file";; esac
""",
    "uname": 'if [ "$1" = -m ]; then echo aarch64; else echo Linux; fi\n',
}
PROPERTIES = {
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
    "ro.hardware": "shiba",
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.product.manufacturer": "Google",
    "ro.product.model": "Pixel 8",
    "ro.soc.manufacturer": "Google",
    "ro.soc.model": "Tensor G3",
}
CLUSTERS = {range(4): 1_704_000, range(4, 8): 2_367_000, range(8, 9): 2_914_000}  # cores → kHz
BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  status: 2
  present: true
  level: 81
  scale: 100
  voltage: 4203
  temperature: 274
"""


def sh(script: str, folder: str = TMP, **environment: str) -> Command:
    """Return a command that runs a script."""
    return Command(argv=("sh", "-c", script), folder=folder, environment=environment)


def make_phone(root: Path) -> Phone:
    """Write the folder of a cool phone with three clusters of cores."""
    for name, text in SCRIPTS.items():
        path = _written(root / "bin" / name, f"#!/bin/sh{'' if text.startswith(chr(10)) else chr(10)}{text}")
        path.chmod(0o755)
    (root / "data/local/tmp").mkdir(parents=True)
    phone = Phone(root)
    set_properties(phone)
    heat(phone, status=0, skin=31.5)
    _written(root / "state/battery", BATTERY)
    _written(root / "proc/meminfo", "MemTotal:        7768900 kB\nMemFree:          321000 kB\n")
    _written(root / "proc/loadavg", "1.25 0.90 0.61 2/2714 12345\n")
    cpu = root / "sys/devices/system/cpu"
    _written(cpu / "possible", "0-8\n")
    for cores, khz in CLUSTERS.items():
        for core in cores:
            _written(cpu / f"cpu{core}/cpufreq/cpuinfo_max_freq", f"{khz}\n")
            _written(cpu / f"cpu{core}/cpufreq/scaling_cur_freq", f"{khz // 2}\n")
            _written(cpu / f"cpu{core}/cpufreq/scaling_governor", "sched_pixel\n")
    return phone


def set_properties(phone: Phone, changed: Mapping[str, str] | None = None) -> None:
    """Write what getprop prints."""
    values = {**PROPERTIES, **(changed or {})}
    _written(phone.root / "state/getprop", "".join(f"[{name}]: [{value}]\n" for name, value in sorted(values.items())))


def heat(phone: Phone, *, status: int, skin: float) -> None:
    """Write what the thermal service prints; its cached readings are of another day."""
    text = f"""IsStatusOverride: false
Thermal Status: {status}
Cached temperatures:
\tTemperature{{mValue=99.0, mType=3, mName=VIRTUAL-SKIN, mStatus=0}}
HAL Ready: true
HAL connection:
\tThermalHAL AIDL 1  connected: yes
Current temperatures from HAL:
\tTemperature{{mValue={skin}, mType=3, mName=VIRTUAL-SKIN, mStatus={status}}}
\tTemperature{{mValue=41.0, mType=0, mName=BIG, mStatus=0}}
Current cooling devices from HAL:
\tCoolingDevice{{mValue=0, mType=2, mName=thermal-cpufreq-0}}
"""
    _written(phone.root / "state/thermalservice", text)


@contextlib.contextmanager
def adb_server(home: Path) -> Iterator[dict[str, str]]:
    """Run adb's server on a free port, with keys of its own; give the environment of its clients."""
    adb = shutil.which("adb")
    if adb is None:
        raise RuntimeError("these tests need adb: apt-get install adb")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    home.mkdir(parents=True, exist_ok=True)
    # The last one: adb's server looks for emulators up to this port.
    variables = {"HOME": str(home), "ANDROID_ADB_SERVER_PORT": port, "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ADB_", "ANDROID_"))}
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [adb, "nodaemon", "server"],
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _await_port(int(port))
        yield variables
    finally:
        server.terminate()
        server.wait(10)


@contextlib.contextmanager
def plugged_in(phone: Phone, environment: Mapping[str, str]) -> Iterator[Daemon]:
    """Connect a phone to adb's server, until the end of the block."""
    daemon = Daemon(phone, serve)

    def tell(word: str) -> None:
        variables = {**os.environ, **environment}
        subprocess.run(["adb", word, daemon.serial], env=variables, capture_output=True, timeout=60, check=False)

    try:
        tell("connect")
        yield daemon
    finally:
        tell("disconnect")
        daemon.close()


def _await_port(port: int) -> None:
    for _ in range(400):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"adb's server did not come up on port {port}")


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
