"""A model repository for NVIDIA's Triton, for those who have one: MODEL/config.pbtxt and MODEL/VERSION/model.onnx."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.artifact import Artifact, check_files, read_manifest, write_atomic
from edge.contract import TensorSpec
from edge.errors import ContractError, Refused, UsageError
from edge.output import new_folder
from edge.server.config import ModelConfig, ServerConfig
from edge.server.onnx_batch import open_first_axis

TARGET = "onnx-cpu"
_TYPES = {
    "float32": "TYPE_FP32",
    "float16": "TYPE_FP16",
    "int64": "TYPE_INT64",
    "int32": "TYPE_INT32",
    "int16": "TYPE_INT16",
    "int8": "TYPE_INT8",
    "uint8": "TYPE_UINT8",
    "bool": "TYPE_BOOL",
}


class Word(str):
    """A name of protobuf's text format that is not quoted: an enumeration's value or a truth value."""


@dataclass(frozen=True, slots=True)
class TritonModel:
    """What Triton is told of one model. Without batching, `max_batch` is 0 and requests hold the one row it takes."""

    name: str
    versions: tuple[str, ...]
    max_batch: int


@dataclass(frozen=True, slots=True)
class _Version:
    config: ModelConfig
    artifact: Artifact
    content: bytes
    batched: bytes | None  # the same with any number of rows, where that computes the same


def write_triton(config: ServerConfig, folder: Path) -> tuple[TritonModel, ...]:
    """Write the repository into a new folder and return what is in it.

    Every model is an artifact of the target onnx-cpu. A model whose rows can be computed together, which is tried, gets
    a first axis of any size and dynamic batching; any other is served as it is, one row a request.

    Raises Refused for any other kind of model, ContractError for versions of one model with other tensors, UsageError
    if the folder exists, InputError, StoreError.
    """
    if folder.exists():
        raise UsageError(f"{folder} exists; choose a new folder for --triton")
    found: dict[str, list[_Version]] = {}
    for model in config.models:
        found.setdefault(model.label, []).append(_version(model))
    with new_folder(folder) as made:
        return tuple(_write_model(made / name, versions) for name, versions in found.items())


def _version(model: ModelConfig) -> _Version:
    if not (Path(model.source) / "manifest.json").is_file():
        raise Refused(
            f"Triton has no backend for {model.source}: `edge deploy {model.source} --target {TARGET} --out out`, "
            f"then serve out/{TARGET}@fp32"
        )
    artifact = read_manifest(Path(model.source))
    manifest = artifact.manifest
    if manifest.target != TARGET:
        raise Refused(
            f"Triton has no backend for {model.source}, an artifact of {manifest.target}: "
            f"`edge deploy {manifest.model} --target {TARGET} --out out`, then serve out/{TARGET}@fp32"
        )
    if model.checkpoint:
        raise Refused(f"{model.source} is an artifact, with the weights that it holds; leave the checkpoint out")
    if model.version.startswith("0"):
        raise UsageError(f"{model.label}: Triton passes over version {model.version!r}; versions start with 1 to 9")
    check_files(artifact)
    content = artifact.file(".onnx").read_bytes()
    batched = open_first_axis(content, manifest) if model.max_batch > 1 else None
    return _Version(model, artifact, content, batched)


def _write_model(folder: Path, versions: Sequence[_Version]) -> TritonModel:
    newest = max(versions, key=lambda version: int(version.config.version))
    first = newest.artifact.manifest
    for version in versions:
        manifest = version.artifact.manifest
        if (manifest.inputs, manifest.outputs) != (first.inputs, first.outputs):
            raise ContractError(
                f"{newest.config.label}: versions {newest.config.version} and {version.config.version} have other "
                "tensors, and Triton describes a model once; give one of them another name"
            )
    batched = all(version.batched is not None for version in versions)
    for version in versions:
        place = folder / version.config.version
        place.mkdir(parents=True)
        write_atomic(place / "model.onnx", version.batched if batched and version.batched else version.content)
    fields = describe(newest.config, first.inputs, first.outputs, batched=batched)
    write_atomic(folder / "config.pbtxt", text_format(fields).encode())
    names = tuple(version.config.version for version in versions)
    return TritonModel(newest.config.label, names, newest.config.max_batch if batched else 0)


def describe(
    model: ModelConfig, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], *, batched: bool
) -> dict[str, Any]:
    """Return the fields of Triton's ModelConfig.

    Without batching (`max_batch_size` 0) the batcher still has the queue's length and time limits: a request is then a
    batch of its own.
    """
    batching: dict[str, Any] = {
        "default_queue_policy": {
            "timeout_action": Word("REJECT"),
            "default_timeout_microseconds": round(model.timeout_ms * 1e3),
            "allow_timeout_override": Word("true"),
            "max_queue_size": model.max_queued,
        }
    }
    if batched:
        delay_us = round(model.batch_wait_ms * 1e3)
        batching = {"preferred_batch_size": [model.max_batch], "max_queue_delay_microseconds": delay_us, **batching}
    return {
        "name": model.label,
        "platform": "onnxruntime_onnx",
        "max_batch_size": model.max_batch if batched else 0,
        "input": [_tensor(spec, batched) for spec in inputs],
        "output": [_tensor(spec, batched) for spec in outputs],
        "version_policy": {"all": {}},
        "instance_group": [_instances(model)],
        "dynamic_batching": batching,
        "parameters": {
            "key": "intra_op_thread_count",
            "value": {"string_value": str(max(1, math.ceil(model.cpus)))},
        },
    }


def _instances(model: ModelConfig) -> dict[str, Any]:
    """Return where the model runs, and how often: on every GPU as often as its share allows, or on the CPU."""
    if model.gpus:
        count = min(model.max_replicas, max(1, math.floor(1 / model.gpus)))
        return {"kind": Word("KIND_GPU"), "count": count}
    return {"kind": Word("KIND_CPU"), "count": max(1, model.min_replicas)}


def _tensor(spec: TensorSpec, batched: bool) -> dict[str, Any]:
    dims = list(spec.shape[1:] if batched else spec.shape)
    described: dict[str, Any] = {"name": spec.name, "data_type": Word(_TYPES[spec.dtype]), "dims": dims or [1]}
    if not dims:  # Triton has no tensor without axes
        described["reshape"] = {"shape": []}
    return described


def text_format(fields: Mapping[str, Any]) -> str:
    """Return a message in protobuf's text format; lists are repeated fields."""
    return "".join(f"{line}\n" for line in _lines(fields))


def _lines(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        for element in value if isinstance(value, list) else [value]:
            if isinstance(element, Mapping):
                yield f"{name} {{"
                yield from (f"  {line}" for line in _lines(element))
                yield "}"
            else:
                yield f"{name}: {_scalar(element)}"


def _scalar(value: str | int) -> str:
    if isinstance(value, str) and not isinstance(value, Word):
        plain = (chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03o}" for byte in value.encode())
        return f'"{"".join(plain)}"'
    return str(value)
