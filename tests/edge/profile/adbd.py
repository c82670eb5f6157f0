"""A daemon that speaks adb's transport protocol on the loopback: the phone's end of the real `adb` client in tests.

Messages and services: AOSP, packages/modules/adb: protocol.txt, SERVICES.TXT, SYNC.TXT. What it opens is in
adbd_services.py; the commands of its shell run here, with the phone's folders in place of the machine's.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

VERSION = 0x01000001  # since which payloads carry no checksum
LARGEST = 256 * 1024
_TOKEN, _SIGNATURE = 1, 2


def _word(name: bytes) -> int:
    return int.from_bytes(name, "little")


CNXN, AUTH, OPEN, OKAY, CLSE, WRTE = map(_word, (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"CLSE", b"WRTE"))


@dataclass
class Faults:
    """What is wrong with the phone; a test changes it while the daemon runs."""

    unauthorized: bool = False  # asks for a signature, again and again
    shell_v2: bool = True  # without it the shell is that of Android 6: one stream behind a terminal, no exit code
    orphans: bool = False  # processes survive the end of their stream
    corrupt: bool = False  # one bit of every file that is pushed is flipped
    full: bool = False  # no space left
    bytes_per_s: float = 0.0  # of streams, both ways; 0: as fast as it goes
    cut_on: str = ""  # the connection breaks when a command that contains this is opened
    cut_after: int | None = None  # the connection breaks after so many bytes of streams, both ways
    stays_away: bool = False  # after it broke, and no new connection is accepted


@dataclass
class Phone:
    """The folder that stands for the phone's storage, its shell, and its faults."""

    root: Path
    shell: str = "sh"
    faults: Faults = field(default_factory=Faults)
    opened: list[str] = field(default_factory=list)  # every service that was asked for


class Cut(ConnectionError):
    """The connection was broken, by a fault or by the client."""


class Stream:
    """One service that the client opened."""

    def __init__(self, connection: Connection, local: int, remote: int) -> None:
        self.phone = connection.phone
        self.closed = threading.Event()
        self.on_close: Callable[[], None] = lambda: None
        self._connection, self._local, self._remote = connection, local, remote
        self._credit = threading.Semaphore(0)  # one message may be on its way
        self._buffer = bytearray()
        self._fed = threading.Condition()
        self._writing = threading.Lock()

    def read(self, size: int) -> bytes:
        """Return exactly so many bytes; raises Cut if the stream ends before."""
        with self._fed:
            self._fed.wait_for(lambda: len(self._buffer) >= size or self.closed.is_set())
            if len(self._buffer) < size:
                raise Cut
            data = bytes(self._buffer[:size])
            del self._buffer[:size]
            return data

    def write(self, data: bytes) -> None:
        """Send bytes; raises Cut if the stream is closed."""
        with self._writing:
            for start in range(0, len(data), LARGEST):
                self._connection.send(WRTE, self._local, self._remote, data[start : start + LARGEST])
                self._credit.acquire()
                if self.closed.is_set():
                    raise Cut

    def feed(self, data: bytes) -> None:
        """Take bytes from the client."""
        with self._fed:
            self._buffer += data
            self._fed.notify_all()
        self._connection.send(OKAY, self._local, self._remote)

    def acknowledge(self) -> None:
        """Allow the next message."""
        self._credit.release()

    def close(self) -> None:
        """End the stream; what waits for it ends too."""
        with self._fed:
            self.closed.set()
            self._fed.notify_all()
        self._credit.release()
        self.on_close()


