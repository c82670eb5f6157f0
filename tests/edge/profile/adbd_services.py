"""What the daemon for tests opens: shells with and without exit codes, and file synchronisation."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import stat
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from adbd import Cut, Phone, Stream

PIECE = 64 * 1024
_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
# What of a phone's file system is in the phone's folder; everything else is the machine's, such as qemu.
_PHONES = re.compile(r"(?<![\w./-])/(data/local/tmp|sys/devices/system/cpu|proc/(?:meminfo|loadavg))(?![\w-])")


def serve(stream: Stream, service: str) -> None:
    """Serve a stream until it ends; a service that this phone does not have ends at once."""
    kind, _, command = service.partition(":")
    if kind.partition(",")[0] == "shell" or kind == "exec":
        _Shell(stream, version_2="v2" in kind.split(","), terminal=kind == "shell").run(command)
    elif kind == "sync":
        with contextlib.suppress(Cut):
            _synchronise(stream)


def on_machine(phone: Phone, text: str) -> str:
    """Return a command or path with the phone's folders replaced by those that stand for them."""
    return _PHONES.sub(lambda match: f"{phone.root}/{match[1]}", text)


class _Shell:
    def __init__(self, stream: Stream, *, version_2: bool, terminal: bool) -> None:
        self._stream, self._version_2, self._terminal = stream, version_2, terminal

    def run(self, command: str) -> None:
        phone = self._stream.phone
        path = f"{phone.root / 'bin'}:{os.environ['PATH']}"
        process = subprocess.Popen(
            [phone.shell, "-c", on_machine(phone, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if self._version_2 else subprocess.STDOUT,
            start_new_session=True,  # as adbd: the shell leads a session
            cwd=phone.root,
            env={**os.environ, "PATH": path, "PHONE": str(phone.root)},
        )
        self._stream.on_close = lambda: self._hang_up(process)
        if self._stream.closed.is_set():
            self._hang_up(process)
        threads = [threading.Thread(target=self._pump, args=(process.stdout, _STDOUT), daemon=True)]
        if process.stderr:
            threads.append(threading.Thread(target=self._pump, args=(process.stderr, _STDERR), daemon=True))
        threading.Thread(target=self._feed, args=(process.stdin,), daemon=True).start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        code = process.wait()
        if self._version_2:
            self._stream.write(struct.pack("<BIB", _EXIT, 1, code if code >= 0 else 128 - code))

    def _hang_up(self, process: subprocess.Popen[bytes]) -> None:
        if not self._stream.phone.faults.orphans and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGHUP)

    def _pump(self, source: IO[bytes], number: int) -> None:
        with source, contextlib.suppress(OSError):
            while data := os.read(source.fileno(), PIECE):
                if self._version_2:
                    data = struct.pack("<BI", number, len(data)) + data
                elif self._terminal:
                    data = data.replace(b"\n", b"\r\n")
                self._stream.write(data)

    def _feed(self, target: IO[bytes]) -> None:
        with contextlib.suppress(OSError), target:
            for data in self._typed():
                target.write(data)
                target.flush()

    def _typed(self) -> Iterator[bytes]:
        while True:
            if not self._version_2:
                yield self._stream.read(1)
                continue
            number, size = struct.unpack("<BI", self._stream.read(5))
            data = self._stream.read(size)
            if number == _STDIN:
                yield data
            if number == _CLOSE_STDIN:
                return


def _synchronise(stream: Stream) -> None:
    while True:
        request, size = struct.unpack("<4sI", stream.read(8))
        if request == b"QUIT":
            return
        text = stream.read(size).decode()
        if request == b"STAT":
            stream.write(struct.pack("<4s3I", b"STAT", *_status(Path(on_machine(stream.phone, text)))))
        elif request == b"LIST":
            _list(stream, Path(on_machine(stream.phone, text)))
        elif request == b"RECV":
            _receive(stream, Path(on_machine(stream.phone, text)))
        elif request == b"SEND":
            name, _, mode = text.rpartition(",")
            _send(stream, Path(on_machine(stream.phone, name)), int(mode))
        else:
            _fail(stream, f"unknown request {request!r}")
            return


def _status(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime)


def _list(stream: Stream, path: Path) -> None:
    for entry in sorted(path.iterdir()) if path.is_dir() else ():
        name = entry.name.encode()
        stream.write(struct.pack("<4s4I", b"DENT", *_status(entry), len(name)) + name)
    stream.write(struct.pack("<4s4I", b"DONE", 0, 0, 0, 0))


def _receive(stream: Stream, path: Path) -> None:
    try:
        with path.open("rb") as source:
            while data := source.read(PIECE):
                stream.write(struct.pack("<4sI", b"DATA", len(data)) + data)
    except FileNotFoundError:
        _fail(stream, "No such file or directory")
        return
    stream.write(struct.pack("<4sI", b"DONE", 0))


def _send(stream: Stream, path: Path, mode: int) -> None:
    faults = stream.phone.faults
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # as adbd: a file that still runs is replaced
    with path.open("wb") as target:
        while True:
            word, size = struct.unpack("<4sI", stream.read(8))
            if word == b"DONE":
                break
            data = stream.read(size)
            target.write(bytes([data[0] ^ 1]) + data[1:] if faults.corrupt and data else data)
    path.chmod(stat.S_IMODE(mode) | 0o600)
    if faults.full:
        _fail(stream, "write failed: No space left on device")
    else:
        stream.write(struct.pack("<4sI", b"OKAY", 0))


def _fail(stream: Stream, message: str) -> None:
    stream.write(struct.pack("<4sI", b"FAIL", len(message)) + message.encode())
