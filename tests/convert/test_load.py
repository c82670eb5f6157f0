"""From a name, a file or an archive to a Model."""

import hashlib

import pytest
import torch
from torch import nn

from convert.export import complete_contract, export, flatten
from convert.load import load, load_exported, load_user
from edge.contract import Contract, TensorSpec
from edge.errors import CheckpointError, MissingError, UnknownName, UsageError

LRASPP = "lraspp-mobilenet-v3-large"
CONTRACT = Contract(inputs=(TensorSpec(name="image", shape=(1, 3, 16, 16), layout="NCHW"),))
SOURCE = """
import torch
from torch import nn
import beside
from edge.contract import Contract, TensorSpec

def build():
    torch.manual_seed(0)
    return nn.Conv2d(3, beside.WIDTH, 3)

def with_contract():
    return build(), Contract(inputs=(TensorSpec(name="x", shape=(1, 3, 8, 8)),))

def raises():
    depth = {}
    return depth["depth"]

def leaves():
    raise SystemExit(3)

def text():
    return "a model"

def pair():
    return 1, 2
"""


@pytest.fixture
def user(tmp_path, monkeypatch):
    """A user's file with a module beside it; imports of the test stay in the test."""
    import sys

    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("mine", "beside", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "beside.py").write_text("WIDTH = 4\n")
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    yield path
    for name in ("mine", "beside", "broken"):
        sys.modules.pop(name, None)


def test_a_zoo_network_with_a_checkpoint(tmp_path):
    random = load(LRASPP, random_weights=True)
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": random.module.state_dict()}, path)
    model = load(LRASPP, path)
    assert not model.module.training
    assert model.source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert model.source.licence == "BSD-3-Clause"
    assert model.source.origin == "weights.pth, state_dict taken off"
    picture = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        assert torch.equal(model.module(picture)["out"], random.module(picture)["out"])


def test_random_weights_are_the_same_each_time_and_recorded():
    state = torch.random.get_rng_state()
    first, second = load(LRASPP, random_weights=True), load(LRASPP, random_weights=True)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(map(torch.equal, first.module.state_dict().values(), second.module.state_dict().values()))
    assert first.source.origin == "random weights, seed 0"


def test_a_network_without_weights_says_which_file():
    with pytest.raises(MissingError, match=r"--checkpoint with .*lraspp_mobilenet_v3_large-d234d4ea\.pth"):
        load(LRASPP)


def test_another_models_checkpoint(tmp_path):
    torch.save(load(LRASPP, random_weights=True).module.state_dict(), tmp_path / "lraspp.pth")
    with pytest.raises(CheckpointError, match=f"missing.*unexpected.*it fits {LRASPP}"):
        load("deeplabv3-mobilenet-v3-large", tmp_path / "lraspp.pth")


def test_an_unknown_model_offers_the_closest():
    with pytest.raises(UnknownName, match=LRASPP):
        load("lraspp-mobilenet-v3-larg")


def test_a_users_function(user, tmp_path):
    model = load_user(f"{user}:build", None, CONTRACT)
    assert (model.name, model.contract) == ("mine", CONTRACT)
    assert model.source.origin == "weights as built by mine.py"
    state = {name: tensor + 1 for name, tensor in model.module.state_dict().items()}
    torch.save(state, tmp_path / "trained.pt")
    trained = load_user(f"{user}:build", tmp_path / "trained.pt", CONTRACT)
    assert torch.equal(trained.module.state_dict()["bias"], state["bias"])
    assert complete_contract(trained).contract.outputs[0].shape == (1, 4, 14, 14)


def test_a_users_contract_holds_until_another_is_passed(user):
    assert load_user(f"{user}:with_contract").contract.inputs[0].name == "x"
    assert load_user(f"{user}:with_contract", None, CONTRACT).contract is CONTRACT


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("build", r"without a contract; pass --input"),
        ("raises", r"mine\.py:16: raises\(\) raised KeyError: 'depth'"),
        ("leaves", r"mine\.py:19: leaves\(\) raised SystemExit: 3"),
        ("text", r"returned str; expected a torch\.nn\.Module"),
        ("pair", r"returned a tuple of int, int"),
        ("nowhere", r"has no function nowhere; it defines build, with_contract, raises"),
        ("", r"not of the form"),
    ],
)
def test_a_function_that_brings_no_model(user, function, message):
    with pytest.raises(UsageError, match=message):
        load_user(f"{user}:{function}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import torch\ndef build(:\n", r"broken\.py:2: import raised SyntaxError"),
        ("x = 1\nimport no_such_package\n", r"broken\.py:2: import raised ModuleNotFoundError"),
    ],
)
def test_a_file_that_cannot_be_imported(user, tmp_path, content, message):
    (tmp_path / "broken.py").write_text(content)
    with pytest.raises(UsageError, match=message):
        load_user(f"{tmp_path}/broken.py:build", None, CONTRACT)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        load_user(f"{tmp_path}/gone.py:build", None, CONTRACT)


def test_an_exported_archive_by_itself(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).eval()
    picture = torch.rand(1, 3, 8, 8)
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(module, (picture,)), path)
    model = load_exported(path)
    assert (model.name, model.contract.inputs[0].shape, model.contract.inputs[0].layout) == (
        "net",
        (1, 3, 8, 8),
        "NCHW",
    )
    program = export(model)
    with torch.no_grad():
        found = flatten(program.exported.module(check_guards=False)(picture))[0]
        assert torch.equal(found, module(picture))


def test_an_archive_with_open_sizes_asks_for_them(tmp_path):
    path = tmp_path / "open.pt2"
    size = torch.export.Dim("size", min=4, max=64)
    exported = torch.export.export(nn.ReLU(), (torch.rand(1, 3, 8, 8),), dynamic_shapes=({2: size},))
    torch.export.save(exported, path)
    with pytest.raises(UsageError, match="--input"):
        load_exported(path)
    assert load_exported(path, CONTRACT).contract is CONTRACT


def test_something_else_called_pt2(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pt2")
    with pytest.raises(CheckpointError, match=r"not a torch\.export archive"):
        load_exported(tmp_path / "a.pt2")
