"""Profilers' outputs, recorded from real runs and damaged: ETDump events, ONNX Runtime, LiteRT, Vela, Core ML."""

from __future__ import annotations

import contextlib
import ctypes
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.artifact import Artifact
from edge.delegation import Operator
from edge.errors import InputError, Refused, TargetError
from edge.profile.operators import Site
from edge.profile.operators._etdump import Event as DumpEvent
from edge.profile.operators._etdump import table as dump_table
from edge.profile.operators._graph import Node, align, dtype_of, kind_of
from edge.profile.operators._litert_c import _FILL, _Raw, check
from edge.profile.operators._litert_c import Event as LiteEvent
from edge.profile.operators._onnx_costs import costs
from edge.profile.operators._sources import paired, source_names
from edge.profile.operators._vela_layers import layers
from edge.profile.operators._xnnpack_graph import Call
from edge.profile.operators.coreml import profile_coreml
from edge.profile.operators.coreml import table as coreml_table
from edge.profile.operators.litert import split
from edge.profile.operators.litert import table as lite_table
from edge.profile.operators.onnx import parse
from edge.profile.operators.onnx import table as onnx_table

CONV = Node(kind="Conv2d", multiplies="convolution", macs=100, elements=10, bytes=40, dtype="float32")
ADD = Node(kind="Add", elements=10, bytes=120, dtype="float32")
DELEGATED = tuple(
    Operator(name=name, op=op, unit="cpu", backend="b", macs=macs)
    for name, op, macs in (("conv2d", "aten.conv2d", 100), ("add", "aten.add.Tensor", 0))
)

# As ONNX Runtime 1.31.1 writes them, with fewer of the arguments.
PROFILE: list[dict[str, Any]] = [
    {"cat": "Session", "pid": 1, "tid": 1, "dur": 388322, "ts": 14, "ph": "X", "name": "model_loading_uri", "args": {}},
    *(
        event
        for start in (1000, 3000)
        for event in (
            {"cat": "Node", "pid": 1, "tid": 1, "dur": 806, "ts": start + 10, "ph": "X", "name":
             "relu6_nchwc_kernel_time", "args": {"provider": "CPUExecutionProvider", "op_name": "Conv",
             "node_index": "190", "output_type_shape": [{"float": [1, 24, 112, 112]}], "input_type_shape":
             [{"float": [1, 3, 224, 224]}, {"float": [24, 3, 3, 3]}, {"float": [24]}]}},
            {"cat": "Node", "pid": 1, "tid": 1, "dur": 12, "ts": start + 900, "ph": "X", "name": "x_kernel_time",
             "args": {"provider": "QNNExecutionProvider", "op_name": "Add",
             "input_type_shape": [{"float": [1, 4]}, {"float": [1, 4]}], "output_type_shape": [{"float": [1, 4]}]}},
            {"cat": "Session", "pid": 1, "tid": 1, "dur": 1000, "ts": start, "ph": "X", "name": "model_run",
             "args": {}},
        )
    ),
]  # fmt: skip

# The head and two lines of Vela 5.2.0's file for the selfie segmenter on an Ethos-U65.
VELA = """Original Operator,NNG Operator,Target,Staging Usage,Peak% (Staging),Op Cycles,Network% (cycles),NPU,SRAM AC,\
DRAM AC,OnFlash AC,OffFlash AC,MAC Count,Network% (MAC),Util% (MAC),Name
Quantize,Passthrough,CPU,0,0.0,0,0.0,0,0,0,0,0,0,0.0,100,serving_default_image_quantized
Conv2D,Conv2D,NPU,832,0.24,336952,15.83,135993,5418,336952,0,0,7077888,11.43,4.10,edge/hardswish;
HardSwish,LUT,NPU,0,0.0,0,0.0,0,0,0,0,0,0,0.0,100,edge/hardswish;
"""


