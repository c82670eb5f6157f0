"""The ExecuTorch session on a tiny program: numbers, bad inputs, broken files, threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from convert.compile import compile_program
from convert.export import export
from convert.program import Model
from edge.artifact import Artifact, Source
from edge.contract import Contract, TensorSpec
from edge.errors import InputError, TargetError
from edge.runtimes import open_session
from edge.runtimes.executorch import bindings

pytestmark = [
    pytest.mark.slow,  # imports executorch
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, nn.Module]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
    contract = Contract(inputs=(TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW"),))
    model = Model("tiny", module, contract, Source(sha256="0" * 64))
    return compile_program(export(model), "executorch-xnnpack", "fp32", tmp_path_factory.mktemp("tiny")), module


@pytest.mark.parametrize("threads", ["1", "2"])
def test_agrees_with_eager_at_any_thread_count(
    tiny: tuple[Artifact, nn.Module], threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_THREADS", threads)
    artifact, module = tiny
    session = open_session(artifact)
    assert session.mode == "native"
    assert bindings()._threadpool_get_thread_count() == int(threads)
    for seed in (0, 1):
        x = np.random.default_rng(seed).random((1, 3, 8, 8), dtype=np.float32)
        expected = module(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(session.run({"image": x})["output_0"], expected, atol=1e-6)


def test_results_survive_the_next_run(tiny: tuple[Artifact, nn.Module]) -> None:
    session = open_session(tiny[0])
    first = session.run({"image": np.ones((1, 3, 8, 8), np.float32)})["output_0"]
    kept = first.copy()
    session.run({"image": np.zeros((1, 3, 8, 8), np.float32)})
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    "inputs",
    [{}, {"image": np.zeros((1, 3, 8, 9), np.float32)}, {"image": np.zeros((1, 3, 8, 8), np.float64)}],
    ids=["missing", "shape", "dtype"],
)
def test_wrong_inputs_are_named(tiny: tuple[Artifact, nn.Module], inputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(InputError, match="image"):
        open_session(tiny[0]).run(inputs)


@pytest.mark.parametrize("keep", [0, 7, 200], ids=lambda keep: f"{keep} bytes")
def test_a_broken_file_is_refused(tiny: tuple[Artifact, nn.Module], tmp_path: Path, keep: int) -> None:
    (tmp_path / "model.pte").write_bytes(tiny[0].file(".pte").read_bytes()[:keep])
    with pytest.raises(TargetError, match="edge deploy"):
        open_session(Artifact(tmp_path, tiny[0].manifest))
