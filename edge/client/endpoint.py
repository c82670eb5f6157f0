"""A model on a server: its address, and what it takes to reach it safely."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from edge.errors import UsageError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Name a model on a server.

    `token` goes as a bearer token. TLS is verified against the system's authorities, or those in `ca_file` alone.
    Proxies are taken from the environment only with `proxies_from_environment`. Plain HTTP is refused except to this
    machine; `plain_http` allows it on networks that encrypt by themselves. Raises UsageError.
    """

    url: str
    model: str
    version: str = ""
    token: str = field(default="", repr=False)
    ca_file: Path | None = None
    proxies_from_environment: bool = False
    plain_http: bool = False

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:
            raise UsageError(f"server {self.url!r} is no address ({error}); give https://HOST[:PORT]") from None
        if parts.scheme not in ("http", "https") or not host:
            raise UsageError(f"server {self.url!r} is no address; give https://HOST[:PORT]")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise UsageError(f"server {host}: give the token as `token`, and no user, query or fragment in the address")
        if parts.scheme == "http" and not self.local and not self.plain_http:
            raise UsageError(
                f"server {self.url}: pictures and tokens would travel unencrypted; give https://, or set plain_http"
            )
        if not self.model:
            raise UsageError(f"server {self.url}: give the model's name there")
        if not all("!" <= character <= "~" for character in self.token):
            raise UsageError("the token holds characters that no token has; is there a line break in its file?")

    @property
    def local(self) -> bool:
        """Whether the server is this machine."""
        host = urlsplit(self.url).hostname or ""
        if host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def address(self) -> str:
        """Return the model's address."""
        version = f"/versions/{quote(self.version, safe='')}" if self.version else ""
        return f"{self.url.rstrip('/')}/v2/models/{quote(self.model, safe='')}{version}"
