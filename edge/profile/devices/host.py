"""This machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import msgspec

from edge.errors import TargetError, UsageError
from edge.profile.devices import Bundle, Command, Device, Ended, EnergyCounter, device, is_emulator
from edge.profile.devices._linux import local_record, local_state
from edge.profile.machine import host_name
from edge.profile.records import DeviceRecord, DeviceState

_RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")


class Host:
    """The machine that the kit runs on; files stay where they are."""

    kind = "host"
    id = "host"

    def __init__(self, prefix: tuple[str, ...]) -> None:
        self.prefix = prefix
        self._folder = Path(tempfile.mkdtemp(prefix="edge-profile-"))

    def probe(self) -> DeviceRecord:
        """Describe this machine."""
        return msgspec.structs.replace(local_record(self.id), name=host_name(), emulated=is_emulator(self.prefix))

    def state(self, at_s: float) -> DeviceState:
        """Read load, frequencies and temperatures, as far as this machine tells them."""
        return local_state(at_s)

    def energy(self) -> EnergyCounter | str:
        """Read the processor package's counter (Linux powercap, in microjoules), which only root may."""
        try:
            return EnergyCounter(int(_RAPL.read_text()) / 1e6, f"RAPL counter {_RAPL.parent.name}")
        except (OSError, ValueError):
            return f"{_RAPL} cannot be read: this machine has no such counter, or shows it to root alone"

    def put(self, bundle: Bundle) -> str:
        """Link the files into one folder of this profile."""
        folder = self._folder / bundle.key()
        folder.mkdir(exist_ok=True)
        for file in bundle.files:
            link = folder / file.name
            if not link.is_symlink():
                link.symlink_to(file.path.resolve())
        return str(folder)

    def run(self, command: Command, timeout_s: float) -> Ended:
        """Run a command in a process group of its own, which is ended with it."""
        words = [*self.prefix, *command.argv]
        try:
            process = subprocess.Popen(
                words, cwd=command.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, errors="replace", start_new_session=True, env={**os.environ, **command.environment},
            )  # fmt: skip
        except OSError as error:
            return Ended(code=None, output="", errors="", problem=f"{words[0]} cannot be started: {error.strerror}")
        try:
            output, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _end(process)
            output, errors = process.communicate()
            return Ended(code=None, output=output, errors=errors, problem=f"it ran past its {timeout_s:g} s")
        except BaseException:
            _end(process)
            raise
        return Ended(code=process.returncode, output=output, errors=errors)

    def get(self, remote: str, local: Path) -> None:
        """Copy a file; raises TargetError if there is none."""
        try:
            shutil.copyfile(remote, local)
        except OSError as error:
            raise TargetError(f"{remote} was not written: {error.strerror}") from None

    def close(self) -> None:
        """Remove the folder of links."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@device("host")
def open_host(name: str, prefix: tuple[str, ...]) -> Device:
    """Open this machine; raises UsageError for a name, as there is only one."""
    if name:
        raise UsageError(f"host:{name} is no device; expected host (adb:SERIAL and ssh:HOST are other machines)")
    return Host(prefix)
