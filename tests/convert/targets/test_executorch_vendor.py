"""The executorch-mediatek and executorch-samsung targets, driven to where the vendor's code would start.

The vendors' libraries cannot be had here. Each test writes stand-ins for them that say so and record what they are
given; what lies before them, ours and the executorch wheel's, is the real thing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from torch import Tensor, nn

from convert.build import Build, compile_in_child
from convert.prepare import prepare
from convert.program import Model
from convert.targets import TARGETS
from edge.artifact import Artifact, Manifest, Needs, Source
from edge.contract import Contract, Preprocess, TensorSpec
from edge.errors import MissingError, Refused, TargetError, Unexecutable, UnknownName
from edge.runtimes import open_session
from edge.sdk import SDKS
from edge.sdk.install import adopt_folder

MEDIATEK, SAMSUNG = "executorch-mediatek:mt6991", "executorch-samsung:E9955"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x).relu())


@pytest.fixture
def prepared(tmp_path: Path, photos: tuple[Path, ...]) -> Path:
    """Prepare a tiny model of pictures."""
    spec = TensorSpec(name="image", shape=(1, 3, 16, 16), layout="NCHW")
    contract = Contract(inputs=(spec,), preprocess=Preprocess(size=(16, 16)))
    prepare(Model("tiny", Tiny().eval(), contract, Source(sha256="0" * 64)), photos[:1], tmp_path / "prepared")
    return tmp_path / "prepared"


@pytest.fixture
def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, dict[str, str]], Path]:
    """Return a function that makes a folder of stand-ins and installs it as an SDK; returns the record's path."""

    def make(name: str, files: dict[str, str]) -> Path:
        monkeypatch.setenv("EDGE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("STANDIN_RECORD", str(tmp_path / "record.jsonl"))
        for path, text in files.items():
            (tmp_path / "sdk" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "sdk" / path).write_text(dedent(text))
        adopt_folder(name, tmp_path / "sdk")
        return tmp_path / "record.jsonl"

    return make


RECORD = """
    \"\"\"A stand-in: records its calls and compiles nothing.\"\"\"
    import json, os
    def record(**entry):
        with open(os.environ["STANDIN_RECORD"], "a") as stream:
            stream.write(json.dumps(entry) + "\\n")
"""

NEUROPILOT = {
    "mtk_converter/__init__.py": """
        from mtk_neuron.record import record
        class PyTorchV2Converter:
            @classmethod
            def from_exported_program(cls, program):
                record(operators=[str(node.target) for node in program.graph.nodes if node.op == "call_function"])
                return cls()
            def convert_to_mlir(self):
                record(float_inputs=self.prepend_input_quantize_ops_indices, quantize=self.quantize)
                return "a stand-in's MLIR"
    """,
    "mtk_converter/python/converters/pytorch/importer_v2.py": """
        def is_fx_node_supported(node):
            return True
    """,
    "mtk_neuron/record.py": RECORD,
    "mtk_neuron/__init__.py": """
        from mtk_neuron.record import record
        def compile(mlir, options):
            record(mlir=mlir, options=options)
            raise RuntimeError("a stand-in for mtk_neuron compiles nothing")
    """,
}

LITECORE = {
    "lib/x86_64-linux/libgraphgen_api.so": "",
    "lib/x86_64-linux/libgraph_wrapper.so": "",
    "python/standin_record.py": RECORD,
    "python/PyEnnWrapperAdaptor.py": """
        from executorch.backends.samsung.python.standin_record import record
        class EnnWrapper:
            def Init(self, options):
                record(options=list(bytes(options)))
            def IsNodeSupportedByBackend(self):
                return False
            def Compile(self, graph):
                record(compiled=graph)
                raise RuntimeError("a stand-in for Exynos AI LiteCore compiles nothing")
            def Destroy(self):
                pass
    """,
    "python/PyGraphWrapperAdaptor.py": """
        from executorch.backends.samsung.python.standin_record import record
        class _Any:
            def __init__(self, *args):
                self.args = args
            def __getattr__(self, name):
                return lambda *args: None
        class PyEnnOpWrapper(_Any):
            pass
        class OpParamWrapper(_Any):
            pass
        class PyEnnTensorWrapper(_Any):
            def AddQuantizeParam(self, dtype, scales, zero_points):
                record(tensor=self.args[0], data_type=self.args[2], scales=len(scales))
        class PyEnnGraphWrapper(_Any):
            def __init__(self):
                self.tensors = 0
            def DefineTensor(self, tensor):
                self.tensors += 1
                return self.tensors
            def DefineOpNode(self, op):
                record(op=op.args[1])
            def Serialize(self):
                return "a stand-in's graph"
    """,
}


def compile_here(target: str, precision: str, prepared: Path, folder: Path) -> None:
    compile_in_child(Build(target=target, precision=precision), prepared, folder, folder.with_suffix(".log"))


def recorded(record: Path, key: str) -> list[object]:
    return [entry[key] for line in record.read_text().splitlines() if key in (entry := json.loads(line))]


@pytest.mark.slow
def test_mediatek_gets_the_quantized_graph_and_the_platform(
    prepared: Path, tmp_path: Path, standin: Callable[[str, dict[str, str]], Path]
) -> None:
    record = standin("mediatek-neuropilot-executorch", NEUROPILOT)
    with pytest.raises(TargetError, match="a stand-in for mtk_neuron compiles nothing") as caught:
        compile_here(MEDIATEK, "int8", prepared, tmp_path / "out")
    assert "\n" not in str(caught.value).split("; log")[0]
    [options] = recorded(record, "options")
    assert "--platform-config=mt6991" in str(options)
    assert "--relax-fp32" in str(options)
    [operators] = recorded(record, "operators")
    assert sum("aten.convolution" in name for name in operators) == 2  # type: ignore[attr-defined]
    assert sum("quantize_per_tensor" in name for name in operators) >= 4  # type: ignore[attr-defined]
    assert any("per_channel" in name for name in operators)  # type: ignore[attr-defined]
    assert not (tmp_path / "out" / "model.pte").exists()


@pytest.mark.slow
def test_samsung_gets_the_quantized_graph_and_the_chip(
    prepared: Path, tmp_path: Path, standin: Callable[[str, dict[str, str]], Path]
) -> None:
    record = standin("samsung-litecore-executorch", LITECORE)
    with pytest.raises(TargetError, match="a stand-in for Exynos AI LiteCore compiles nothing"):
        compile_here(SAMSUNG, "int8", prepared, tmp_path / "out")
    chip = (9955).to_bytes(4, "little")
    assert all(chip in bytes(options) for options in recorded(record, "options"))  # type: ignore[arg-type]
    assert recorded(record, "op").count("CONV2D") == 2
    scales = recorded(record, "scales")
    assert 8 in scales, "the first convolution's weights have a scale per channel"
    assert recorded(record, "compiled") == ["a stand-in's graph"]
    assert not (tmp_path / "out" / "model.pte").exists()


@pytest.mark.parametrize("target", [MEDIATEK, SAMSUNG])
def test_without_the_sdk_the_status_names_the_command(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path))
    status = TARGETS[target].status()
    assert status.startswith("needs ")
    assert f"edge sdk install {TARGETS[target].sdks[0]} --root DIR" in status
    with pytest.raises(MissingError, match="edge sdk install"):
        TARGETS[target].check("int8", "tensors")


def test_a_folder_without_the_vendors_files_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mtk_converter").mkdir()
    with pytest.raises(MissingError, match="mtk_neuron is missing"):
        adopt_folder("mediatek-neuropilot-executorch", tmp_path)
    assert not SDKS["mediatek-neuropilot-executorch"].root.exists()


@pytest.mark.parametrize("target", [MEDIATEK, SAMSUNG])
def test_requests_that_the_chips_cannot_meet(target: str) -> None:
    with pytest.raises(Refused, match="int8"):
        TARGETS[target].check("fp32", "tensors")
    with pytest.raises(UnknownName, match="did you mean"):
        TARGETS[target[:-1] + "0"]


@pytest.mark.parametrize("target", [MEDIATEK, SAMSUNG])
def test_nothing_here_executes_the_artifacts(target: str, tmp_path: Path) -> None:
    manifest = Manifest(
        model="tiny", task="tensors", target=target, precision="int8", files=(), inputs=(), outputs=(), steps=(),
        source=Source(sha256=""), needs=Needs(min_runtime=""),
    )  # fmt: skip
    with pytest.raises(Unexecutable, match="parity is unverified"):
        open_session(Artifact(tmp_path, manifest))
