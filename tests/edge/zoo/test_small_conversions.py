"""What is meant for servers goes to the runtimes of CPUs and to Core ML, too: small variants, compiled and executed."""

import pytest
import torch
from filled import fill
from small_networks import SMALL

from convert.compile import compile_program
from convert.export import export, flatten
from convert.program import Model
from edge.artifact import Source
from edge.runtimes import open_session
from edge.zoo import MODELS

_QUICK = "maskbit-tokenizer-18bit-decoder"
SERVED = [
    pytest.param(name, marks=pytest.mark.slow if name == _QUICK else pytest.mark.full)
    for name in sorted(SMALL)
    if MODELS[name].runs == "server"
]

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.mark.parametrize("target", ["executorch-xnnpack", "litert-cpu", "onnx-cpu", "coreml"])
@pytest.mark.parametrize("name", SERVED)
def test_an_artifact_answers_as_the_network(name, target, tmp_path):
    network, contract = fill(SMALL[name][0]()), SMALL[name][1]
    (spec,) = contract.inputs
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 64, spec.shape, generator=generator, dtype=torch.int32)
    inputs = tokens if spec.dtype == "int32" else torch.rand(spec.shape, generator=generator)
    program = export(Model(name, network, contract, Source(sha256="")))
    found = open_session(compile_program(program, target, "fp32", tmp_path / "artifact")).run(
        {spec.name: inputs.numpy()}
    )
    with torch.no_grad():
        expected = flatten(network(inputs))
    for have, want in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(have), want, rtol=0, atol=1e-3 * float(want.abs().max()))
