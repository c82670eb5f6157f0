"""A real OpenSSH server on the loopback with keys and a configuration that are thrown away."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

SERVER = "/usr/sbin/sshd"
HOST = "board"


@dataclass(frozen=True)
class Server:
    """A running server, and what `ssh -F config` needs to reach it."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def cut(self) -> None:
        """End the connections that are open, and not the server."""
        for session in psutil.Process(self.process.pid).children(recursive=True):
            if "sshd" in session.name():
                with contextlib.suppress(psutil.NoSuchProcess):
                    session.kill()


def key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Run a server until the block ends; skips the test by name where there is none."""
    if not Path(SERVER).exists() or shutil.which("ssh") is None:
        pytest.skip("OpenSSH's server or client is not installed (Debian: apt-get install openssh-server)")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # the server refuses to start as root without it
    (folder / "home").mkdir(parents=True)
    server_key, user_key = key(folder / "server_key"), key(folder / "user_key")
    shutil.copy(f"{user_key}.pub", folder / "authorized")
    port = _free_port()
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {server_key}\nAuthorizedKeysFile {folder}/authorized\n"
        f"StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        f"PermitRootLogin prohibit-password\nSetEnv HOME={folder}/home\nLogLevel ERROR\n"
    )
    words = server_key.with_suffix(".pub").read_text().split()
    (folder / "known").write_text(f"[127.0.0.1]:{port} {words[0]} {words[1]}\n")
    (folder / "config").write_text(
        f"Host {HOST}\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n  IdentityFile {user_key}\n"
        f"  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {folder}/known\n"
        f"  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n"
    )
    process = subprocess.Popen([SERVER, "-D", "-e", "-f", folder / "sshd_config"], stderr=subprocess.DEVNULL)
    try:
        _wait(process, port)
        yield Server(folder, port, process)
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.skip(f"{SERVER} does not start here: it ended with {process.poll()}")
