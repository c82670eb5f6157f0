"""Checkpoint → Model: the zoo by name, a user's `file.py:function`, or a `.pt2` by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from convert.checkpoint import load_strict, open_checkpoint, read_exported, used_tensors
from convert.frozen import FrozenGraph, graph_inputs
from convert.program import Model
from convert.source import build_module
from edge.artifact import Source, file_digest
from edge.codebooks import with_codebook
from edge.contract import Contract
from edge.errors import CheckpointError, MissingError, UsageError
from edge.store import fetch_file
from edge.zoo import MODELS, TRAINED, WeightsFile, ZooModel

_SEED = 0


def load(name: str, checkpoint: Path | None = None, *, random_weights: bool = False) -> Model:
    """Load a zoo model with its published weights, or with a checkpoint's.

    `random_weights` builds a network without a checkpoint, seeded, for tests and benchmarks. Raises UnknownName,
    CheckpointError if the checkpoint does not fit, and MissingError if weights have to be given or fetched first.
    """
    entry = MODELS[name]
    if checkpoint is not None and random_weights:
        raise UsageError(f"{name}: a checkpoint and random weights exclude each other; pass one of them")
    if entry.graph is not None:
        return _load_graph(entry, entry.graph, checkpoint, random_weights=random_weights)
    if entry.network is None:
        raise UsageError(f"{name} is defined with neither a graph nor a network")
    if random_weights:
        return _load_random(entry, entry.network)
    if checkpoint is None and entry.trained:
        checkpoint = TRAINED / entry.trained
    if checkpoint is not None:
        module = entry.network().eval()
        source = _load_weights(module, checkpoint, name, entry)
        return Model(name, module, _completed(entry, module), source)
    raise MissingError(f"{name} needs a checkpoint: pass --checkpoint with {entry.checkpoint_hint or 'its weights'}")


def _load_graph(entry: ZooModel, graph: WeightsFile, checkpoint: Path | None, *, random_weights: bool) -> Model:
    from convert.importers.tflite import import_tflite

    if random_weights:
        raise UsageError(f"{entry.name} has published weights; leave the random ones out")
    module = import_tflite(fetch_file(graph)).module
    if checkpoint is not None:
        source = _load_weights(module, checkpoint, entry.name, entry)
    else:
        first = graph.sources[0]
        source = Source(sha256=graph.sha256, licence=graph.licence, origin=f"{first.package} {first.version}")
    return Model(entry.name, module.eval(), entry.contract, source)


def _load_weights(module: nn.Module, checkpoint: Path, expected: str, entry: ZooModel | None = None) -> Source:
    """Load a checkpoint strictly and say where the weights came from.

    Keys that begin with one of the zoo entry's `unused_keys` are left out, those of another framework renamed.
    """
    opened = open_checkpoint(checkpoint)
    unused = entry.unused_keys if entry else ()
    tensors = used_tensors(_renamed(opened.tensors, checkpoint, entry), unused)
    load_strict(module, tensors, path=checkpoint, expected=expected)
    origin = checkpoint.name + (f", {'/'.join(opened.unwrapped)} taken off" if opened.unwrapped else "")
    left_out = [start for start in unused if any(key.startswith(start) for key in opened.tensors)]
    origin += f", without {', '.join(left_out)}" if left_out else ""
    return Source(sha256=file_digest(checkpoint), licence=entry.licence if entry else "", origin=origin)


def _renamed(tensors: dict[str, Tensor], checkpoint: Path, entry: ZooModel | None) -> Mapping[str, Tensor]:
    if entry is None or entry.rename is None:
        return tensors
    try:
        return entry.rename(tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint}: {error}") from error


def _completed(entry: ZooModel, module: nn.Module) -> Contract:
    """Return the contract with what the loaded weights bring: the codebook, the decoder's settings."""
    contract = _contract(entry, module)
    rule = contract.postprocess
    if entry.learnt is None or rule is None:
        return contract
    settings = {**rule.settings, **entry.learnt(module)}
    return msgspec.structs.replace(contract, postprocess=msgspec.structs.replace(rule, settings=settings))


def _load_random(entry: ZooModel, network: Callable[[], nn.Module]) -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        module = network().eval()
    source = Source(sha256="", origin=f"random weights, seed {_SEED}")
    return Model(entry.name, module, _contract(entry, module), source)


def _contract(entry: ZooModel, module: nn.Module) -> Contract:
    """Return the model's contract, bound to the codebook among the weights if it has one."""
    if not entry.codebook:
        return entry.contract
    return with_codebook(entry.contract, module.state_dict()[entry.codebook].numpy())


def load_user(spec: str, checkpoint: Path | None = None, contract: Contract | None = None) -> Model:
    """Load `path/to/model.py:function`, which returns a module, or a module and its contract.

    A contract that is passed wins. Raises UsageError naming the file and line if the model cannot be built,
    CheckpointError if the checkpoint does not fit.
    """
    path, module, own = build_module(spec)
    contract = contract or own
    if contract is None:
        raise UsageError(f"{spec} comes without a contract; pass --input, for example --input image=1x3x256x256")
    if checkpoint is not None:
        source = _load_weights(module, checkpoint, spec)
    else:
        source = Source(sha256=file_digest(path), origin=f"weights as built by {path.name}")
    return Model(own_name(path.stem), module.eval(), contract, source)


def load_exported(path: Path, contract: Contract | None = None) -> Model:
    """Load a `torch.export` archive as a model by itself; its graph is fixed, its shapes must be as well.

    Raises CheckpointError if the file is no such archive, UsageError if sizes are open and none are passed.
    """
    program = read_exported(path)
    if contract is None:
        contract = Contract(inputs=graph_inputs(program, path))
    return Model(
        own_name(path.stem), FrozenGraph(program), contract, Source(sha256=file_digest(path), origin=path.name)
    )


def own_name(stem: str) -> str:
    """Return the name of a user's model; one that the zoo has is marked, for the zoo's limits are not its own."""
    return f"{stem}-own" if stem in MODELS else stem
