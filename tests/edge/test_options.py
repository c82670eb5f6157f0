"""Options of the command line that need no process of their own."""

import pytest

from edge.artifact import Artifact, Manifest, Needs, Source
from edge.cli.options import MAX_PICTURES, model_request
from edge.cli.verify import request_for
from edge.contract import TensorSpec
from edge.errors import InputError, UsageError

NOTHING = {"checkpoint": None, "inputs": (), "contract_file": None, "data": None, "random_weights": False}


def request(**options):
    return model_request("selfie-segmentation", **(NOTHING | options))


def artifact(root, layout="NCHW"):
    """An artifact of a model that is not in the zoo."""
    inputs = (TensorSpec(name="image", shape=(1, 3, 3, 3), layout=layout),)
    manifest = Manifest(
        model="tiny", task="tensors", target="onnx-cpu", precision="fp32", files=(), inputs=inputs, steps=(),
        outputs=(TensorSpec(name="y", shape=(1, 4)),), source=Source(sha256=""), needs=Needs(min_runtime=""),
    )  # fmt: skip
    return Artifact(root, manifest)


def test_verify_asks_for_the_model_that_only_the_user_has(tmp_path):
    with pytest.raises(UsageError, match="your own model tiny; pass --model file.py:function with the --checkpoint"):
        request_for(artifact(tmp_path), None, NOTHING)


def test_verify_takes_the_inputs_that_the_artifact_keeps(tmp_path):
    made = artifact(tmp_path)
    contract = request_for(made, "tiny.py:build", NOTHING).contract
    assert contract is not None
    assert (contract.inputs, contract.outputs) == (made.manifest.inputs, made.manifest.outputs)
    given = request_for(made, "tiny.py:build", NOTHING | {"inputs": ("x=1x3x8x8",)}).contract
    assert given is not None
    assert given.inputs[0].name == "x"
    assert request_for(artifact(tmp_path, "NHWC"), "tiny.py:build", NOTHING).contract is None


def test_morepictures_than_are_used_are_announced(tmp_path, capsys):
    for i in range(MAX_PICTURES + 3):
        (tmp_path / f"{i:02}.png").touch()
    assert [path.name for path in request(data=tmp_path).images] == [f"{i:02}.png" for i in range(MAX_PICTURES)]
    assert f"holds {MAX_PICTURES + 3} pictures; the first {MAX_PICTURES}" in capsys.readouterr().err


def test_a_folder_withoutpictures_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no picture"):
        request(data=tmp_path)