def test_onnx_nodes_have_units_costs_and_sources() -> None:
    delegated = (Operator(name="conv2d", op="aten.conv2d", unit="cpu", backend="b", macs=8128512),
                 Operator(name="relu6", op="aten.relu6", unit="cpu", backend="b"))  # fmt: skip
    found = onnx_table(json.dumps(PROFILE).encode(), None, delegated)
    conv, add = found.rows
    assert found.whole_us == (1000.0, 1000.0)
    assert (conv.us, conv.flops, conv.source, conv.unit) == ((806.0, 806.0), 2 * 8128512, "conv2d", "cpu")
    assert conv.bytes == 4 * (3 * 224 * 224 + 24 * 27 + 24 + 24 * 112 * 112)
    assert (add.unit, add.flops, add.bytes) == ("npu", 4, 48)


def test_onnx_runs_with_other_nodes_are_refused() -> None:
    with pytest.raises(InputError, match="control flow"):
        parse(json.dumps([event for event in PROFILE if event["ts"] != 3900]).encode())


def test_onnx_weights_that_the_profile_leaves_out_follow_from_the_program() -> None:
    shapes = [{"uint8": [1, 8, 8, 3]}, {"float": []}, {"uint8": []}, {"float": [4]}, {"int8": [4]}, {"float": []},
              {"uint8": []}, {"int32": [4]}]  # fmt: skip
    cost = costs("QLinearConv", {"input_type_shape": shapes, "output_type_shape": [{"uint8": [1, 8, 8, 4]}]})
    assert (cost.macs, cost.dtype) == (None, "int8")
    told = cost.told(64 * 4 * 27)
    assert told.flops == 2 * 64 * 4 * 27
    assert told.bytes is not None
    assert cost.bytes is not None
    assert told.bytes - cost.bytes == 4 * 27


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(
    _JSON | st.lists(st.fixed_dictionaries({"cat": st.just("Node"), "name": st.just("a_kernel_time"), "args": _JSON}))
)
def test_onnx_noise_is_refused_in_words(content: Any) -> None:
    with contextlib.suppress(InputError):
        onnx_table(json.dumps(content).encode())


@given(st.sampled_from(["Conv", "Gemm", "QLinearConv", "ConvTranspose", "Add", "Transpose", "Odd"]), _JSON, _JSON)
def test_costs_of_odd_shapes(kind: str, given_: Any, made: Any) -> None:
    found = costs(kind, {"input_type_shape": given_, "output_type_shape": made})
    assert found.flops is None or found.flops >= 0


def _lite(tag: str, kind: int, elapsed: int, index: int = 0, start: int = 0) -> LiteEvent:
    return LiteEvent(tag, kind, start, elapsed, index)


def test_litert_events_of_a_delegate_and_of_its_own_kernels() -> None:
    run = [
        _lite("LiteRT::Run[buffer registration]", 1, 5, start=90), _lite("Invoke", 1, 100, start=100),
        _lite("CONV_2D", 2, 60, 0, start=101), _lite("Add (ND)", 8, 30, 0), _lite("Invoke", 32, 1 << 32, -1),
        _lite("LiteRT::Run[Buffer sync]", 1, 5, start=210),
    ]  # fmt: skip
    found = lite_table(split(run * 2), (CONV, ADD))
    conv, add = found.rows
    assert (found.whole_us, conv.us, add.us) == ((100.0, 100.0), (60.0, 60.0), (30.0, 30.0))
    assert (conv.backend, conv.flops, add.backend, add.flops) == ("LiteRT", 200, "XNNPACK", 10)


def test_litert_operators_inside_a_timed_delegate_leave_a_remainder() -> None:
    run = [_lite("Invoke", 1, 100, start=1), _lite("TfLiteDelegate", 2, 90, 7), _lite("a", 4, 30), _lite("b", 4, 40)]
    found = lite_table(split(run), ())
    assert [(row.name, row.us[0]) for row in found.rows] == [("unattributed", 20.0), ("a #0", 30.0), ("b #0", 40.0)]


