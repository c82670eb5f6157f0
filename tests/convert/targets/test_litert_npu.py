"""LiteRT files for phones' NPUs: Qualcomm's on the emulator, the others up to the vendor's library."""

from pathlib import Path

import pytest
from npu_networks import small_model, small_program

from convert.build import Build, compile_in_child, verify_in_child
from convert.prepare import prepare
from convert.targets import TARGETS
from convert.targets._litert_aot import refusals
from convert.targets._litert_origin import FileOperator
from edge.artifact import read_manifest
from edge.delegation import DELEGATION, DelegationReport
from edge.elf import write_empty_library
from edge.errors import MissingError, UnknownName
from edge.sdk import SDKS
from edge.sdk.install import adopt_folder

LOG = """ERROR: [qnn_compose_graph.cc:1722] 
LiteRT Op #3 'Atan2' (code=156) is not supported in Qualcomm Compiler.
  Inputs:
    [0] name="edge/relu;"  tensor_idx=24
  Outputs:
    [0] name="edge/atan2;"  tensor_idx=26
     0.0ms [  INFO ]   <I> QnnLog_create started.
"""
STAND_INS = {
    "litert-mediatek:MT6991": ("mediatek-neuropilot", "libneuron_adapter.so"),
    "litert-google-tensor:G5": ("google-tensor-sdk", "liblitert_plugin_compiler.so"),
    "litert-samsung:E9965": ("samsung-litecore", "libgraph_wrapper.so"),
}


def test_refusals_are_the_plugins_own():
    operators = [FileOperator(3, "ATAN2", ("edge/atan2;",), ("atan2",))]
    invalid = "QNN op validation failed: 'Pad_1' (type=Pad)\n  Inputs:\n"
    invalid += '    [0] name="0" dtype=QNN_DATATYPE_SFIXED_POINT_16\n'
    more = " QNN refuses type=Pad on QNN_DATATYPE_SFIXED_POINT_16"
    assert refusals(invalid + LOG, operators) == {3: f"Atan2 is not supported in Qualcomm Compiler.{more}"}
    assert refusals(LOG, operators) == {3: "Atan2 is not supported in Qualcomm Compiler."}


def test_unknown_chip_is_not_listed():
    with pytest.raises(UnknownName, match="SM8650"):
        TARGETS["litert-qualcomm:SM8651"]


@pytest.mark.parametrize("target_id", STAND_INS)
def test_absent_sdk_is_the_status(target_id, monkeypatch, tmp_path):
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path))
    name, _ = STAND_INS[target_id]
    assert TARGETS[target_id].status() == f"needs {SDKS[name].title}: {SDKS[name].command}"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("target_id", STAND_INS)
def test_vendors_library_is_reached(target_id, monkeypatch, tmp_path):
    """A folder of empty libraries passes for the SDK; the plugin loads the vendor's and finds no compiler in it."""
    name, library = STAND_INS[target_id]
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path / "cache"))
    for file in SDKS[name].required:
        (tmp_path / "sdk" / file).parent.mkdir(parents=True, exist_ok=True)
        write_empty_library(tmp_path / "sdk" / file)
    adopt_folder(name, tmp_path / "sdk")
    assert TARGETS[target_id].status() == "ready"
    for variable, value in TARGETS[target_id].environment().items():
        monkeypatch.setenv(variable, value)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(MissingError, match=f"cannot use {library} for .*symbol") as caught:
        TARGETS[target_id].compile(small_program(), "int8", folder)
    assert f"edge sdk install {name}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(folder.iterdir())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
class TestQualcomm:
    @pytest.fixture(autouse=True)
    def _installed(self, sdk):
        sdk("qnn-2.50")

    def build(self, tmp_path: Path, photos, precision: str, odd: bool = False):
        prepared, folder, log = tmp_path / "prepared", tmp_path / "out", tmp_path / "log"
        prepare(small_model(odd), photos, prepared)
        compile_in_child(Build(target="litert-qualcomm:SM8650", precision=precision), prepared, folder, log)
        return verify_in_child(folder, prepared, log), read_manifest(folder).manifest, folder

    @pytest.mark.parametrize(("precision", "least_db"), [("int8", 25.0), ("fp16", 40.0)])
    def test_binary_runs_on_the_emulator(self, tmp_path, photos, precision, least_db):
        parity, manifest, _ = self.build(tmp_path, photos, precision)
        assert parity.mode == "emulated"
        assert parity.outputs[0].psnr_db > least_db
        assert set(manifest.delegation.by_unit) == {"npu"}
        assert manifest.steps[-1].options["sdk"].startswith("v2.50.")

    def test_operator_that_the_npu_refuses(self, tmp_path, photos):
        import msgspec

        parity, _, folder = self.build(tmp_path, photos, "fp16", odd=True)
        report = msgspec.json.decode((folder / DELEGATION).read_bytes(), type=DelegationReport)
        left = {entry.op: entry.reason for entry in report.operators if entry.unit == "cpu"}
        assert left == {"aten.atan2": "Atan2 is not supported in Qualcomm Compiler."}
        assert parity.mode == "reference"  # the graph before the plugin
        assert "cannot be executed here" in parity.reason
