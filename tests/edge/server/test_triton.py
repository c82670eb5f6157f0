"""The repository that Triton would read, parsed with Triton's own description of it; its models are executed."""

import hashlib
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import text_format as protobuf
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc import model_config_pb2

from edge.artifact import Manifest, Needs, Source, list_files, write_manifest
from edge.contract import TensorSpec
from edge.errors import ContractError, InputError, Refused, UsageError
from edge.server.config import ModelConfig, configure
from edge.server.triton import TritonModel, describe, text_format, write_triton

WEIGHTS = np.arange(24, dtype=np.float32).reshape(8, 3) / 24


def graph(kind):
    """Return a model of one row: image 1×2×4 → scores 1×3; `kind` says what its rows have to do with each other."""
    last = {"mixed": "mixed", "constant": "first"}.get(kind, "scores")
    nodes = [
        helper.make_node("Reshape", ["image", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weights"], [last]),
    ]
    constants = {"flat": np.array([1, -1] if kind == "-1" else [1, 8], np.int64), "weights": WEIGHTS}
    if kind == "constant":  # of one row, beside the rows of the batch
        nodes.append(helper.make_node("Concat", ["first", "row"], ["wide"], axis=1))
        nodes.append(helper.make_node("Slice", ["wide", "begin", "end", "axes"], ["scores"]))
        constants |= {"row": np.ones((1, 2), np.float32), "begin": np.array([0]), "end": np.array([3])}
        constants["axes"] = np.array([1])
    if kind == "mixed":  # over the rows of the batch, which one row alone does not show
        nodes.append(helper.make_node("ReduceMax", ["mixed", "axes"], ["scores"], keepdims=1))
        constants["axes"] = np.array([0], np.int64)
    made = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 2, 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()


@pytest.fixture
def artifact(tmp_path):
    def make(name, kind="rows", target="onnx-cpu", output="scores"):
        root = tmp_path / name
        root.mkdir()
        (root / "model.onnx").write_bytes(graph(kind))
        manifest = Manifest(
            model="tiny",
            task="tensors",
            target=target,
            precision="fp32",
            files=list_files(root),
            inputs=(TensorSpec(name="image", shape=(1, 2, 4)),),
            outputs=(TensorSpec(name=output, shape=(1, 3)),),
            steps=(),
            source=Source(sha256=hashlib.sha256(b"").hexdigest()),
            needs=Needs(min_runtime="onnxruntime 1.17"),
        )
        write_manifest(root, manifest)
        return str(root)

    return make


def served(models):
    return configure([], {"models": models, "insecure": True})


def parse(path):
    return protobuf.Parse(path.read_text(), model_config_pb2.ModelConfig())


@pytest.mark.parametrize("kind", ["rows", "-1"])
def test_rows_that_are_computed_alike_are_batched(artifact, tmp_path, kind):
    model = {"source": artifact("a", kind), "name": "tiny", "max_batch": 4, "cpus": 1.5, "batch_wait_ms": 2.5}
    assert write_triton(served([model]), tmp_path / "repository") == (TritonModel("tiny", ("1",), 4),)
    config = parse(tmp_path / "repository" / "tiny" / "config.pbtxt")
    assert (config.name, config.platform, config.max_batch_size) == ("tiny", "onnxruntime_onnx", 4)
    [image], [scores] = config.input, config.output
    assert (image.name, image.data_type, list(image.dims)) == ("image", model_config_pb2.TYPE_FP32, [2, 4])
    assert (scores.name, list(scores.dims)) == ("scores", [3])
    assert list(config.dynamic_batching.preferred_batch_size) == [4]
    assert config.dynamic_batching.max_queue_delay_microseconds == 2500
    policy = config.dynamic_batching.default_queue_policy
    assert (policy.timeout_action, policy.max_queue_size) == (policy.REJECT, 64)
    assert (policy.default_timeout_microseconds, policy.allow_timeout_override) == (30_000_000, True)
    [instances] = config.instance_group
    assert (instances.kind, instances.count) == (instances.KIND_CPU, 1)
    assert config.parameters["intra_op_thread_count"].string_value == "2"

    session = onnxruntime.InferenceSession(tmp_path / "repository" / "tiny" / "1" / "model.onnx")
    rows = np.random.default_rng(1).random((4, 2, 4)).astype(np.float32)
    [found] = session.run(None, {"image": rows})
    np.testing.assert_allclose(found, rows.reshape(4, 8) @ WEIGHTS, rtol=1e-5)


@pytest.mark.parametrize("kind", ["mixed", "constant"])
def test_rows_that_are_not_stay_single(artifact, tmp_path, kind):
    source = artifact("a", kind)
    [found] = write_triton(served([{"source": source, "name": "tiny"}]), tmp_path / "repository")
    assert found.max_batch == 0
    config = parse(tmp_path / "repository" / "tiny" / "config.pbtxt")
    assert config.max_batch_size == 0
    assert list(config.input[0].dims) == [1, 2, 4]
    assert not config.dynamic_batching.preferred_batch_size
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 64
    copied = tmp_path / "repository" / "tiny" / "1" / "model.onnx"
    assert copied.read_bytes() == graph(kind)


def test_versions_lie_side_by_side(artifact, tmp_path):
    models = [{"source": artifact(name), "name": "tiny", "version": name} for name in ("2", "10")]
    write_triton(served(models), tmp_path / "repository")
    root = tmp_path / "repository" / "tiny"
    assert sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()) == [
        "10/model.onnx",
        "2/model.onnx",
        "config.pbtxt",
    ]
    assert parse(root / "config.pbtxt").version_policy.HasField("all")


def test_a_version_that_cannot_batch_keeps_the_others_from_it(artifact, tmp_path):
    models = [
        {"source": artifact(kind, kind), "name": "tiny", "version": v} for v, kind in (("1", "rows"), ("2", "constant"))
    ]
    [found] = write_triton(served(models), tmp_path / "repository")
    assert found.max_batch == 0
    assert (tmp_path / "repository" / "tiny" / "1" / "model.onnx").read_bytes() == graph("rows")


def test_what_triton_has_no_backend_for_is_refused_with_what_it_has(artifact, tmp_path):
    refused = [
        ({"source": "blazepose-full"}, "edge deploy blazepose-full --target onnx-cpu"),
        ({"source": "own.pt2"}, "edge deploy own.pt2 --target onnx-cpu"),
        (
            {"source": artifact("x", target="executorch-xnnpack")},
            "an artifact of executorch-xnnpack: `edge deploy tiny",
        ),
        ({"source": artifact("t", target="onnx-ternary")}, "an artifact of onnx-ternary"),
        ({"source": artifact("c"), "checkpoint": "w.pth"}, "leave the checkpoint out"),
    ]
    for model, said in refused:
        with pytest.raises(Refused, match=said):
            write_triton(served([model]), tmp_path / "repository")
    with pytest.raises(UsageError, match="passes over version '01'"):
        write_triton(served([{"source": artifact("v"), "version": "01"}]), tmp_path / "repository")
    other = [
        {"source": artifact(o, output=o), "name": "tiny", "version": v} for v, o in (("1", "scores"), ("2", "other"))
    ]
    with pytest.raises(ContractError, match="versions 2 and 1 have other tensors"):
        write_triton(served(other), tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def test_a_folder_that_exists_and_a_changed_file_are_refused(artifact, tmp_path):
    source = artifact("a")
    (tmp_path / "repository").mkdir()
    with pytest.raises(UsageError, match="choose a new folder"):
        write_triton(served([{"source": source}]), tmp_path / "repository")
    with open(f"{source}/model.onnx", "ab") as stream:
        stream.write(b"x")
    with pytest.raises(InputError, match="model.onnx"):
        write_triton(served([{"source": source}]), tmp_path / "other")


@pytest.mark.parametrize(("gpus", "most", "count"), [(1.0, 4, 1), (0.25, 8, 4), (0.25, 2, 2), (2.0, 1, 1)])
def test_a_share_of_a_gpu_is_a_number_of_instances(gpus, most, count):
    fields = describe(ModelConfig(source="m", gpus=gpus, max_replicas=most), (), (), batched=True)
    [group] = protobuf.Parse(text_format(fields), model_config_pb2.ModelConfig()).instance_group
    assert (group.kind, group.count) == (group.KIND_GPU, count)


specs = st.builds(
    lambda name, shape, dtype: TensorSpec(name=name, shape=tuple(shape), dtype=dtype),
    st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable() or "\n" in text),
    st.lists(st.integers(1, 999), min_size=1, max_size=5),
    st.sampled_from(["float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]),
)


@settings(max_examples=50)
@given(spec=specs, batched=st.booleans())
def test_any_tensor_is_described(spec, batched):
    fields = describe(ModelConfig(source="m"), (spec,), (), batched=batched)
    [tensor] = protobuf.Parse(text_format(fields), model_config_pb2.ModelConfig()).input
    dims = list(spec.shape[1:] if batched else spec.shape)
    assert tensor.name == spec.name
    assert list(tensor.dims) == (dims or [1])
    assert tensor.HasField("reshape") == (not dims)
    bits = {"float32": "FP32", "float16": "FP16"}.get(spec.dtype, spec.dtype.upper())
    assert model_config_pb2.DataType.Name(tensor.data_type) == f"TYPE_{bits}"


NETWORK = """
from torch import nn

def build():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Hardswish(),
        nn.Upsample((40, 40), mode="bilinear"), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )
"""


@pytest.mark.slow
def test_a_deployed_network_is_batched(tmp_path):
    (tmp_path / "network.py").write_text(NETWORK)
    command = "-m edge deploy network.py:build --input image=1x3x32x32 --target onnx-cpu --launches 0"
    done = subprocess.run(
        [sys.executable, *command.split(), "--out", "out"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    models = [{"source": str(tmp_path / "out" / "onnx-cpu@fp32"), "name": "network", "max_batch": 8}]
    [found] = write_triton(served(models), tmp_path / "repository")
    assert found.max_batch == 8
    path = tmp_path / "repository" / "network" / "1" / "model.onnx"
    onnx.checker.check_model(str(path), full_check=True)
    assert onnxruntime.InferenceSession(path).run(None, {"image": np.zeros((8, 3, 32, 32), np.float32)})[0].shape == (
        8,
        5,
    )
