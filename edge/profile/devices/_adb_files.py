"""Files on an Android phone: pushed where they are missing or differ, by sha256, and pulled back."""

from __future__ import annotations

import hashlib
import re
import shlex
import tempfile
from collections.abc import Iterable
from pathlib import Path

from edge.artifact import file_digest
from edge.errors import TargetError, UsageError
from edge.profile.devices import Bundle, BundleFile
from edge.profile.devices._adb_shell import WORK, Shell

FILES_S = 60.0  # and more by the size of the files
SLOWEST = 200_000  # bytes per second of a link that is slow but works
PULL_S = 600.0
_NOTHING = hashlib.sha256().hexdigest()


def push_bundle(shell: Shell, bundle: Bundle) -> str:
    """Bring a bundle's files over and return their folder.

    Raises MissingError if the phone is gone, TargetError if what arrived differs, UsageError for a name with folders.
    """
    for file in bundle.files:
        if not re.fullmatch(r"[^/\\\r\n\0]+", file.name) or file.name in (".", ".."):
            raise UsageError(f"{file.name!r} cannot name a file of a bundle; expected a name without folders")
    folder, serial = f"{WORK}/{bundle.key()}", shell.client.serial
    wanted = {file.name: file_digest(file.path) for file in bundle.files}
    shell.do(f"mkdir -p {shlex.quote(folder)}", f"cannot make {folder} on {serial}")
    there = _digests(shell, folder, bundle.files)
    changed = [file for file in bundle.files if there.get(file.name) != wanted[file.name]]
    for file in changed:
        _push(shell, file, f"{folder}/{file.name}")
    arrived = _digests(shell, folder, changed) if changed else {}
    for file in changed:
        found = arrived.get(file.name, "nothing")
        if found != wanted[file.name]:
            raise TargetError(
                f"{file.name} arrived on {serial} as {found[:12]}…, expected {wanted[file.name][:12]}… (sha256): the "
                "link or the storage changes data; mend: another cable or port, and free space on the phone"
            )
    for mode, executable in (("755", True), ("644", False)):
        names = _words(file.name for file in bundle.files if file.executable is executable)
        if names:
            shell.do(f"cd {shlex.quote(folder)} && chmod {mode} {names}", f"cannot set modes in {folder} on {serial}")
    return folder


def pull_file(shell: Shell, remote: str, local: Path) -> None:
    """Bring one file back; raises MissingError if the phone is gone, TargetError if the file is not there."""
    local.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".pull-", dir=local.parent) as folder:
        pulled = Path(folder) / "file"
        said = shell.client.call("pull", remote, str(pulled), timeout_s=PULL_S)
        if said.timed_out or said.code != 0 or not pulled.is_file():
            raise shell.failure(said, f"cannot pull {remote} from {shell.client.serial}")
        pulled.replace(local)


def _push(shell: Shell, file: BundleFile, remote: str) -> None:
    said = shell.client.call("push", str(file.path), remote, timeout_s=_patience_s([file]))
    if said.timed_out or said.code != 0:
        raise shell.failure(said, f"cannot push {file.name} to {shell.client.serial}")


def _digests(shell: Shell, folder: str, files: Iterable[BundleFile]) -> dict[str, str]:
    """Return name → sha256 of the files that are there, as the phone computes it or, without sha256sum, read back."""
    files = tuple(files)
    choose = "if command -v sha256sum >/dev/null; then s=sha256sum; else s='toybox sha256sum'; fi"
    names = _words(file.name for file in files)
    script = f"cd {shlex.quote(folder)} && {{ {choose}; $s /dev/null {names}; }}"  # /dev/null: does it work at all?
    lines = re.findall(r"^(\w{64}) [ *](.+)$", shell.read(script, _patience_s(files)), re.MULTILINE)
    found = {name.strip().removeprefix("./"): digest for digest, name in lines}
    if found.get("/dev/null") == _NOTHING:
        return found
    return {file.name: _read_back(shell, f"{folder}/{file.name}", file) for file in files}


def _read_back(shell: Shell, remote: str, file: BundleFile) -> str:
    said = shell.client.call("exec-out", f"cat {shlex.quote(remote)}", timeout_s=_patience_s([file]))
    if said.timed_out or said.connection_problem:
        raise shell.failure(said, f"cannot read {remote} on {shell.client.serial}")
    return hashlib.sha256(said.output).hexdigest()


def _words(names: Iterable[str]) -> str:
    return shlex.join(f"./{name}" for name in names)


def _patience_s(files: Iterable[BundleFile]) -> float:
    return FILES_S + sum(file.path.stat().st_size for file in files) / SLOWEST
