"""A model that ends in argmax, from the command line: cut, deployed, run and verified again."""

import json

import pytest

pytestmark = pytest.mark.slow
MODEL = """
import torch
from torch import nn

class Segment(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Hardswish(), nn.Conv2d(8, 4, 1))

    def forward(self, x):
        return self.net(x).softmax(1).argmax(1)

def build():
    return Segment()
"""


def test_a_model_that_ends_in_argmax(edge, photos, tmp_path):
    (tmp_path / "own.py").write_text(MODEL)
    contract = {
        "inputs": [{"name": "image", "shape": [1, 3, 32, 32], "layout": "NCHW"}],
        "outputs": [{"name": "classes", "shape": [1, 16, 16], "dtype": "int64"}],
        "task": "segmentation",
        "preprocess": {"size": [32, 32]},
    }
    (tmp_path / "contract.json").write_text(json.dumps(contract))
    model = ["own.py:build", "--contract", "contract.json"]
    done = edge("deploy", *model, "--target", "onnx-cpu", "--launches", 0, "--out", "out", "--json")
    assert done.code == 0, done.stderr
    assert "argmax of classes is left to the decoder 'argmax'; artifacts give classes_scores" in done.stderr
    [row] = done.report["targets"]
    assert [output["name"] for output in row["parity"]["outputs"]] == ["classes_scores"]
    assert row["parity"]["task"]["value"] >= 0.999
    assert any(step["options"].get("cut-tail") == "argmax" for step in row["steps"])
    manifest = json.loads((tmp_path / "out/onnx-cpu@fp32/manifest.json").read_text())
    assert manifest["outputs"][0]["shape"] == [1, 4, 16, 16]
    assert manifest["postprocess"]["decoder"] == "argmax"

    verified = edge("verify", "out/onnx-cpu@fp32", "--model", "own.py:build")
    assert verified.code == 0, verified.stderr
    assert "mean IoU" in verified.stdout
    shown = edge("run", "out/onnx-cpu@fp32", photos[0], "-o", "mask.png", "--json")
    assert shown.code == 0, shown.stderr
    assert (tmp_path / "mask.png").is_file()
