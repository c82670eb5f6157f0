"""A Linux board, or any machine, over the user's ssh: `ssh:HOST`, HOST as in `ssh HOST`.

Files go through ssh itself, as a board may have no scp or sftp server, into ~/.cache/edge-profile there: each once, by
its hash, and bundles are folders of hard links to them. They stay for the next profile.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shlex
import subprocess
from pathlib import Path

from edge.artifact import file_digest
from edge.errors import EdgeError, MissingError, TargetError, UsageError
from edge.profile.devices import Bundle, BundleFile, Command, Device, Ended, EnergyCounter, device, is_emulator
from edge.profile.devices._linux import parse_facts, record_command, record_of, state_command, state_of
from edge.profile.devices._ssh_link import Link, Said, drained, said
from edge.profile.records import DeviceRecord, DeviceState

_ROOT = '"$HOME"/.cache/edge-profile'
_HERE = "=edge-folder= "
_DATA = b"=edge-data=\n"  # before a file's content: a login shell may print before it
_PUSH_S = 3600.0
_STATE_S = 20.0
_END_S = 15.0
_RAPL = "/sys/class/powercap/intel-rapl:0/energy_uj"


class Ssh:
    """A machine behind an open connection."""

    kind = "ssh"

    def __init__(self, host: str, prefix: tuple[str, ...]) -> None:
        """Connect; raises MissingError if that fails, with what mends it."""
        self.id = f"ssh:{host}"
        self.prefix = prefix
        self._link = Link(host)
        self._root = ""
        self._running: set[str] = set()

    def probe(self) -> DeviceRecord:
        """Describe the machine."""
        told = self._link.ask(record_command()).output.decode(errors="replace")
        record = record_of(parse_facts(told), self.id)
        if not record.machine:
            raise MissingError(f"{self.id} does not say what it is (`uname -m`); a POSIX shell is needed there")
        return DeviceRecord(
            **{name: getattr(record, name) for name in record.__struct_fields__ if name != "emulated"},
            emulated=is_emulator(self.prefix),
        )

    def state(self, at_s: float) -> DeviceState:
        """Read load, frequencies, temperatures and the battery."""
        found = self._link.call(state_command(), timeout_s=_STATE_S)
        return state_of(parse_facts(found.output.decode(errors="replace")), at_s)

    def energy(self) -> EnergyCounter | str:
        """Read the processor package's counter (Linux powercap, in microjoules), where the user there may."""
        text = self._link.call(f"cat {_RAPL}", timeout_s=_STATE_S).output.strip().rpartition(b"\n")[2]
        if text.isdigit():
            return EnergyCounter(int(text) / 1e6, "RAPL counter intel-rapl:0")
        return f"{_RAPL} cannot be read on {self.id}: it has no such counter, or shows it to root alone"

    def put(self, bundle: Bundle) -> str:
        """Bring files over that are not there with their hashes, and return the folder."""
        folder = f"{self._folder()}/{bundle.key()}"
        digests = {file.name: file_digest(file.path) for file in bundle.files}
        there = self._digests(folder, list(digests))
        for file in bundle.files:
            if there.get(file.name) != digests[file.name]:
                self._push(file, digests[file.name], folder)
        there = self._digests(folder, list(digests))
        for name, digest in digests.items():
            if there.get(name) != digest:
                raise TargetError(f"{folder}/{name} on {self.id} is not what was sent; is its disk full?")
        return folder

    def _folder(self) -> str:
        if not self._root:
            script = f"mkdir -p {_ROOT}/files && cd {_ROOT} && echo && echo '{_HERE}'\"$(pwd -P)\""
            found = self._link.ask(script)
            for line in found.output.decode(errors="replace").splitlines():
                if line.startswith(_HERE):
                    self._root = line.removeprefix(_HERE)
            if not self._root:
                raise TargetError(f"~/.cache/edge-profile cannot be made on {self.id}: {found.errors.strip()}")
        return self._root

    def _digests(self, folder: str, names: list[str]) -> dict[str, str]:
        """Return the hashes of those files that are in a folder."""
        quoted = " ".join(shlex.quote(f"./{name}") for name in names)
        look = f"cd {shlex.quote(folder)} 2>/dev/null && sha256sum {quoted} 2>/dev/null"
        found = self._link.ask(f"{look}; command -v sha256sum")
        text = found.output.decode(errors="replace")
        if found.code != 0:
            raise MissingError(f"{self.id} has no sha256sum; install coreutils or busybox there")
        pairs = [line.split(maxsplit=1) for line in text.splitlines() if len(line.split(maxsplit=1)) == 2]
        return {name.lstrip("*").removeprefix("./"): digest for digest, name in pairs if len(digest) == 64}

    def _push(self, file: BundleFile, digest: str, folder: str) -> None:
        """Bring one file into the store of files, unless it is there, and link it into a bundle's folder."""
        kept, linked = f"{self._folder()}/files/{digest}", f"{folder}/{file.name}"
        if self._digests(f"{self._folder()}/files", [digest]).get(digest) != digest:
            part = f"{kept}.{secrets.token_hex(4)}"
            with file.path.open("rb") as stream:
                sent = self._link.ask(
                    f"cat > {shlex.quote(part)} && mv -f {shlex.quote(part)} {shlex.quote(kept)}",
                    stdin=stream, timeout_s=_PUSH_S,
                )  # fmt: skip
            self._done(sent, file.name)
        mode = f" && chmod 755 {shlex.quote(linked)}" if file.executable else ""
        place = f"mkdir -p {shlex.quote(folder)} && ln -f {shlex.quote(kept)} {shlex.quote(linked)}"
        copy = f"cp -f {shlex.quote(kept)} {shlex.quote(linked)}"  # a file system without hard links
        self._done(self._link.ask(f"{{ {place} 2>/dev/null || {copy}; }}{mode}"), file.name)

    def _done(self, found: Said, name: str) -> None:
        if found.code != 0:
            raise TargetError(f"{name} cannot be written on {self.id}: {found.errors.strip()}")

    def run(self, command: Command, timeout_s: float) -> Ended:
        """Run a command; its processes are ended there with it, and what was printed is kept."""
        words = ["env", *(f"{name}={value}" for name, value in command.environment.items())]
        line = shlex.join([*(words if command.environment else ()), *self.prefix, *command.argv])
        try:
            token = f"{self._folder()}/run-{secrets.token_hex(6)}"  # the process group's number is written there
        except EdgeError as error:
            return Ended(code=None, output="", errors="", problem=str(error), lost=isinstance(error, MissingError))
        mark = shlex.quote(token)
        self._running.add(token)
        process = self._link.start(
            f'mark={mark}; echo $$ > "$mark"; trap \'rm -f "$mark"\' EXIT; cd {shlex.quote(command.folder)} && ({line})'
        )
        problem, lost = "", False
        try:
            output, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            problem = f"it ran past its {timeout_s:g} s"
            output, errors = self._ended(process, token)
        except BaseException:
            self._ended(process, token)
            raise
        finally:
            self._running.discard(token)
        found = said(output, errors)
        if found.code is None and not problem:
            lines = [text.strip() for text in found.errors.splitlines() if text.strip()]
            problem = f"the connection to {self.id} was lost{': ' + lines[-1] if lines else ''}"
            lost = True
        code = None if problem else found.code
        text = found.output.decode(errors="replace")
        return Ended(code=code, output=text, errors=found.errors, problem=problem, lost=lost)

    def _ended(self, process: subprocess.Popen[bytes], token: str) -> tuple[bytes, bytes]:
        """End a command's processes there, and then the client here; return what they printed."""
        self._kill(token)
        return drained(process, _END_S)

    def _kill(self, token: str) -> None:
        # The server starts each command as the leader of a process group of its own; not every shell's kill takes `--`.
        self._link.call(f'mark={shlex.quote(token)}; kill -KILL -"$(cat "$mark")"; rm -f "$mark"', timeout_s=_END_S)

    def get(self, remote: str, local: Path) -> None:
        """Bring one file back; raises TargetError if there is none or if it was damaged on the way."""
        path = shlex.quote(remote)
        found = self._link.ask(f"sha256sum {path} >&2 && printf '=edge-data=\\n' && cat {path}", timeout_s=_PUSH_S)
        _, mark, content = found.output.partition(_DATA)
        if found.code != 0 or not mark:
            raise TargetError(f"{remote} cannot be read on {self.id}: {found.errors.strip()}")
        if hashlib.sha256(content).hexdigest() not in found.errors:
            raise TargetError(f"{remote} of {self.id} was damaged on the way; profile again")
        local.write_bytes(content)

    def close(self) -> None:
        """End what still runs there, and the connection."""
        with contextlib.suppress(MissingError):
            for token in sorted(self._running):
                self._kill(token)
        self._link.close()


@device("ssh")
def open_ssh(name: str, prefix: tuple[str, ...]) -> Device:
    """Connect to `ssh:HOST`; raises UsageError without a host, MissingError if it cannot be reached."""
    if not name or name.startswith("-"):
        raise UsageError(f"ssh:{name} names no machine; expected ssh:HOST, HOST as in `ssh HOST`")
    return Ssh(name, prefix)
