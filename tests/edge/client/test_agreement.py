"""`edge verify --server`: an artifact and a real server that agree, differ, refuse or are not there."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from client_models import bright, picture
from oip_server import Served, serving

from edge.artifact import Artifact
from edge.cli import cli
from edge.errors import EdgeError
from edge.images import write_image

pytestmark = pytest.mark.slow


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for seed in range(2):
        write_image(tmp_path / f"{seed}.png", picture(seed))
    return tmp_path


def verify(artifact: Artifact, url: str, *more: object) -> Result:
    words = ["verify", str(artifact.root), "--server", url, *(str(word) for word in more)]
    return CliRunner().invoke(cli, words, standalone_mode=False)


def code_of(result: Result) -> int:
    if isinstance(result.exception, EdgeError):
        return result.exception.exit_code
    assert result.exception is None
    code: Any = result.return_value
    return int(code)


@pytest.mark.parametrize("more", [[], ["--as-pictures"]])
def test_both_answer_the_same(artifact: Artifact, server: Served, pictures: Path, more: list[str]) -> None:
    result = verify(artifact, server.url, "--data", pictures, "--json", *more)
    assert code_of(result) == 0
    row = json.loads(result.stdout)[0]
    assert row["passed"]
    assert row["inputs"] == "real: 2"
    assert row["sent_as"] == ("png" if more else "tensors")
    assert row["outputs"][0]["max_abs"] < 1e-5
    assert row["task"]["metric"] == "mean IoU"
    assert row["server_sha256"] == "cd" * 32
    assert server.conduct.requests[0].inputs[0].datatype == ("BYTES" if more else "FP32")


def test_a_server_that_computes_something_else(artifact: Artifact, pictures: Path) -> None:
    def other(inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        return {"mask": bright(inputs["image"], sharpness=2.0)}

    with serving(other) as server:
        result = verify(artifact, server.url, "--data", pictures)
    assert code_of(result) == 4
    assert "DISAGREE" in result.stdout
    assert "other weights" in result.stdout


def test_a_server_that_is_not_there(artifact: Artifact, pictures: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = verify(artifact, f"http://127.0.0.1:{port}", "--data", pictures)
    assert code_of(result) == 3
    assert "cannot be reached" in result.stderr


def test_a_token_comes_from_a_file(artifact: Artifact, server: Served, pictures: Path, tmp_path: Path) -> None:
    server.conduct.token = "secret"
    file = tmp_path / "token"
    file.write_text("secret\n")
    assert code_of(verify(artifact, server.url, "--data", pictures, "--token-file", file)) == 0
    file.write_text("other")
    result = verify(artifact, server.url, "--data", pictures, "--token-file", file)
    assert code_of(result) == 2
    assert "401" in result.stderr


def test_options_that_do_not_go_together(artifact: Artifact, server: Served) -> None:
    assert code_of(verify(artifact, "http://example.org")) == 2
    assert code_of(verify(artifact, server.url, "--random-weights")) == 2
    words = ["verify", str(artifact.root), "--as-pictures"]
    assert code_of(CliRunner().invoke(cli, words, standalone_mode=False)) == 2
