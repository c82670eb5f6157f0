"""Call the user's `adb`: find it, list what is connected, run it with a limit, and tell its failures from a program's.

ADB_SERVER_PORT, ANDROID_ADB_SERVER_PORT, ANDROID_SERIAL and the keys in the user's home are adb's own and stay so.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.errors import MissingError

LIST_S = 20.0  # the first call starts adb's server
GRACE_S = 5.0  # for a client to print what is on its way after its command was ended
READY = "device"
GONE = "gone"
_GET_ADB = (
    "adb is not installed: apt-get install adb (Debian, Ubuntu), brew install android-platform-tools (macOS), or put "
    "the platform-tools folder of the Android SDK on PATH"
)
_QUOTED = re.compile("'[^']*'")  # names of files and phones, which may hold any word
_BROKEN = re.compile(
    r"^(?:error|adb(?:\.exe)?): .*"
    r"(offline|not found$|no devices|unauthorized|authorizing|connecting|closed|protocol fault|connection reset"
    r"|cannot connect to daemon|failed to get feature set|failed to read|couldn't read|connect failed|broken pipe"
    r"|no response|transport)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a call of adb printed, and its exit code; a code says little, adb ends with 0 when a device vanishes."""

    code: int
    output: bytes
    errors: str
    timed_out: bool = False

    @property
    def text(self) -> str:
        """Return the output; shells before Android 7 sit behind a terminal, which ends lines with CR LF."""
        return self.output.decode("utf-8", "replace").replace("\r\n", "\n")

    @property
    def connection_problem(self) -> str:
        """Return adb's own line about a connection that failed; empty if it wrote none."""
        lines = (line.strip() for line in self.errors.splitlines())
        return next((line for line in lines if _BROKEN.match(_QUOTED.sub("''", line))), "")

    @property
    def complaint(self) -> str:
        """Return the line that says what went wrong, or else the last one."""
        lines = [line.strip() for line in (self.errors + "\n" + self.text).splitlines() if line.strip()]
        wrong = [line for line in lines if "error" in line or "failed" in line]
        return (wrong or lines or [f"adb ended with {self.code} and said nothing"])[-1]


@dataclass(frozen=True, slots=True)
class Client:
    """The program `adb`, talking to one device."""

    program: str
    serial: str

    def call(self, *words: str, timeout_s: float, on_timeout: Callable[[], None] | None = None) -> Said:
        """Run `adb -s SERIAL words…`; past the limit `on_timeout` is called, then adb itself is ended.

        What was printed until then is kept. Raises MissingError if adb cannot be started.
        """
        return _call((self.program, "-s", self.serial, *words), timeout_s, on_timeout)

    def state(self) -> str:
        """Return adb's word for the device: `device` if it is ready, `gone` if adb does not list it."""
        return connected(self.program).get(self.serial, GONE)


def find_adb() -> str:
    """Return the adb of PATH or of the Android SDK that ANDROID_HOME names; raises MissingError without one."""
    homes = [os.environ.get(name) for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT")]
    folders = [str(Path(home) / "platform-tools") for home in homes if home]
    for path in (None, os.pathsep.join(folders)):
        found = shutil.which("adb", path=path)
        if found:
            return found
    raise MissingError(_GET_ADB)


def connected(program: str) -> dict[str, str]:
    """Return serial → state of what `adb devices` lists; raises MissingError if adb's server cannot be reached."""
    said = _call((program, "devices"), LIST_S, None)
    if said.timed_out or said.code != 0:
        why = f"it did not answer within {LIST_S:g} s" if said.timed_out else said.complaint
        raise MissingError(f"adb's server cannot be reached ({why}); restart it: adb kill-server && adb start-server")
    return parse_devices(said.text)


def parse_devices(text: str) -> dict[str, str]:
    """Return serial → state of what `adb devices [-l]` printed."""
    found = {}
    for line in text.splitlines():
        serial, _, rest = line.strip().partition("\t" if "\t" in line else " ")
        state = re.split(r"\s+(?:usb|product|model|device|transport_id):", rest.strip())[0]
        if serial and state and not line.startswith(("*", "List of", "adb")):
            found[serial] = state.strip()
    return found


def choose(listed: Mapping[str, str], wanted: str) -> str:
    """Return the device that is wanted, or the only one that is ready.

    Raises MissingError for one that is not there or not ready, and if there are none or several.
    """
    if wanted:
        problem = state_problem(wanted, listed.get(wanted, GONE))
        if problem:
            others = ", ".join(serial for serial in listed if serial != wanted)
            raise MissingError(f"{problem}{f' (connected: {others})' if others else ''}")
        return wanted
    ready = [serial for serial, state in listed.items() if state == READY]
    if len(ready) == 1:
        return ready[0]
    if ready:
        raise MissingError(f"{len(ready)} devices are connected; name one of them: adb:{' or adb:'.join(ready)}")
    if listed:
        raise MissingError("; ".join(state_problem(serial, state) for serial, state in listed.items()))
    raise MissingError(
        "no device is connected to adb: plug a phone in and allow USB debugging in its developer options, or connect "
        "over the network with `adb connect HOST:PORT`; `adb devices` has to list it"
    )


def state_problem(serial: str, state: str) -> str:
    """Say what a state other than `device` means and what mends it; empty for a device that is ready."""
    if state == READY:
        return ""
    network = re.search(r":\d+$", serial) is not None
    if state == GONE:
        mend = f"adb connect {serial}" if network else "plug it in; `adb devices` has to list it"
        return f"device {serial} is not connected; mend: {mend}"
    if state == "unauthorized":
        return (
            f"device {serial} is unauthorized; mend: unlock it and accept 'Allow USB debugging?' (if it does not ask: "
            "revoke USB debugging authorizations in its developer options, then adb reconnect)"
        )
    if state == "offline":
        again = f"adb disconnect {serial} && adb connect {serial}" if network else "plug it in again"
        return f"device {serial} is offline; mend: {again}, or adb reconnect offline"
    if state.startswith("no permissions"):
        return f"device {serial}: {state}; mend: udev rules, apt-get install android-sdk-platform-tools-common (Debian)"
    if state in ("authorizing", "connecting"):
        return f"device {serial} is still {state}; mend: wait and try again"
    return f"device {serial} is in state {state!r}, in which it runs no commands; mend: adb -s {serial} reboot"


def _call(command: tuple[str, ...], timeout_s: float, on_timeout: Callable[[], None] | None) -> Said:
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )  # its own session: Ctrl-C ends the command on the device first, and adb's server never
    except OSError as error:
        raise MissingError(f"{command[0]} cannot be started ({error.strerror}); {_GET_ADB}") from None
    timed_out = False
    with process:
        try:
            output, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            timed_out = True
            output, errors = _ended(process, on_timeout)
        except BaseException:
            _ended(process, on_timeout)
            raise
    return Said(code=process.returncode, output=output, errors=errors.decode("utf-8", "replace"), timed_out=timed_out)


def _ended(process: subprocess.Popen[bytes], on_timeout: Callable[[], None] | None) -> tuple[bytes, bytes]:
    if on_timeout is not None:
        try:
            on_timeout()
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.communicate(timeout=GRACE_S)
        except BaseException:
            process.kill()
            raise
    process.kill()
    return process.communicate()
