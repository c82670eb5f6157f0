"""Checkpoint files: read, refused, and loaded strictly."""

import io
import json
import os
import pathlib
import pickle
import re
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from convert.checkpoint import load_strict, open_checkpoint, read_checkpoint
from edge.errors import CheckpointError
from edge.zoo import MODELS


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, image):
        return self.norm(self.conv(image))


class Bomb:
    def __reduce__(self):
        return os.system, ("exit 1",)


def same(found, module):
    wanted = module.state_dict()
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return Tiny().eval()


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pth.tar", ".bin", ".safetensors", ".pt2"])
def test_reads_every_kind(tmp_path, tiny, suffix):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(tiny.state_dict(), path)
    elif suffix == ".pt2":
        torch.export.save(torch.export.export(tiny, (torch.rand(1, 3, 8, 8),)), path)
    else:
        torch.save(tiny.state_dict(), path)
    assert same(read_checkpoint(path), tiny)


def test_reads_an_old_file_format(tmp_path, tiny):
    torch.save(tiny.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same(read_checkpoint(tmp_path / "old.pth"), tiny)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict"])
def test_takes_off_wrappers_and_says_so(tmp_path, tiny, wrapper):
    state = {f"module.{name}": tensor for name, tensor in tiny.state_dict().items()}
    torch.save({wrapper: state, "epoch": 3, "optimizer": {"lr": 0.1}}, tmp_path / "run.pth")
    opened = open_checkpoint(tmp_path / "run.pth")
    assert same(opened.tensors, tiny)
    assert opened.unwrapped == (wrapper, "module.")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("number", [np.float64(0.7), np.float32(0.7), np.int64(7), np.bool_(True), np.dtype("f4")])
def test_numpy_numbers_beside_the_weights_are_passed_over(tmp_path, tiny, number, zipped):
    run = {"epoch": 5, "state_dict": tiny.state_dict(), "best_pred": number}
    torch.save(run, tmp_path / "checkpoint.pth.tar", _use_new_zipfile_serialization=zipped)
    assert same(read_checkpoint(tmp_path / "checkpoint.pth.tar"), tiny)


def test_a_number_of_an_older_numpy_is_passed_over(tmp_path, tiny):
    path = tmp_path / "checkpoint.pth.tar"
    torch.save({"state_dict": tiny.state_dict(), "best": np.float64(1)}, path, _use_new_zipfile_serialization=False)
    old = path.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert len(old) == path.stat().st_size - 1
    path.write_bytes(old)
    assert same(read_checkpoint(path), tiny)


def test_an_archive_of_files_is_to_be_unpacked(tmp_path, tiny):
    torch.save(tiny.state_dict(), tmp_path / "weights.pth")
    with tarfile.open(tmp_path / "weights.pth.tar", "w:gz") as archive:
        archive.add(tmp_path / "weights.pth", "weights.pth")
    with pytest.raises(CheckpointError, match="unpack it and pass the checkpoint"):
        read_checkpoint(tmp_path / "weights.pth.tar")


def test_reading_a_checkpoint_allows_nobody_else_anything(tmp_path, tiny):
    torch.save(tiny.state_dict(), tmp_path / "weights.pth")
    before = set(torch.serialization.get_safe_globals())  # torch keeps them in no order
    read_checkpoint(tmp_path / "weights.pth")
    assert set(torch.serialization.get_safe_globals()) == before


def test_what_the_caller_allowed_stays_allowed(tmp_path, tiny):
    torch.save(tiny.state_dict(), tmp_path / "weights.pth")
    with torch.serialization.safe_globals([np.dtype]):
        before = set(torch.serialization.get_safe_globals())
        read_checkpoint(tmp_path / "weights.pth")
        assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize(
    ("save", "wanted"),
    [
        (lambda path: torch.save({"a": Bomb()}, path), "system"),
        (lambda path: torch.save({"best": np.float64(1), "a": Bomb()}, path), "system"),
        (lambda path: torch.save({"best": np.zeros(2)}, path), "_reconstruct"),
        (lambda path: torch.save(Tiny(), path), "Tiny"),
        (lambda path: path.write_bytes(pickle.dumps(Bomb())), "system"),
        (lambda path: path.write_bytes(pickle.dumps(Bomb(), protocol=0)), "system"),
    ],
)
def test_a_pickle_that_runs_code_is_refused(tmp_path, save, wanted):
    path = tmp_path / "evil.pth"
    save(path)
    with pytest.raises(CheckpointError, match=rf"would run \S*{wanted} when opened, which is refused.*state_dict"):
        read_checkpoint(path)


class Touch:
    """Create a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def rewritten(source, path, change):
    """Copy an archive with its members passed through `change(name, data)`."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))


def as_pickle(config, file, payload):
    """Return the change that makes the reader open the first tensor of a folder as a pickle."""

    def change(name, data):
        if name.endswith(config):
            entries = json.loads(data)
            entry = next(iter(entries["config"].values()))
            entry["use_pickle"], entry["path_name"] = True, file
            return json.dumps(entries)
        return (
            payload
            if name.endswith(f"/{file.replace('custom_obj', 'tensor').replace('opaque_obj', 'tensor')}")
            else data
        )

    return change


class WithConstant(Tiny):
    def __init__(self):
        super().__init__()
        self.offset = torch.ones(4, 1, 1)

    def forward(self, image):
        return super().forward(image) + self.offset


@pytest.mark.parametrize("suffix", [".pt2", ".pth"])
@pytest.mark.parametrize("member", ["sample_inputs", "legacy weights", "weight_0", "tensor_0", "custom_obj_0"])
def test_an_archive_that_runs_code_is_refused(tmp_path, suffix, member):
    good, evil, proof = tmp_path / "good.pt2", tmp_path / f"evil{suffix}", tmp_path / "proof"
    torch.export.save(torch.export.export(WithConstant().eval(), (torch.rand(1, 3, 8, 8),)), good)
    bomb = saved(((Touch(proof),), {}))
    changes = {
        "sample_inputs": lambda name, data: bomb if "sample_inputs" in name else data,
        "legacy weights": lambda name, data: data,
        "weight_0": as_pickle("weights_config.json", "weight_0", bomb),
        "tensor_0": as_pickle("constants_config.json", "tensor_0", bomb),
        "custom_obj_0": as_pickle("constants_config.json", "custom_obj_0", bomb),
    }
    rewritten(good, evil, changes[member])
    with zipfile.ZipFile(evil, "a") as archive:
        root = archive.namelist()[0].split("/")[0]
        if member == "legacy weights":
            archive.writestr(f"{root}/data/weights/model.pt", bomb)
        if member == "custom_obj_0":
            archive.writestr(f"{root}/data/constants/custom_obj_0", bomb)
    before = torch.load
    with pytest.raises(CheckpointError, match="would run .* when opened, which is refused"):
        read_checkpoint(evil)
    assert not proof.exists()
    assert torch.load is before


def test_an_archive_with_a_pickled_constant_is_refused(tmp_path):
    good, evil, proof = tmp_path / "good.pt2", tmp_path / "evil.pt2", tmp_path / "proof"
    torch.export.save(torch.export.export(WithConstant().eval(), (torch.rand(1, 3, 8, 8),)), good)
    rewritten(good, evil, as_pickle("constants_config.json", "opaque_obj_0", b""))
    with zipfile.ZipFile(evil, "a") as archive:
        root = archive.namelist()[0].split("/")[0]
        archive.writestr(f"{root}/data/constants/opaque_obj_0", pickle.dumps(Touch(proof)))
    with pytest.raises(CheckpointError, match="would run a custom object"):
        read_checkpoint(evil)
    assert not proof.exists()


def test_an_archive_whose_sizes_are_code_is_refused(tmp_path):
    good, evil, proof = tmp_path / "good.pt2", tmp_path / "evil.pt2", tmp_path / "proof"
    size = torch.export.Dim("size", min=4, max=64)
    program = torch.export.export(Tiny().eval(), (torch.rand(1, 3, 8, 8),), dynamic_shapes=({2: size, 3: size},))
    torch.export.save(program, good)
    assert read_checkpoint(good).keys() == program.state_dict.keys()  # honest open sizes are read
    code = f"open({str(proof)!r}, 'w')"

    def change(name, data):
        return re.sub(rb'"expr_str": "[^"]*"', b'"expr_str": "' + code.encode() + b'"', data)

    rewritten(good, evil, change)
    with pytest.raises(CheckpointError, match="would run open"):
        read_checkpoint(evil)
    assert not proof.exists()


def test_an_archive_that_calls_a_function_of_python_is_refused(tmp_path, tiny):
    good, evil = tmp_path / "good.pt2", tmp_path / "evil.pt2"
    torch.export.save(torch.export.export(tiny, (torch.rand(1, 3, 8, 8),)), good)
    rewritten(good, evil, lambda _, data: data.replace(b"torch.ops.aten.conv2d.default", b"torch.os.system"))
    with pytest.raises(CheckpointError):
        read_checkpoint(evil)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.pth", b"", "is empty"),
        ("text.pth", b"not weights", "damaged or not a checkpoint"),
        ("text.safetensors", b"not weights", "damaged or not a checkpoint"),
        ("text.pt2", b"not weights", "not a torch.export archive"),
        ("model.onnx", b"x", r"ends in \.safetensors"),
    ],
)
def test_a_file_that_is_no_checkpoint(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "gone.pth")


