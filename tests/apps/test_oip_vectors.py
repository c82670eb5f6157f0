"""The golden files of the protocol and of the client's rules are what the reference writes, and hold enough cases."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import pytest
from kotlin import GOLDEN

from edge.serve.metadata import ModelMetadata, TensorMetadata
from edge.serve.requests import parse_request

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))
import write_client_vectors
import write_oip_vectors


@pytest.fixture(scope="module")
def oip() -> dict[str, bytes]:
    return write_oip_vectors.vectors()


def test_the_protocols_files_are_what_the_script_writes(oip: dict[str, bytes]) -> None:
    for name, data in oip.items():
        assert (GOLDEN / "oip" / name).read_bytes() == data, f"{name}: python scripts/write_oip_vectors.py"
    assert {path.name for path in (GOLDEN / "oip").iterdir()} == set(oip)


def test_the_clients_file_is_what_the_script_writes() -> None:
    assert (GOLDEN / "client.json").read_bytes() == write_client_vectors.vectors()


def test_there_are_answers_of_both_kinds_with_names_of_their_own(oip: dict[str, bytes]) -> None:
    cases = json.loads(oip["responses.json"])["cases"]
    names = [case["name"] + str(case["accept"]) for case in cases]
    assert len(set(names)) == len(names)
    assert sum(not case["accept"] for case in cases) >= 60
    assert sum(case["accept"] for case in cases) >= 40


def test_the_server_reads_the_requests(oip: dict[str, bytes]) -> None:
    for case in json.loads(oip["requests.json"])["cases"]:
        inputs = tuple(
            TensorMetadata(name=given["name"], datatype=given["datatype"], shape=tuple(given["shape"]))
            for given in case["inputs"]
        )
        if any(0 in spec.shape for spec in inputs):
            continue  # written rightly, but no model takes it
        outputs = tuple(TensorMetadata(name=name, datatype="FP32", shape=(1,)) for name in case.get("outputs", ["y"]))
        model = ModelMetadata(name="m", inputs=inputs, outputs=outputs)
        found = parse_request(base64.b64decode(case["body"]), str(case["json_bytes"]), model)
        assert found.timeout_us == case.get("timeout_us")
        assert all(output.binary for output in found.outputs)


def test_all_golden_files_together_are_small() -> None:
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file()) < 2_500_000
