"""What is served, and how: `edge serve`'s words and its --config file, a TOML of these fields."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from edge.errors import InputError, UsageError
from edge.serve.limits import Limits

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_VERSION = re.compile(r"[0-9]{1,9}")
METRICS = "metrics"  # what a token has to cover to read them; no model may be named so
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=24 * 3600 * 1000)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1024)]


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frozen, keyword-only, and an unknown key is an error."""


class ModelConfig(_Record):
    """One version of a model: where it comes from, what it runs on and how many run.

    `source` is a model that `edge models` lists, the folder of an artifact, or a `.pt2` file. A batch is run as soon as
    it has `max_batch` rows or its first row has waited for `batch_wait_ms`, and never while another one runs.
    """

    source: str
    name: str = ""  # in addresses; empty: from the source
    version: str = "1"
    checkpoint: str = ""  # for a model whose weights are the user's
    weights: Literal["published", "random"] = "published"  # a checkpoint counts as published
    device: Literal["auto", "cpu", "cuda"] = "auto"
    max_batch: Count = 8
    batch_wait_ms: Milliseconds = 0.0
    max_queued: Count = 64  # requests in one replica, running ones included; more are answered 503
    timeout_ms: Milliseconds = 30_000.0  # of a request that states none, and the longest that one may state
    min_replicas: Count = 1
    max_replicas: Count = 1
    target_requests: Share = 4.0  # in one replica at once; above it replicas are added, below it taken away
    cpus: Share = 0.0  # of a replica, as its number of threads; 0: an equal share of the machine's cores
    gpus: Share = 0.0  # of a replica; 0.25: four replicas share one

    def __post_init__(self) -> None:
        if self.name and not _NAME.fullmatch(self.name):
            raise UsageError(f"model name {self.name!r} is not one; use letters, digits, '.', '_' and '-'")
        if self.label == METRICS:
            raise UsageError(f"{self.source}: {METRICS} is what tokens call the page of metrics; give another name")
        if not _VERSION.fullmatch(self.version):
            raise UsageError(f"{self.label}: version {self.version!r} is not a whole number, as the protocol's are")
        if self.max_replicas < max(self.min_replicas, 1):
            raise UsageError(
                f"{self.label}: max_replicas {self.max_replicas} is below min_replicas {self.min_replicas}"
            )
        if self.device == "cuda" and not self.gpus:
            raise UsageError(f"{self.label}: device cuda needs a share of a GPU; set gpus, for example 1 or 0.25")
        if self.checkpoint and self.weights == "random":
            raise UsageError(f"{self.label}: a checkpoint and random weights exclude each other; give one of them")

    @property
    def label(self) -> str:
        """Return the name in addresses."""
        return self.name or Path(self.source).name.removesuffix(".pt2").replace("@", "-")

    @property
    def application(self) -> str:
        """Return the name of this version's Ray Serve application."""
        return f"{self.label}-{self.version}"


class ServerConfig(_Record):
    """Everything that `edge serve` does; paths are relative to the folder it runs in.

    `tokens` is a file of `edge token`. Without `insecure` a certificate, its key and tokens are needed; with it the
    address has to be a loopback one.
    """

    models: tuple[ModelConfig, ...]
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8000  # 0: a free one
    insecure: bool = False
    certificate: str = ""  # PEM, the chain
    key: str = ""  # PEM
    tokens: str = ""
    ray_address: str = ""  # of a running cluster; empty: one is started on this machine
    logs: str = ""  # folder for JSON lines, one a request; empty: they are gone with the server
    drain_seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 30.0
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not self.models:
            raise UsageError("there is no model to serve; name some, or give [[models]] in --config")
        twice = [
            key for key, count in Counter((model.label, model.version) for model in self.models).items() if count > 1
        ]
        if twice:
            raise UsageError(f"model {twice[0][0]} version {twice[0][1]} is configured twice; give one another version")
        if self.insecure:
            self._check_loopback()
        else:
            self._check_secure()

    def _check_loopback(self) -> None:
        if not is_loopback(self.host):
            raise UsageError(
                f"--insecure serves without TLS and tokens, on loopback only; {self.host} is no loopback address"
            )

    def _check_secure(self) -> None:
        missing = [name for name in ("certificate", "key", "tokens") if not getattr(self, name)]
        if missing:
            raise UsageError(
                f"{', '.join(missing)} missing: give --certificate, --key and --tokens (`edge token` makes tokens), "
                "or --insecure to serve on loopback without them"
            )


def share_cores(config: ServerConfig, cores: int) -> ServerConfig:
    """Return the configuration with an equal share of the cores for replicas that ask for none, at least one."""
    replicas = sum(model.max_replicas for model in config.models)
    each = float(max(1, cores // replicas))
    models = tuple(msgspec.structs.replace(model, cpus=model.cpus or each) for model in config.models)
    return msgspec.structs.replace(config, models=models)


def is_loopback(host: str) -> bool:
    """Say whether an address is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_config(path: Path) -> dict[str, Any]:
    """Return a --config file's content; raises InputError if it cannot be read or is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML: {error}") from None


def configure(named: Sequence[Mapping[str, Any]], file: dict[str, Any] | None = None, **words: Any) -> ServerConfig:
    """Return the configuration of a command line over that of a file; words that are None were not given.

    `named` are the fields of the models that are added to the file's.

    Raises UsageError for a field that does not exist or a value that is not one of its field's.
    """
    merged: dict[str, Any] = dict(file or {})
    merged.update({name: value for name, value in words.items() if value is not None})
    merged["models"] = [*_tables(merged), *named]
    limits = merged.get("limits")
    unknown = sorted(set(limits) - set(Limits.__dataclass_fields__)) if isinstance(limits, dict) else []
    if unknown:  # else a misspelt limit would be none
        raise UsageError(f"limits has no {unknown[0]}; it has {', '.join(Limits.__dataclass_fields__)}")
    try:
        return msgspec.convert(merged, ServerConfig)
    except msgspec.ValidationError as error:
        raise UsageError(f"the configuration does not hold: {error}") from error.__cause__


def _tables(merged: Mapping[str, Any]) -> list[Any]:
    tables = merged.get("models", [])
    if not isinstance(tables, list):
        raise UsageError("models is no list; write every model as a table [[models]] of its own")
    return tables
