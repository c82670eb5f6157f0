"""A connection to a machine through the user's own ssh, whose configuration, keys and known hosts stay theirs.

One connection is opened and the commands share it (ssh_config(5), ControlPath); its socket lies in a private folder.
Nothing is asked for: where ssh would ask for a password or about a host's key, it fails, and the error says what to do.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edge.errors import MissingError, UsageError

VARIABLE = "EDGE_SSH_OPTIONS"  # more options for ssh, such as `-F FILE` or `-o Port=2222`
_CONNECT_S = 20
_CALL_S = 120.0
_QUIET = ("-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_S}", "-o", "LogLevel=ERROR")
_ALIVE = ("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3")  # a dead link is noticed after 15 s
_EXIT = "=edge-exit= "  # begins the line that ends a command's standard error, with its exit code
_REASONS = (  # what ssh says, and what mends it
    ("Host key verification failed", "run `ssh {host}` once by hand and check its key"),
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "its key has changed: find out why, then `ssh-keygen -R {host}`"),
    ("Permission denied", "no key of yours opens it, and no password is asked for here: `ssh-copy-id {host}`"),
    ("Too many authentication failures", "name the one key in ~/.ssh/config: IdentityFile and IdentitiesOnly yes"),
    ("Could not resolve hostname", "check the name, or give it an entry in ~/.ssh/config"),
    ("Connection refused", "it runs no ssh server on that port: `sudo apt-get install openssh-server` there"),
    ("timed out", "check that it is on and in the same network"),
    ("No route to host", "check that it is on and in the same network"),
    ("Bad configuration option", "mend the options"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command printed; without an exit code the connection broke, or time was up."""

    code: int | None
    output: bytes
    errors: str
    timed_out: bool = False


class Link:
    """An open connection."""

    def __init__(self, host: str) -> None:
        """Connect; raises MissingError if that fails, with what mends it."""
        self.host = host
        self._ssh = _client()
        self._folder = Path(tempfile.mkdtemp(prefix="edge-ssh-"))
        self._master: subprocess.Popen[bytes] | None = None
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        log = self._folder / "log"
        with log.open("wb") as stream:
            self._master = subprocess.Popen(
                self._words("-o", "ControlMaster=yes", "-N"), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
                start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + 2 * _CONNECT_S
        while not self._socket.exists():
            if self._master.poll() is not None or time.monotonic() > until:
                raise MissingError(why_not(self.host, log.read_text(errors="replace")))
            time.sleep(0.02)

    @property
    def _socket(self) -> Path:
        return self._folder / "s"

    def _words(self, *options: str) -> list[str]:
        shared = ("-o", f"ControlPath={self._socket}")
        return [*self._ssh, *_QUIET, *_ALIVE, *shared, "-T", *options, "--", self.host]

    def start(self, script: str, stdin: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        """Start a script of the POSIX shell there, whatever the user's own shell is."""
        wrapped = f"({script}\n); code=$?; echo >&2; echo '{_EXIT}'$code >&2"
        return subprocess.Popen(
            [*self._words("-o", "ControlMaster=no"), f"exec sh -c {shlex.quote(wrapped)}"],
            stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def call(self, script: str, *, stdin: IO[bytes] | None = None, timeout_s: float = _CALL_S) -> Said:
        """Run a script there to its end; raises nothing for what happens to it."""
        process = self.start(script, stdin)
        try:
            output, errors = process.communicate(timeout=timeout_s)
            return said(output, errors)
        except subprocess.TimeoutExpired:
            output, errors = drained(process, 0.0)
            return Said(code=None, output=output, errors=errors.decode(errors="replace"), timed_out=True)
        except BaseException:
            process.kill()
            process.wait()
            raise

    def ask(self, script: str, *, stdin: IO[bytes] | None = None, timeout_s: float = _CALL_S) -> Said:
        """Run a script that has to end; raises MissingError if the machine does not answer."""
        found = self.call(script, stdin=stdin, timeout_s=timeout_s)
        if found.timed_out:
            raise MissingError(f"{self.host} did not answer within {timeout_s:g} s; check that it is on")
        if found.code is None:
            raise MissingError(why_not(self.host, found.errors))
        return found

    def close(self) -> None:
        """End the connection."""
        if self._master is not None:
            self._master.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._master.wait(5)
            self._master.kill()
            self._master.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def drained(process: subprocess.Popen[bytes], timeout_s: float) -> tuple[bytes, bytes]:
    """Return what a process has printed when it ends or time is up; then it is ended.

    The shared connection holds the other ends of its pipes: they may stay open after it.
    """
    try:
        return process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as late:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        return late.output or b"", late.stderr or b""


def said(output: bytes, errors: bytes) -> Said:
    """Split the exit code off what a script printed."""
    text = errors.decode(errors="replace")
    before, mark, rest = text.rpartition(_EXIT)
    number, _, after = rest.partition("\n")
    if not mark or not (number.isascii() and number.isdigit()):
        return Said(code=None, output=output, errors=text)
    return Said(code=int(number), output=output, errors=before.removesuffix("\n") + after)


def why_not(host: str, errors: str) -> str:
    """Return what ssh said and what mends it."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    for text, mended_by in _REASONS:
        for line in lines:
            if text in line:
                return f"ssh cannot reach {host} ({line}); {mended_by.format(host=host)}"
    return f"ssh cannot reach {host} ({lines[-1] if lines else 'it said nothing'}); try `ssh {host}` by hand"


def _client() -> tuple[str, ...]:
    if shutil.which("ssh") is None:
        raise MissingError("there is no ssh program; install it (Debian: apt-get install openssh-client)")
    try:
        return ("ssh", *shlex.split(os.environ.get(VARIABLE, "")))
    except ValueError as error:
        raise UsageError(f"{VARIABLE} cannot be read ({error}); write options as in a shell, such as -F FILE") from None
