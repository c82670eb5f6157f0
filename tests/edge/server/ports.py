"""What every listening port of a server says to strangers."""

from __future__ import annotations

import contextlib
import socket
import ssl

import httpx
import psutil
from live import Live


def listening(process: psutil.Process) -> list[tuple[str, int]]:
    """Return the addresses beyond loopback on which a process listens."""
    with contextlib.suppress(psutil.Error):
        found = [one.laddr for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
        return [(one.ip, one.port) for one in found if not one.ip.startswith("127.")]
    return []


def is_metrics(port: str) -> bool:
    found = httpx.get(f"http://127.0.0.1:{port.rstrip(')').split()[-1]}/metrics", timeout=60)
    return found.status_code == 200 and "# HELP" in found.text


def stranger(live: Live, ip: str, port: int) -> str:
    """Return what a listener says to plain HTTP, or to TLS without the cluster's certificate; nothing is right."""
    host = "127.0.0.1" if ip in ("::", "0.0.0.0") else ip
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=20) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: m\r\n\r\n")
        if said := plain.recv(100):
            return said.decode("latin-1")
    assert settings_frame(host, port, own_certificate=live, certified=True) == 4  # it is there, for its own
    return "" if settings_frame(host, port, own_certificate=live, certified=False) is None else "TLS for everyone"


def settings_frame(host: str, port: int, own_certificate: Live, *, certified: bool) -> int | None:
    """Return the kind of the first frame that gRPC sends, 4, or None where the connection is ended before."""
    folder = own_certificate.folder
    context = ssl.create_default_context(cafile=str(folder / "authority.pem"))
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    if certified:
        context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    try:
        with socket.create_connection((host, port), timeout=20) as raw, context.wrap_socket(raw) as tls:
            tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
            frame = tls.recv(9)
    except OSError:
        return None
    return frame[3] if len(frame) == 9 else None
