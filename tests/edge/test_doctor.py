"""What counts as lacking: what a command fetches does, what only a vendor hands out does not."""

import pytest
from click.testing import CliRunner

from convert.targets import Target
from edge.cli import cli, doctor
from edge.cli.doctor import Check
from edge.sdk import Sdk, Wheel

FETCHED = Wheel(package="x", version="1", sha256="0", members={})


def make(id, sdks=(), missing="", packages=()):
    return Target(
        id=id, runtime="none", summary="made up", precisions=("fp32",), packages=packages, extra="none",
        execution="emulated", sdks=sdks, probe=lambda: missing, compile=lambda *_: None,
    )  # fmt: skip


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with one SDK that is published and one that only its vendor hands out, neither installed."""
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path))
    published = Sdk(
        name="open-1", group="open", title="Open 1", vendor="O", version="1", licence="MIT", wheels=(FETCHED,),
        required=("lib.so",),
    )  # fmt: skip
    closed = Sdk(
        name="closed-1", group="closed", title="Closed 1", vendor="C", version="1", licence="own",
        obtain="ask C", required=("lib.so",),
    )  # fmt: skip
    sdks = {entry.name: entry for entry in (published, closed)}
    monkeypatch.setattr("edge.cli.doctor.SDKS", sdks)
    monkeypatch.setattr("convert.targets.SDKS", sdks)
    monkeypatch.setattr(doctor.shutil, "which", lambda _: "/usr/bin/npm")

    def with_targets(*targets):
        found = {}
        for target in targets:
            found[target.family] = (*found.get(target.family, ()), target)
        monkeypatch.setattr(doctor, "families", lambda: found)
        return {check.name: check for check in doctor.checks()}

    return with_targets


def code():
    return CliRunner().invoke(cli, ["doctor"], standalone_mode=False).return_value


def test_a_family_is_one_line_with_its_chips_and_how_it_executes(machine):
    found = machine(make("a-qnn:X1"), make("a-qnn:X2"), make("b-cpu"))
    assert found["target a-qnn"] == Check(
        "target a-qnn", True, "ready for 2 chips; its artifacts run here on an emulator of the chip"
    )
    assert found["target b-cpu"].found.startswith("ready; ")
    assert code() == 0


def test_what_a_command_fetches_lacks(machine):
    found = machine(make("a-qnn:X1", ("open-1",)))["target a-qnn"]
    assert (found.mark, found.found, found.mend) == ("MISS", "needs Open 1", "edge sdk install open")
    assert code() == 3
    package = machine(make("c-cpu", packages=("no-such-package",)))["target c-cpu"]
    assert (package.mark, package.mend) == ("MISS", "pip install 'edge-deployment-kit[none]'")
    assert code() == 3


def test_what_only_a_vendor_hands_out_does_not_count(machine):
    found = machine(make("m-npu:X1", ("closed-1",)))
    family, folder = found["target m-npu"], found["sdk closed-1"]
    assert (family.mark, family.mend) == ("-", "edge sdk install closed-1 --root DIR (ask C)")
    assert (folder.mark, folder.found) == ("-", "Closed 1: not installed")
    assert code() == 0


def test_a_damaged_sdk_is_a_fault(machine, tmp_path):
    (tmp_path / "sdk" / "open-1").mkdir(parents=True)
    found = machine(make("b-cpu"))["sdk open-1"]
    assert found.mark == "MISS"
    assert "lib.so of Open 1" in found.found
    assert found.mend == "edge sdk install open"
    assert code() == 3
