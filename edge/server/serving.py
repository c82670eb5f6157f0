"""`edge serve`: from a configuration to a server that answers, and back to nothing without losing a request."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from edge.artifact import MANIFEST, check_files, read_manifest
from edge.errors import InputError, MissingError, TargetError, UsageError
from edge.server.cluster import log_settings, private_folder, running_cluster
from edge.server.config import ModelConfig, ServerConfig, share_cores
from edge.server.parts import INDEX, MODEL, parts
from edge.server.proxy import Door, open_door
from edge.store import fetch_file
from edge.zoo import MODELS

Say = Callable[[str], None]


def name_artifacts(config: ServerConfig) -> ServerConfig:
    """Return the configuration with artifacts under their models' names, unless they were given one."""
    return msgspec.structs.replace(config, models=tuple(_named(model) for model in config.models))


def _named(model: ModelConfig) -> ModelConfig:
    root = Path(model.source)
    if model.name or not (root / MANIFEST).is_file():
        return model
    return msgspec.structs.replace(model, name=read_manifest(root).manifest.model)


def check_models(config: ServerConfig, say: Say) -> ServerConfig:
    """Return the configuration with every model settled, before anything is started.

    Weights that are published are fetched. A network whose weights are the user's gets random ones where the server is
    an insecure one on loopback, which is said; otherwise they are missing.

    Raises UnknownName, InputError, MissingError.
    """
    models = tuple(_settled(model, config, say) for model in config.models)
    return share_cores(msgspec.structs.replace(config, models=models), os.cpu_count() or 1)


def _settled(model: ModelConfig, config: ServerConfig, say: Say) -> ModelConfig:
    path = Path(model.source)
    if (path / MANIFEST).is_file():
        check_files(read_manifest(path))
        return msgspec.structs.replace(model, name=model.label, source=str(path.resolve()))
    if path.suffix == ".pt2" or path.exists():
        if path.suffix != ".pt2" or not path.is_file():
            raise InputError(f"{path} is neither an artifact's folder nor a .pt2 file; `edge deploy` makes artifacts")
        return msgspec.structs.replace(model, name=model.label, source=str(path.resolve()))
    return _settled_by_name(model, config, say)


def _settled_by_name(model: ModelConfig, config: ServerConfig, say: Say) -> ModelConfig:
    entry = MODELS[model.source]
    if entry.graph is not None:
        fetch_file(entry.graph)
        return model
    if model.checkpoint:
        if not Path(model.checkpoint).is_file():
            raise InputError(f"{model.label}: there is no checkpoint {model.checkpoint}")
        return msgspec.structs.replace(model, checkpoint=str(Path(model.checkpoint).resolve()))
    if model.weights == "random" or entry.trained:
        return model
    hint = entry.checkpoint_hint or "its weights"
    if not config.insecure:
        raise MissingError(f"{model.label} needs a checkpoint: --checkpoint {model.source}=FILE with {hint}")
    say(f"{model.label} runs with RANDOM weights, its answers mean nothing; --checkpoint {model.source}=FILE ({hint})")
    return msgspec.structs.replace(model, weights="random")


@contextlib.contextmanager
def serving(config: ServerConfig, say: Say) -> Iterator[Door]:
    """Serve the models of a settled configuration until the context ends.

    Raises TargetError if a model cannot be started, UsageError if the address cannot be used.
    """
    with private_folder() as folder, running_cluster(config, folder) as port:
        say(f"loading {', '.join(model.label for model in config.models)}")
        _deploy(config)
        with open_door(config, port, folder) as door:
            yield door


def _deploy(config: ServerConfig) -> None:
    from ray import serve
    from ray.serve import RunTarget

    from edge.server.application import index_application, model_application

    tokens = str(Path(config.tokens).resolve()) if config.tokens else ""
    logs = log_settings(config)
    builders = {MODEL: model_application, INDEX: index_application}
    targets = [
        RunTarget(builders[part.kind](part.settings), part.name, route_prefix=part.route, logging_config=logs)
        for part in parts(config, tokens)
    ]
    try:
        serve.run_many(targets)
    except RuntimeError as error:
        raise TargetError(f"the server did not start: {_reason() or error}") from None


def _reason() -> str:
    """Return the last line of what the first failed replica said."""
    from ray import serve

    for name, application in serve.status().applications.items():
        for deployment in application.deployments.values():
            lines = [line.strip() for line in deployment.message.splitlines() if line.strip()]
            errors = [line for line in lines if re.match(r"[\w.]*(Error|Refused|UnknownName)\b", line)]
            if errors or (lines and str(deployment.status) != "HEALTHY"):
                return f"{name}: {(errors or lines)[-1]}"
    return ""


def check_address(config: ServerConfig) -> None:
    """Raise UsageError if a certificate, a key or the tokens' file is not there, before anything is started."""
    for name in ("certificate", "key", "tokens"):
        file = getattr(config, name)
        if file and not Path(file).is_file():
            raise UsageError(f"--{name} {file}: there is no such file")
