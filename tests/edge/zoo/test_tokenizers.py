"""The tokenizers' networks: published keys, what the published code computes, and both halves out of one file."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from filled import fill, picture, scatter
from safetensors.torch import save_file

from convert.load import load
from edge.codebooks import codebook
from edge.tasks import TASKS, Frame
from edge.tasks._tokens import nearest_ids, sign_ids
from edge.zoo import MODELS, device_models
from edge.zoo import _titok_whole as whole
from edge.zoo._maskbit import MaskBitDecoder, MaskBitEncoder
from edge.zoo._titok import Sizes, TiTokEncoder, TiTokIndexer, build_decoder
from edge.zoo.titok import b64, l32, s128, tiny

GOLDEN = Path(__file__).parents[2] / "golden"
TITOK = json.loads((GOLDEN / "titok_outputs.json").read_text())  # scripts/record_tokenizers.py made both
MASKBIT = json.loads((GOLDEN / "maskbit_outputs.json").read_text())
FORMS = {"legacy": True, "single-stage": False}
PARAMETERS = {  # of encoder and latent tokens, and of the decoder with its second stage; without the codebook
    "s128": (s128, 25.9e6, 57.5e6),
    "b64": (b64, 86.0e6, 118.6e6),
    "l32": (l32, 303.4e6, 337.3e6),
}


def image():
    return (picture(3, 32, 32).double() + 1) / 2


def recorded(entry):
    return torch.tensor(entry["values"], dtype=torch.float64).reshape(entry["shape"])


def unclamped(network, last, tokens):
    """Return what the last part of a decoder makes of tokens (K,)."""
    made = []
    last.register_forward_hook(lambda part, given, result: made.append(result[0]))
    image = network(torch.tensor([tokens], dtype=torch.int32))["image"][0]
    assert torch.equal(image, made[0].clamp(0, 1))
    return made[0]


def near(found, entry):
    expected = recorded(entry)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * max(1.0, float(expected.abs().max())))


def published(*, legacy):
    return Sizes(tokens=8, width=512, layers=8, heads=8, grid=2, legacy=legacy)


def count(module, *left_out):
    return sum(p.numel() for name, p in module.named_parameters() if not name.startswith(left_out))


@pytest.mark.parametrize("form", FORMS)
def test_titok_has_the_published_keys(form):
    with torch.device("meta"):
        sizes = published(legacy=FORMS[form])
        halves = TiTokEncoder(sizes).state_dict() | build_decoder(sizes).state_dict()
    assert {key: list(tensor.shape) for key, tensor in halves.items()} == TITOK[form]["keys"]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_titok_computes_what_the_published_code_computes(form):
    sizes, expected = published(legacy=FORMS[form]), TITOK[form]
    with torch.no_grad():
        encoder, indexer, decoder = (
            fill(part.double()) for part in (TiTokEncoder(sizes), TiTokIndexer(sizes), build_decoder(sizes))
        )
        for part in (encoder, indexer, decoder):
            scatter(part.quantize.embedding.weight)
        latents = encoder(image())["z"][0]
        near(latents, expected["z"])
        vectors = encoder.quantize.embedding.weight.numpy()
        assert nearest_ids(latents.numpy(), vectors, normalised=True).tolist() == expected["codes"]
        assert indexer(image())["codes"][0].tolist() == expected["codes"]
        last = decoder.pixel_decoder if FORMS[form] else decoder.decoder
        near(unclamped(decoder, last, expected["tokens"]), expected["image"])


def test_the_lookup_is_the_published_one():
    latents = np.sin(np.arange(40 * 12) * 0.913).reshape(40, 12).astype(np.float32)
    vectors = torch.empty(4096, 12)
    scatter(vectors)
    for name, normalised in (("by direction", True), ("by distance", False)):
        assert nearest_ids(latents, vectors.numpy(), normalised=normalised).tolist() == TITOK[name]


@pytest.mark.parametrize("normalised", [True, False])
def test_the_lookup_inside_the_graph_is_the_same(normalised):
    sizes = Sizes(
        tokens=64, width=32, layers=1, heads=2, grid=2, codes=512, legacy=False, normalised=normalised, depth=6
    )
    torch.manual_seed(3)
    indexer = TiTokIndexer(sizes).eval()
    with torch.no_grad():
        pictures = torch.rand(2, 3, 32, 32)
        latents = TiTokEncoder.forward(indexer, pictures)["z"]
        codes = indexer(pictures)["codes"]
    vectors = indexer.quantize.embedding.weight.detach().numpy()
    found = [nearest_ids(row.numpy(), vectors, normalised=normalised) for row in latents]
    assert codes.dtype == torch.int32
    assert codes.tolist() == np.stack(found).tolist()
    assert len(np.unique(found)) > 10


def test_the_single_stage_halves_may_differ_in_size():
    with torch.device("meta"):
        encoder, decoder = (MODELS[name].network() for name in ("titok-sl256-vq8k", "titok-sl256-vq8k-decoder"))
    assert encoder.quantize.embedding.weight.shape == decoder.quantize.embedding.weight.shape == (8192, 64)
    assert encoder.encoder.conv_out.weight.shape == (64, 512, 1, 1)
    assert decoder.decoder.ffn[0].weight.shape == (768, 1024, 1, 1)
    assert (len(encoder.encoder.transformer), len(decoder.decoder.transformer)) == (8, 24)
    settings = MODELS["titok-sl256-vq8k"].contract.postprocess.settings
    assert settings == {"codes": 8192, "depth": 64, "normalised": 0}
    assert (count(encoder, "quantize."), count(decoder, "quantize.")) == (26_041_920, 303_694_676)


@pytest.mark.parametrize("name", PARAMETERS)
def test_titok_has_as_many_parameters_as_the_published_one(name):
    sizes, encoding, decoding = PARAMETERS[name]
    with torch.device("meta"):
        assert count(TiTokEncoder(sizes()), "quantize.") == pytest.approx(encoding, rel=2e-3)
        assert count(build_decoder(sizes()), "quantize.", "pixel_quantize.") == pytest.approx(decoding, rel=2e-3)


def test_the_tiny_halves_have_fewer_than_five_megabytes_in_half_floats():
    with torch.device("meta"):
        encoder, decoder = TiTokEncoder(tiny()), build_decoder(tiny())
    assert 2 * count(encoder, "quantize.") + 4 * encoder.quantize.embedding.weight.numel() < 5e6
    assert 2 * count(decoder) < 5e6
    assert {"titok-tiny", "titok-tiny-ids", "titok-tiny-decoder"} <= set(device_models())


@pytest.fixture(scope="module")
def trained():
    """A whole small tokenizer in the tiny form, with the weights of a seed."""
    torch.manual_seed(5)
    return whole.build(tiny())


def test_one_file_loads_into_both_halves(trained, tmp_path):
    save_file(trained.state_dict(), tmp_path / "whole.safetensors")
    encoder, indexer, decoder = (
        load(name, tmp_path / "whole.safetensors") for name in ("titok-tiny", "titok-tiny-ids", "titok-tiny-decoder")
    )
    pixels = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        expected = trained.eval()(pixels)
        latents = encoder.module(pixels)["z"]
        ids = TASKS["tokenization"].decode({"z": latents.numpy()}, encoder.contract, FRAME).ids
        assert ids.tolist() == expected.codes[0].tolist() == indexer.module(pixels)["codes"][0].tolist()
        picture = decoder.module(torch.from_numpy(ids.astype(np.int32))[None])["image"]
    torch.testing.assert_close(picture, expected.image.clamp(0, 1), atol=1e-5, rtol=0)
    assert encoder.source.origin == "whole.safetensors, without decoder."
    vectors = trained.quantize.embedding.weight.detach().numpy()
    assert np.array_equal(codebook(encoder.contract.postprocess), vectors)


FRAME = Frame((128, 128), (128, 128), np.eye(3)[:2])


def test_gradients_pass_the_quantizer(trained):
    trained.zero_grad()
    found = trained(torch.rand(2, 3, 128, 128))
    (found.image.square().mean() + 0.25 * found.commitment + found.codebook).backward()
    without = [name for name, parameter in trained.named_parameters() if parameter.grad is None]
    assert without == []
    assert float(trained.encoder.patch_embed.weight.grad.abs().max()) > 0
    assert torch.equal(found.commitment, found.codebook)
    assert (found.commitment > 0).item()


def test_unused_code_vectors_are_replaced_by_latents():
    tokenizer = whole.build(Sizes(tokens=4, width=16, layers=1, heads=1, grid=1, legacy=False, codes=8, depth=2))
    before = tokenizer.quantize.embedding.weight.detach().clone()
    used = torch.tensor([True, False] * 4)
    assert tokenizer.renew(torch.full((3, 2), 7.0), used) == 4
    after = tokenizer.quantize.embedding.weight
    assert torch.equal(after[::2], before[::2])
    assert (after[1::2] == 7).all()
    assert tokenizer.renew(torch.zeros(0, 2), used) == 0


def test_a_legacy_tokenizer_is_not_trained_whole():
    with pytest.raises(ValueError, match="single-stage"):
        whole.build(s128())


@pytest.mark.parametrize("bits", [10, 18])
def test_maskbit_has_the_published_keys(bits):
    with torch.device("meta"):
        halves = MaskBitEncoder(bits, 32).state_dict() | MaskBitDecoder(bits, 32).state_dict()
    expected = MASKBIT[f"{bits} bits"]["keys"]
    assert {key: list(tensor.shape) for key, tensor in halves.items()} == {
        key: shape for key, shape in expected.items() if not key.startswith("quantize.")
    }


@pytest.mark.parametrize("bits", [10, 18])
def test_maskbit_computes_what_the_published_code_computes(bits):
    expected = MASKBIT[f"{bits} bits"]
    with torch.no_grad():
        latents = fill(MaskBitEncoder(bits, 32).double())(image())["z"][0]
        near(latents, expected["z"])
        assert sign_ids(latents.permute(1, 2, 0).numpy()).ravel().tolist() == expected["codes"]
        network = fill(MaskBitDecoder(bits, 32, grid=2).double())
        near(unclamped(network, network.decoder, expected["tokens"]), expected["image"])


def test_maskbit_has_as_many_parameters_as_its_published_keys_hold():
    with torch.device("meta"):
        encoder, decoder = MODELS["maskbit-tokenizer-12bit"], MODELS["maskbit-tokenizer-12bit-decoder"]
        assert (count(encoder.network()), count(decoder.network())) == (25_125_260, 29_353_987)


def test_every_tokenizer_says_where_weights_are_and_how_many_bytes_travel():
    encoders = [entry for entry in MODELS.values() if entry.contract.task == "tokenization"]
    assert len(encoders) == 12
    for entry in encoders:
        assert entry.runs == "device"
        assert entry.name == "titok-s128-ids" or f"{entry.name.removesuffix('-ids')}-decoder" in MODELS
        assert ("research" in entry.licence) == (not entry.name.startswith("titok-tiny"))