class Connection:
    """One client: messages in, streams, messages out."""

    def __init__(self, phone: Phone, link: socket.socket, serve: Callable[[Stream, str], None]) -> None:
        self.phone, self._link, self._serve = phone, link, serve
        self._sending = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._opened = 0

    def run(self) -> None:
        """Answer until the connection breaks."""
        try:
            while True:
                command, first, second, size, _, _ = struct.unpack("<6I", self._receive(24))
                payload = self._receive(size)
                if command == WRTE:
                    self._spend(size)
                self._handle(command, first, second, payload)
        except OSError:
            pass
        finally:
            self.cut()

    def cut(self) -> None:
        """Break the connection and end its streams."""
        with contextlib.suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)
        self._link.close()
        for stream in list(self._streams.values()):
            stream.close()

    def send(self, command: int, first: int, second: int, payload: bytes = b"") -> None:
        """Send a message."""
        if command == WRTE:
            self._spend(len(payload))
        check = sum(payload) & 0xFFFFFFFF if command in (CNXN, AUTH) else 0
        header = struct.pack("<6I", command, first, second, len(payload), check, command ^ 0xFFFFFFFF)
        with self._sending:
            self._link.sendall(header + payload)

    def _handle(self, command: int, first: int, second: int, payload: bytes) -> None:
        stream = self._streams.get(second)
        if command == CNXN:
            self._greet()
        elif command == AUTH and first == _SIGNATURE:
            self.send(AUTH, _TOKEN, 0, bytes(20))  # not this key; the public key that comes next is not answered
        elif command == OPEN and not self.phone.faults.unauthorized:
            self._open(first, payload.rstrip(b"\0").decode())
        elif command == WRTE and stream:
            stream.feed(payload)
        elif command == OKAY and stream:
            stream.acknowledge()
        elif command == CLSE and stream:
            self._streams.pop(second).close()
        elif command == WRTE:
            self.send(CLSE, 0, first)

    def _greet(self) -> None:
        if self.phone.faults.unauthorized:
            self.send(AUTH, _TOKEN, 0, bytes(20))
            return
        features = "shell_v2,cmd" if self.phone.faults.shell_v2 else "cmd"
        names = "ro.product.name=fake;ro.product.model=Fake;ro.product.device=fake"
        self.send(CNXN, VERSION, LARGEST, f"device::{names};features={features}".encode())

    def _open(self, remote: int, service: str) -> None:
        self.phone.opened.append(service)
        if self.phone.faults.cut_on and self.phone.faults.cut_on in service:
            self._break()
        self._opened += 1
        stream = self._streams[self._opened] = Stream(self, self._opened, remote)
        threading.Thread(target=self._answer, args=(stream, self._opened, remote, service), daemon=True).start()

    def _answer(self, stream: Stream, local: int, remote: int, service: str) -> None:
        with contextlib.suppress(OSError):
            self.send(OKAY, local, remote)
            with contextlib.suppress(Cut):
                self._serve(stream, service)
            self._streams.pop(local, None)
            self.send(CLSE, local, remote)

    def _spend(self, size: int) -> None:
        """Take the time that a slow link takes, and break where the fault says so."""
        faults = self.phone.faults
        if faults.bytes_per_s:
            time.sleep(size / faults.bytes_per_s)
        if faults.cut_after is not None:
            faults.cut_after -= size
            if faults.cut_after <= 0:
                self._break()

    def _break(self) -> None:
        self.phone.faults.cut_after, self.phone.faults.cut_on = None, ""
        self.cut()
        raise Cut

    def _receive(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self._link.recv(size - len(data))
            if not piece:
                raise Cut
            data += piece
        return bytes(data)


class Daemon:
    """Listen on a free port of the loopback."""

    def __init__(self, phone: Phone, serve: Callable[[Stream, str], None]) -> None:
        self.phone, self._serve = phone, serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._connections: list[Connection] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def serial(self) -> str:
        """Return what `adb connect` and `adb -s` call this phone."""
        return f"127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            if self.phone.faults.stays_away:
                link.close()
                continue
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self.phone, link, self._serve)
            self._connections.append(connection)
            threading.Thread(target=connection.run, daemon=True).start()

    def unplug(self) -> None:
        """Break every connection and accept none."""
        self.phone.faults.stays_away = True
        for connection in self._connections:
            connection.cut()

    def close(self) -> None:
        """Stop listening and break every connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.unplug()
