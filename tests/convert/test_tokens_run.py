"""A tokenizer's artifacts: the codebook travels with them, and `edge run` goes from a picture to tokens and back."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from convert.compile import compile_program
from convert.export import export
from convert.infer import run_job
from convert.prepare import prepare
from convert.program import Model, load_program
from edge import codebooks
from edge.artifact import Source, check_files
from edge.codebooks import CODEBOOK, codebook_name, with_codebook
from edge.errors import ContractError, UsageError
from edge.zoo._titok import Sizes, TiTokEncoder, TiTokIndexer, build_decoder
from edge.zoo.titok import ids_contract, latents_contract, picture_contract

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`isinstance\\(treespec, LeafSpec\\)` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the exporter's dependencies
]
SIZES = Sizes(tokens=8, width=32, layers=1, heads=2, grid=2, codes=64, depth=6, legacy=False)


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def models():
    """The three forms of one small tokenizer."""
    torch.manual_seed(0)
    encoder, indexer, decoder = TiTokEncoder(SIZES), TiTokIndexer(SIZES), build_decoder(SIZES)
    indexer.load_state_dict(encoder.state_dict())
    decoder.quantize.load_state_dict(encoder.quantize.state_dict())
    vectors = encoder.quantize.embedding.weight.detach().numpy()
    latents = with_codebook(latents_contract(8, side=32, codes=64, depth=6), vectors)
    return {
        "encoder": Model("encoder", encoder.eval(), latents, Source(sha256="")),
        "ids": Model("ids", indexer.eval(), ids_contract(8, side=32, codes=64), Source(sha256="")),
        "decoder": Model("decoder", decoder.eval(), picture_contract(8, side=32, codes=64), Source(sha256="")),
    }


@pytest.fixture(scope="module")
def artifacts(models, tmp_path_factory):
    root = tmp_path_factory.mktemp("artifacts")
    return {name: compile_program(export(model), "onnx-cpu", "fp32", root / name) for name, model in models.items()}


def run(artifact, picture, **more):
    return run_job({"artifact": str(artifact), "image": str(picture), "output": "", **more})


def test_the_codebook_is_a_file_of_the_artifact(artifacts):
    for name, artifact in artifacts.items():
        check_files(artifact)
        hashes = {entry.name: entry.sha256 for entry in artifact.manifest.files}
        assert hashes.get(CODEBOOK, "") == codebook_name(artifact.manifest.postprocess)
        assert (CODEBOOK in hashes) == (name == "encoder")


def test_ids_are_the_same_wherever_they_are_looked_up(artifacts, picture):
    outside, inside = (run(artifacts[name].root, picture)["result"] for name in ("encoder", "ids"))
    assert outside == inside
    assert outside["bytes"] == 6
    assert len(set(outside["codes"])) > 2


def test_a_moved_artifact_runs_and_one_without_its_codebook_says_so(artifacts, picture, tmp_path, monkeypatch):
    expected = run(artifacts["encoder"].root, picture)["result"]
    shutil.copytree(artifacts["encoder"].root, tmp_path / "moved")
    monkeypatch.setattr(codebooks, "_read", {})
    assert run(tmp_path / "moved", picture)["result"] == expected
    (tmp_path / "moved" / CODEBOOK).unlink()
    monkeypatch.setattr(codebooks, "_read", {})
    with pytest.raises(ContractError, match="missing or damaged"):
        run(tmp_path / "moved", picture)


def test_a_prepared_folder_holds_the_codebook(models, picture, tmp_path, monkeypatch):
    prepare(models["encoder"], [picture], tmp_path)
    monkeypatch.setattr(codebooks, "_read", {})
    program = load_program(tmp_path)
    artifact = compile_program(program, "onnx-cpu", "fp32", tmp_path / "artifact")
    assert (tmp_path / CODEBOOK).read_bytes() == (artifact.root / CODEBOOK).read_bytes()


def test_a_decoder_makes_the_picture_again(models, artifacts, picture, tmp_path):
    drawn = tmp_path / "again.png"
    found = run(artifacts["encoder"].root, picture, output=str(drawn), decoder=str(artifacts["decoder"].root))
    tokens = torch.tensor([found["result"]["codes"]], dtype=torch.int32)
    with torch.no_grad():
        expected = models["decoder"].module(tokens)["image"][0].permute(1, 2, 0).numpy()
    assert np.abs(np.asarray(Image.open(drawn)) - np.rint(expected * 255)).max() <= 1
    made = found["reconstruction"]
    assert made["decoder"] == "decoder"
    assert made["size"] == [32, 32]
    assert 3 < made["psnr_db"] < 30


def test_a_decoder_of_another_tokenizer_is_refused(models, artifacts, picture, tmp_path):
    with pytest.raises(UsageError, match="wants the artifact of a detokenization"):
        run(artifacts["ids"].root, picture, decoder=str(artifacts["encoder"].root))
    larger = dataclasses.replace(SIZES, codes=128)
    contract = picture_contract(8, side=32, codes=128)
    other = Model("other", build_decoder(larger).eval(), contract, Source(sha256=""))
    compile_program(export(other), "onnx-cpu", "fp32", tmp_path / "other")
    with pytest.raises(UsageError, match="the decoder of the same tokenizer"):
        run(artifacts["ids"].root, picture, decoder=str(tmp_path / "other"))
