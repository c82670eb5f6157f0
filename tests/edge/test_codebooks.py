"""Codebooks beside models: named by their content, found where the contract was read, checked."""

import shutil

import msgspec
import numpy as np
import pytest

from edge import codebooks
from edge.artifact import Artifact, file_digest, read_manifest, write_manifest
from edge.codebooks import CODEBOOK, codebook, codebook_at, codebook_bytes, codebook_name, with_codebook
from edge.contract import Contract, Postprocess, TensorSpec
from edge.errors import ContractError

VECTORS = np.random.default_rng(7).normal(size=(16, 3)).astype(np.float32)
PLAIN = Contract(
    inputs=(TensorSpec(name="x", shape=(1, 3)),), postprocess=Postprocess(decoder="nearest", settings={"normalised": 1})
)


@pytest.fixture
def forgotten(monkeypatch):
    """Start as a process that has read nothing, and again whenever called."""

    def forget():
        monkeypatch.setattr(codebooks, "_read", {})
        monkeypatch.setattr(codebooks, "_places", {})

    forget()
    return forget


def test_the_name_is_the_files_hash(forgotten, tmp_path):
    rule = with_codebook(PLAIN, VECTORS).postprocess
    (tmp_path / CODEBOOK).write_bytes(codebook_bytes(rule))
    assert codebook_name(rule) == file_digest(tmp_path / CODEBOOK)
    assert rule.settings | {"codebook": ""} == {"normalised": 1, "codes": 16, "depth": 3, "codebook": ""}
    assert msgspec.json.decode(msgspec.json.encode(rule), type=Postprocess) == rule
    forgotten()
    codebook_at(rule, tmp_path)
    assert np.array_equal(codebook(rule), VECTORS)
    assert not codebook(rule).flags.writeable


def test_a_moved_artifact_keeps_its_codebook(forgotten, tmp_path):
    from edge.artifact import Manifest, Needs, Source, list_files

    contract = with_codebook(PLAIN, VECTORS)
    made = tmp_path / "made"
    made.mkdir()
    (made / CODEBOOK).write_bytes(codebook_bytes(contract.postprocess))
    manifest = Manifest(
        model="m", task="tokenization", target="onnx-cpu", precision="fp32", files=list_files(made),
        inputs=contract.inputs, outputs=(), steps=(), source=Source(sha256=""), needs=Needs(min_runtime="x"),
        postprocess=contract.postprocess,
    )  # fmt: skip
    assert isinstance(write_manifest(made, manifest), Artifact)
    shutil.move(made, tmp_path / "moved")
    forgotten()
    found = read_manifest(tmp_path / "moved").manifest
    assert np.array_equal(codebook(found.contract.postprocess), VECTORS)
    assert [entry.sha256 for entry in found.files] == [codebook_name(found.postprocess)]


def test_what_cannot_be_a_codebook_says_why(forgotten, tmp_path):
    with pytest.raises(ContractError, match="set postprocess first"):
        with_codebook(msgspec.structs.replace(PLAIN, postprocess=None), VECTORS)
    for wrong in (VECTORS[0], np.full((2, 2), np.nan), np.zeros((0, 3))):
        with pytest.raises(ContractError, match="of finite numbers"):
            with_codebook(PLAIN, wrong)
    with pytest.raises(ContractError, match="names no codebook"):
        codebook_bytes(PLAIN.postprocess)
    rule = with_codebook(PLAIN, VECTORS).postprocess
    forgotten()
    with pytest.raises(ContractError, match="nothing that was read has it"):
        codebook(rule)
    (tmp_path / CODEBOOK).write_bytes(VECTORS[:-1].tobytes())
    for folder in (tmp_path, tmp_path / "nowhere"):
        codebook_at(rule, folder)
        with pytest.raises(ContractError, match="missing or damaged"):
            codebook(rule)
    (tmp_path / CODEBOOK).write_bytes(VECTORS.tobytes())
    codebook_at(rule, tmp_path)
    other = msgspec.structs.replace(rule, settings=rule.settings | {"depth": 5})
    with pytest.raises(ContractError, match="16 × 5"):
        codebook(other)
