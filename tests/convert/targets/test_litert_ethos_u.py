"""LiteRT files for Ethos-U: Vela's estimates, its refusals, and the int8 graph before it against eager PyTorch."""

import numpy as np
import pytest
import torch
from npu_networks import Small, small_program

from convert.targets import TARGETS, families
from convert.targets._vela import estimates, refusals
from edge.artifact import Artifact, Manifest, list_files
from edge.errors import TargetError
from edge.runtimes import open_session

LOG = """Warning (supported operators) operator: DEQUANTIZE, ofm: 'mask_dequant'
Reason: Unsupported opType

Warning (supported operators) operator: QUANTIZE, ofm: 'image_quantized'
Reason: Operation has tensor with unsupported DataType Float32 (image)
Feature-map dataTypes must be one of {"INT16", "INT8"}
################################################################################
"""


def test_reasons_are_velas_own():
    assert refusals(LOG) == {
        "mask_dequant": "DEQUANTIZE: Unsupported opType",
        "image_quantized": "QUANTIZE: Operation has tensor with unsupported DataType Float32 (image) "
        'Feature-map dataTypes must be one of {"INT16", "INT8"}',
    }


def test_estimates_are_in_bytes_and_milliseconds():
    row = {
        "inference_time": "0.002", "cycles_npu": "1000", "cycles_total": "2000", "sram_memory_used": "336.0",
        "sram_total_bytes": "4000", "dram_memory_used": "0.0", "dram_total_bytes": "0", "core_clock": "1e9",
    }  # fmt: skip
    found = estimates(row)
    assert found["inference_ms"] == 2.0
    assert found["sram_bytes"] == 336 * 1024
    assert found["sram_bytes_per_second"] == 2e6
    assert "dram_bytes" not in found


def test_family_starts_with_the_configuration_that_stands_for_it():
    assert families()["litert-ethos-u"][0].chip == "u65-512"
    assert len(families()["litert-ethos-u"]) == 11


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
class TestCompiled:
    @pytest.fixture(autouse=True)
    def _environment(self, sdk, monkeypatch):
        for name, value in sdk("ethos-u").items():
            monkeypatch.setenv(name, value)

    @pytest.mark.parametrize("config", ["u65-512", "u85-256"])
    def test_whole_network_and_the_graph_before(self, tmp_path, config):
        program = small_program()
        target = TARGETS[f"litert-ethos-u:{config}"]
        compiled = target.compile(program, "int8", tmp_path)
        assert {operator.unit for operator in compiled.operators} == {"npu"}
        assert {entry.op for entry in compiled.rejected} == {"QUANTIZE", "DEQUANTIZE"}
        assert compiled.estimates["npu_cycles"] > 0
        assert compiled.estimates["sram_bytes"] > 0
        manifest = Manifest(
            model="small", task="segmentation", target=target.id, precision="int8", files=list_files(tmp_path),
            inputs=compiled.inputs, outputs=compiled.outputs, steps=compiled.steps, source=program.source,
            needs=compiled.needs,
        )  # fmt: skip
        session = open_session(Artifact(tmp_path, manifest))
        assert session.mode == "reference"
        given = program.calibration[0]["image"]
        with torch.no_grad():
            expected = Small().eval()(torch.from_numpy(given)).numpy()
        got = session.run({"image": np.ascontiguousarray(given.transpose(0, 2, 3, 1))})["mask"].transpose(0, 3, 1, 2)
        assert 20 * np.log10(np.ptp(expected) / np.sqrt(np.mean((got - expected) ** 2))) > 28

    def test_operator_that_no_npu_takes(self, tmp_path):
        compiled = TARGETS["litert-ethos-u:u55-128"].compile(small_program(odd=True), "int8", tmp_path)
        left = {operator.op: operator.reason for operator in compiled.operators if operator.unit == "cpu"}
        assert list(left) == ["aten.atan2"]
        assert "Unsupported opType" in left["aten.atan2"]

    def test_failing_compiler_is_one_line(self, tmp_path, monkeypatch):
        from convert.targets import _litert_precision

        monkeypatch.setattr(_litert_precision, "to_quantized", lambda *_: (b"\x18\0\0\0TFL3" + bytes(64), ()))
        monkeypatch.setattr("convert.targets._litert_origin.read_operators", lambda *_: ())
        with pytest.raises(TargetError, match="Vela") as caught:
            TARGETS["litert-ethos-u:u65-512"].compile(small_program(), "int8", tmp_path)
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.iterdir())
