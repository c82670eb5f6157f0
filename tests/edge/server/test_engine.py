"""Models in memory: artifacts and eager modules, and whether two rows together are what each is alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from served_models import write_pictures, write_work

from edge.artifact import read_manifest, write_manifest
from edge.contract import Contract, TensorSpec
from edge.errors import CheckpointError, EdgeError, InputError, MissingError, Refused, UnknownName
from edge.serve.metadata import TensorMetadata
from edge.server.config import ModelConfig
from edge.server.engine import Engine, _engine, _is_batched, open_engine


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxruntime")
    return write_work(tmp_path_factory.mktemp("artifact") / "work")


def asked(*values: float) -> dict[str, Any]:
    return {"x": np.float32([[value] * 4 for value in values]), "rounds": np.zeros(len(values), np.int64)}


def test_an_artifact_answers_row_by_row(work: Path) -> None:
    engine = open_engine(ModelConfig(source=str(work), cpus=1))
    assert (engine.metadata.name, engine.weights, engine.batched, engine.joins) == ("work", "0" * 64, False, True)
    assert engine.metadata.inputs[0] == TensorMetadata(name="x", datatype="FP32", shape=(-1, 4))
    assert engine.run(asked(1, 2, 3))["y"].tolist() == [[3] * 4, [5] * 4, [7] * 4]
    assert engine.run(asked(1))["y"].shape == (1, 4)


def test_one_row_at_a_time_where_batches_are_off(work: Path) -> None:
    engine = open_engine(ModelConfig(source=str(work), cpus=1, max_batch=1))
    assert engine.metadata.inputs[0].shape == (1, 4)
    assert not engine.joins


def test_a_changed_artifact_is_refused(tmp_path: Path) -> None:
    folder = write_work(tmp_path / "work")
    with (folder / "model.onnx").open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"!")
    with pytest.raises(InputError, match=r"model\.onnx was changed"):
        open_engine(ModelConfig(source=str(folder)))
    (folder / "model.onnx").unlink()
    with pytest.raises(InputError, match=r"model\.onnx is missing"):
        open_engine(ModelConfig(source=str(folder)))


def test_a_file_outside_of_the_artifact_is_not_opened(tmp_path: Path) -> None:
    folder = write_work(tmp_path / "work")
    manifest = read_manifest(folder).manifest
    (tmp_path / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    entry = msgspec.structs.replace(manifest.files[0], name="../model.onnx")
    write_manifest(folder, msgspec.structs.replace(manifest, files=(entry,)))
    with pytest.raises(EdgeError):
        open_engine(ModelConfig(source=str(folder), cpus=1))


@pytest.mark.parametrize("said", [{"device": "cuda", "gpus": 1}, {"checkpoint": "weights.pth"}, {"weights": "random"}])
def test_an_artifact_is_what_it_is(work: Path, said: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="is an artifact"):
        open_engine(ModelConfig(source=str(work), **said))


def test_sources_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no manifest"):
        open_engine(ModelConfig(source=str(tmp_path)))
    with pytest.raises(UnknownName, match="blazepose-heavy"):
        open_engine(ModelConfig(source="blazepose-heavi"))


@pytest.mark.slow
def test_an_eager_module_from_a_pt2(tmp_path: Path) -> None:
    import torch

    path = write_pictures(tmp_path / "pictures.pt2")
    engine = open_engine(ModelConfig(source=str(path), cpus=1))
    assert not engine.batched  # its graph takes one row
    assert engine.metadata.inputs[0].takes_pictures
    pictures = np.random.default_rng(0).random((3, 3, 16, 16), np.float32)
    pictures.setflags(write=False)  # as views of a request's body are
    found = engine.run({"image": pictures})["output_0"]
    assert np.allclose(found, pictures.mean((2, 3)), atol=1e-6)
    with pytest.raises(MissingError, match="sees no GPU") as caught:
        open_engine(ModelConfig(source=str(path), device="cuda", gpus=1))
    assert not torch.cuda.is_available()
    assert caught.value.exit_code == 3
    path.write_bytes(b"no archive")
    with pytest.raises(CheckpointError):
        open_engine(ModelConfig(source=str(path)))


@pytest.mark.slow
def test_an_eager_network_is_batched_and_agrees_with_itself() -> None:
    engine = open_engine(ModelConfig(source="lraspp-mobilenet-v3-large", weights="random", cpus=1))
    assert (engine.weights, engine.batched, engine.joins) == ("random", True, True)
    (spec,) = engine.contract.inputs
    two = np.random.default_rng(0).random((2, *spec.shape[1:]), np.float32)
    together = engine.run({spec.name: two})
    for i in range(2):
        for name, alone in engine.run({spec.name: two[i : i + 1]}).items():
            assert np.abs(together[name][i : i + 1] - alone).max() <= 1e-3 * np.abs(alone).max()


VECTOR = Contract(inputs=(TensorSpec(name="x", shape=(1, 4)),), outputs=(TensorSpec(name="y", shape=(1, 4)),))


def only_one(inputs: Any) -> Any:
    if len(inputs["x"]) != 1:
        raise RuntimeError("expected 1 row")
    return {"y": inputs["x"]}


@pytest.mark.parametrize(
    ("run", "batched"),
    [
        (lambda inputs: {"y": inputs["x"] * 2}, True),
        (lambda inputs: {"y": inputs["x"] - inputs["x"].mean(0)}, False),  # rows that see each other
        (lambda inputs: {"y": inputs["x"][:1]}, False),
        (only_one, False),
    ],
)
def test_the_probe_of_two_rows(run: Any, batched: bool) -> None:
    assert _is_batched(VECTOR, run) is batched


@pytest.mark.parametrize("shape", [(2, 4), (), (4,)])
def test_a_first_axis_that_is_none_of_rows_is_left_alone(shape: tuple[int, ...]) -> None:
    spec = TensorSpec(name="x", shape=shape)
    contract = Contract(inputs=(spec,), outputs=(msgspec.structs.replace(spec, name="y"),))
    assert not _is_batched(contract, lambda inputs: {"y": inputs["x"]})
    config = ModelConfig(source="m")
    engine: Engine = _engine(config, contract, lambda inputs: {"y": inputs["x"]}, "", "arithmetic", batched=False)
    assert not engine.joins
    assert engine.metadata.inputs[0].shape == shape
    assert engine.run({"x": np.ones(shape, np.float32)})["y"].shape == shape
