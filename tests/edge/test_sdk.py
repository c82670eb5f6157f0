"""SDK folders: made of pinned wheels or the user's own, checked before use. The wheels here are stand-ins."""

import dataclasses
import hashlib
import json
import os
import shutil
import zipfile

import pytest
from click.testing import CliRunner

from edge.cli.sdk import sdk_command
from edge.errors import MissingError, StoreError, TargetError, UnknownName, UsageError
from edge.sdk import SDKS, Sdk, Wheel
from edge.sdk.install import adopt_folder, find_sdks, install_sdk

LIBRARY = b"\x7fELF stand-in v2.49.40 stand-in"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def entry(cache):
    """An SDK of one wheel that lies where pip would have left it."""
    folder = cache / "packages" / "pypi-vendor-compiler-1.0"
    folder.mkdir(parents=True)
    path = folder / "vendor_compiler-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("vendor/libcompiler.so", LIBRARY)
        wheel.writestr("vendor/licence.txt", "Be nice.")
        wheel.writestr("vendor/unused.py", "raise SystemExit")
        wheel.writestr("vendor.libs/libc++.so.1", "runtime")
        wheel.writestr("vendor.libs/../../outside.so", "escape")
    return Sdk(
        name="vendor-2.49", group="vendor", title="Vendor 2.49", vendor="Vendor", version="2.49", licence="its own",
        licence_file="licence/licence.txt", required=("lib/libcompiler.so",), marker=("lib/libcompiler.so", b"v2.49."),
        variables={"VENDOR_ROOT": "{root}", "LD_LIBRARY_PATH": "{root}/lib"},
        wheels=(
            Wheel(
                package="vendor-compiler", version="1.0", sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                members={"vendor/lib": "lib", "vendor.libs/": "lib", "vendor/licence.txt": "licence"},
            ),
        ),
    )  # fmt: skip


def test_an_sdk_is_made_of_its_wheel(cache, entry, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/before")
    assert entry.lacking() == "Vendor 2.49: edge sdk install vendor"
    root = install_sdk(entry)
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert found == {"lib/libcompiler.so", "lib/libc++.so.1", "licence/licence.txt"}
    assert not list(cache.rglob("outside.so"))
    assert entry.lacking() == ""
    assert entry.environment() == {"VENDOR_ROOT": str(root), "LD_LIBRARY_PATH": f"{root}/lib{os.pathsep}/before"}
    assert install_sdk(entry) == root


def test_a_missing_library_is_named_and_mended(entry):
    root = install_sdk(entry)
    before = entry.identity()
    (root / "lib/libcompiler.so").unlink()
    with pytest.raises(MissingError, match=r"lib/libcompiler\.so of Vendor 2\.49 in .*: edge sdk install vendor"):
        entry.environment()
    install_sdk(entry)
    assert (root / "lib/libcompiler.so").read_bytes() == LIBRARY
    assert entry.identity() == before


def test_a_changed_wheel_is_deleted_and_installs_nothing(cache, entry):
    wrong = dataclasses.replace(entry, wheels=(dataclasses.replace(entry.wheels[0], sha256="0" * 64),))
    with pytest.raises(StoreError, match=r"vendor-compiler 1\.0 \(pypi\) has sha256 .* run `edge sdk install vendor`"):
        install_sdk(wrong)
    assert not wrong.root.exists()
    assert not list((cache / "packages").iterdir())


def test_a_folder_of_another_version_is_refused(entry, tmp_path):
    other = dataclasses.replace(entry, marker=("lib/libcompiler.so", b"v2.50."), version="2.50")
    with pytest.raises(TargetError, match=r"libcompiler\.so is not of version 2\.50"):
        install_sdk(other)
    assert not other.root.exists()


def test_what_only_the_vendor_hands_out_says_where(entry):
    closed = dataclasses.replace(entry, wheels=(), obtain="from vendor.example, after a registration")
    with pytest.raises(MissingError, match=r"edge sdk install vendor-2\.49 --root DIR \(from vendor\.example"):
        install_sdk(closed)


@pytest.fixture
def qairt(tmp_path):
    """A user's folder with files of the right names; stand-ins for Qualcomm's libraries."""
    folder = tmp_path / "qairt"
    library = folder / "lib" / "x86_64-linux-clang"
    library.mkdir(parents=True)
    for name in SDKS["qnn-2.50"].required:  # ONNX Runtime's provider among them
        (folder / name).write_bytes(LIBRARY)
    return folder


def test_a_users_folder_is_checked_and_linked(qairt):
    assert adopt_folder("qnn", qairt) == SDKS["qnn-2.49"].root
    assert SDKS["qnn-2.49"].environment()["QNN_SDK_ROOT"] == str(qairt)
    before = SDKS["qnn-2.49"].identity()
    (qairt / SDKS["qnn-2.49"].required[0]).write_bytes(LIBRARY + b"more")
    assert SDKS["qnn-2.49"].identity() != before
    with pytest.raises(TargetError, match=r"not of version 2\.50"):
        adopt_folder("qnn-2.50", qairt)
    shutil.rmtree(qairt)
    assert SDKS["qnn-2.49"].lacking().startswith("Qualcomm QNN 2.49")


def test_a_users_folder_that_lacks_a_library(qairt):
    (qairt / "lib/x86_64-linux-clang/libHtpPrepare.so").unlink()
    with pytest.raises(MissingError, match=r"is not Qualcomm QNN 2\.49: .*libHtpPrepare\.so is missing"):
        adopt_folder("qnn-2.49", qairt)
    with pytest.raises(UsageError, match=r"is none of qnn-2\.49, qnn-2\.50"):
        adopt_folder("qnn", qairt)


def test_names():
    assert [entry.name for entry in find_sdks("qnn")] == ["qnn-2.49", "qnn-2.50"]
    with pytest.raises(UnknownName, match=r"did you mean qnn"):
        find_sdks("qn")


def test_the_commands(qairt):
    listed = CliRunner().invoke(sdk_command, ["list", "--json"])
    assert {row["status"] for row in json.loads(listed.stdout)} == {"absent"}
    done = CliRunner().invoke(sdk_command, ["install", "qnn-2.49", "--root", str(qairt), "--json"])
    assert done.exit_code == 0, done.output
    assert "Qualcomm's own licence" in done.stderr
    assert json.loads(done.stdout) == {"qnn-2.49": str(SDKS["qnn-2.49"].root)}
    table = CliRunner().invoke(sdk_command, ["list"]).stdout
    assert "edge sdk install qnn" in table


def test_an_adopted_folder_stays_when_it_is_named_again(qairt):
    root = adopt_folder("qnn-2.49", qairt)
    assert adopt_folder("qnn-2.49", root) == root
    assert install_sdk(SDKS["qnn-2.49"]) == root
    assert root.resolve() == qairt
    assert (qairt / SDKS["qnn-2.49"].required[0]).is_file()


def test_another_kind_of_machine_is_told(entry, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert entry.lacking().startswith("Vendor 2.49, which runs on Linux x86_64")
    with pytest.raises(MissingError, match="runs on Linux x86_64"):
        entry.environment()
