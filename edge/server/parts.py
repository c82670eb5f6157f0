"""The applications that a configuration is made of: names, routes and settings, for Ray Serve here or in a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import msgspec

from edge.server.config import ServerConfig

MODEL: Literal["model"] = "model"
INDEX: Literal["index"] = "index"


@dataclass(frozen=True, slots=True)
class Part:
    """One application; `settings` are plain values for its builder in edge/server/application.py."""

    kind: Literal["model", "index"]
    name: str
    route: str
    settings: dict[str, Any]


def parts(config: ServerConfig, tokens: str) -> Iterator[Part]:
    """Yield an application for every model's version, then the index; `tokens` is the path of their file, or empty.

    The newest version of a model answers under the model's name, and each under its own.
    """
    names = []
    for model in config.models:
        versions = sorted((other.version for other in config.models if other.label == model.label), key=int)
        route = f"/v2/models/{model.label}"
        if model.version != versions[-1]:
            route += f"/versions/{model.version}"
        told = {
            "model": msgspec.to_builtins(model),
            "versions": versions,
            "tokens": tokens,
            "limits": asdict(config.limits),
        }
        names.append(model.application)
        yield Part(MODEL, names[-1], route, told)
    yield Part(INDEX, INDEX, "/", {"applications": names, "tokens": tokens})