@pytest.mark.parametrize("held", [[1, 2], {"epoch": 3}, {}, torch.zeros(2)])
def test_something_else_in_the_file(tmp_path, held):
    torch.save(held, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"holds (a |no )"):
        read_checkpoint(tmp_path / "other.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 3000), flips=st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 255)), max_size=4))
def test_damaged_files_give_tensors_or_one_error(tmp_path, tiny, suffix, cut, flips):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(tiny.state_dict(), path)
    else:
        save_file(tiny.state_dict(), path)
    data = bytearray(path.read_bytes())
    for place, bits in flips:
        data[place % len(data)] ^= bits
    path.write_bytes(data[: max(1, len(data) - cut)])
    try:
        found = read_checkpoint(path)
    except CheckpointError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(tensor, torch.Tensor) for tensor in found.values())


def test_loads_strictly(tmp_path, tiny):
    other = Tiny()
    load_strict(other, tiny.state_dict(), path=tmp_path / "a.pth")
    assert same(other.state_dict(), tiny)


def test_names_missing_unexpected_and_misshaped(tmp_path, tiny):
    state = tiny.state_dict()
    before = {name: tensor.clone() for name, tensor in state.items()}
    wrong = {"conv.weight": torch.zeros(4, 3, 5, 5), "head.bias": torch.zeros(1)}
    with pytest.raises(CheckpointError) as caught:
        load_strict(tiny, wrong, path=tmp_path / "a.pth", expected="tiny")
    text = str(caught.value)
    assert "a.pth does not fit tiny" in text
    assert "6 missing (conv.bias, norm.weight, norm.bias, …)" in text
    assert "1 unexpected (head.bias)" in text
    assert "1 mis-shaped (conv.weight is [4, 3, 5, 5], expected [4, 3, 3, 3])" in text
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny.state_dict().items())


def test_names_the_model_that_a_checkpoint_fits(tmp_path, tiny):
    state = MODELS["lraspp-mobilenet-v3-large"].network().state_dict()
    with pytest.raises(CheckpointError, match="it fits lraspp-mobilenet-v3-large"):
        load_strict(tiny, state, path=tmp_path / "a.pth", expected="tiny")