def test_litert_runs_that_differ_are_refused() -> None:
    with pytest.raises(TargetError, match="other operators"):
        lite_table([[_lite("Invoke", 1, 9), _lite("a", 2, 1)], [_lite("Invoke", 1, 9), _lite("b", 2, 1)]], ())
    with pytest.raises(TargetError, match="no 'Invoke'"):
        split([_lite("a", 2, 1)])


def _buffer(count: int, **fields: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    data = np.full(count * ctypes.sizeof(_Raw) + 512, _FILL, np.uint8)
    raw = (_Raw * count).from_buffer(data.data)
    tag = ctypes.create_string_buffer(b"tag")
    _KEPT.append(tag)
    for item in raw:
        item.tag, item.kind, item.start_us, item.elapsed_us = ctypes.addressof(tag), 2, 5, 7
        item.memory[:] = [0] * 6
        item.first = item.second = item.source = 0
        for name, value in fields.items():
            setattr(item, name, value)
    return data


_KEPT: list[Any] = []


def test_the_layout_of_litert_events_is_checked() -> None:
    check(_buffer(3), 3, 10)


@pytest.mark.parametrize(
    "fields", [{"kind": 3}, {"source": 9}, {"start_us": 11}, {"elapsed_us": 1 << 60}, {"tag": 8}, {"kind": 0}]
)
def test_litert_events_of_another_layout_are_refused(fields: dict[str, int]) -> None:
    if sys.platform != "linux" and "tag" in fields:
        pytest.skip("only Linux tells a process's memory in /proc")
    with pytest.raises(Refused, match="layout"):
        check(_buffer(3, **fields), 3, 10)


@pytest.mark.parametrize("count", [2, 4])
def test_litert_events_of_another_size_are_refused(count: int) -> None:
    with pytest.raises(Refused, match="size"):
        check(_buffer(3), count, 10)


def _dump(name: str, *us: float, delegated: bool = False, start: int | None = None) -> DumpEvent:
    return DumpEvent(name=name, delegated=delegated, us=us, start=start)


CALLS = (Call("XnnpackBackend", True, (CONV, ADD)), Call("aten::mul.out", False), Call("QnnBackend", True))


def test_an_etdump_is_listed_without_counting_twice() -> None:
    events = (
        _dump("Convolution (NHWC, F32) IGEMM #1", 50, 51, delegated=True, start=11),
        _dump("Add (ND) #1", 20, 21, delegated=True, start=12),
        _dump("DELEGATE_CALL", 80, 82, start=10),
        _dump("native_call_mul.out", 9, 9), _dump("OPERATOR_CALL", 10, 10),
        _dump("DELEGATE_CALL", 30, 30), _dump("Method::execute", 121, 123),
    )  # fmt: skip
    found = dump_table(events, None, CALLS, DELEGATED)
    assert [row.us[0] for row in found.rows] == [50, 20, 10, 10, 30]
    assert [row.unit for row in found.rows] == ["cpu", "cpu", "cpu", "cpu", "npu"]
    assert [row.source for row in found.rows[:2]] == ["conv2d", "add"]
    assert found.rows[3].type == "mul.out"
    assert sum(row.us[0] for row in found.rows) == 120
    assert dump_table(events, [1], CALLS, DELEGATED).whole_us == (123,)


def test_operators_that_began_before_their_delegate_are_not_its() -> None:
    events = (_dump("Add (ND) #1", 20, delegated=True, start=5), _dump("DELEGATE_CALL", 80, start=10),
              _dump("Method::execute", 90))  # fmt: skip
    found = dump_table(events, None, CALLS, ())
    assert [row.type for row in found.rows] == ["DELEGATE_CALL"]
    assert found.remarks


_NAMES = st.sampled_from(["DELEGATE_CALL", "OPERATOR_CALL", "native_call_a", "Method::execute", "Add (ND) #1", "?"])
_DUMPS = st.builds(
    DumpEvent, name=_NAMES, delegated=st.booleans(), us=st.lists(st.floats(0, 1e6), max_size=3).map(tuple),
    start=st.none() | st.integers(0, 99),
)  # fmt: skip


@given(st.lists(_DUMPS, max_size=8))
def test_any_etdump_is_a_table_or_an_error(events: list[DumpEvent]) -> None:
    try:
        found = dump_table(events, None, CALLS, DELEGATED)
    except TargetError:
        return
    assert all(len(row.us) == len(found.whole_us) for row in found.rows)


def test_vela_layers_are_cycles_at_a_clock() -> None:
    left, conv, lut = layers(VELA, 1e9)
    assert (left.us, left.unit, left.backend) == ((0.0,), "cpu", "")
    assert (conv.us, conv.flops, conv.unit, conv.source) == ((336.952,), 2 * 7077888, "npu", "")
    assert lut.us == (0.0,)


@given(st.text(max_size=60) | st.text(alphabet="0,.-eNPUna\n", max_size=60).map(lambda text: VELA + text))
def test_damaged_vela_files_are_refused_in_words(text: str) -> None:
    with contextlib.suppress(InputError):
        assert all(row.us[0] >= 0 for row in layers(text, 1e9))


@pytest.mark.parametrize(
    ("event", "kind", "dtype"),
    [
        ("Convolution (NHWC, F32) DWConv #3", "depthwise", "float32"),
        ("Fully Connected (NC, QS8, QC8W) GEMM #1", "fullyconnected", "int8"),
        ("Convolution (NHWC, QC8) IGEMM", "convolution", "int8"),
        ("Mean (ND) Reduce2", "mean", ""),
        ("Transpose (ND, X32) Transpose", "transpose", ""),
        ("Static Reshape (NC)", "reshape", ""),
    ],
)
def test_xnnpacks_names(event: str, kind: str, dtype: str) -> None:
    assert (kind_of(event), dtype_of(event)) == (kind, dtype)


def test_events_are_paired_only_if_kinds_and_numbers_agree() -> None:
    assert align(["Fully Connected (NC, F32) GEMM", "Copy (NC, X32)", "Add (ND)"], (CONV, ADD)) == (CONV, None, ADD)
    assert align(["Deconvolution (NHWC, F32)", "Add (ND)"], (CONV, ADD)) == (None, ADD)
    assert align(["Convolution (NHWC, F32) IGEMM"] * 2, (CONV,)) == (None, None)


@given(st.lists(st.integers(1, 10**6), unique=True, max_size=12), st.randoms())
def test_neighbours_that_were_exchanged_find_each_other(counts: list[int], random: Any) -> None:
    shuffled = list(counts)
    random.shuffle(shuffled)
    pairs = paired(cast("list[int | None]", shuffled), counts)
    if pairs != list(range(len(counts))):  # else: they agree in order, padding aside
        assert [counts[pair] for pair in pairs if pair is not None] == shuffled


def test_names_lead_to_the_exported_program() -> None:
    assert source_names(["node_conv2d", "add_token_3", "other"], [100, 0, 0], DELEGATED) == ("conv2d", "add", "")


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has Core ML's plan")
def test_core_ml_is_refused_off_a_mac(tmp_path: Path) -> None:
    artifact = cast(Artifact, SimpleNamespace(manifest=SimpleNamespace(target="coreml"), root=tmp_path))
    with pytest.raises(Refused, match="on a Mac only"):
        profile_coreml(artifact, cast(Site, None))


def test_core_ml_weights_are_spread_over_the_time() -> None:
    found = coreml_table([("a", "conv", "MLNeuralEngineComputeDevice", 0.75), ("b", "add", "?", 0.25)], [100.0, 120.0])
    assert [(row.unit, row.us) for row in found.rows] == [("npu", (75.0, 90.0)), ("unknown", (25.0, 30.0))]
    assert msgspec.json.encode(found)
    with pytest.raises(TargetError):
        coreml_table([], [1.0])
