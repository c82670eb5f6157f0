"""Bindings that `edge embed` writes compile against the core, say what the manifest says, and stop a typo."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from embed_artifacts import make_artifact, make_gradle
from kotlin import Core

from edge.contract import TensorSpec
from edge.embed.embed import embed
from edge.zoo import MODELS

pytestmark = pytest.mark.slow

ZOO = sorted(name for name, model in MODELS.items() if model.contract.outputs)
IMAGE = TensorSpec(name="picture", shape=(1, 3, 8, 8), layout="NCHW")
HOSTILE = (
    "class", '"$x"', "${System.exit(1)}", "*/ fun", "\\", "\n", "\u2028", "人", "", "potted plant", "POTTED_PLANT",
    "3d", "name", "entries", "values", "it", "toString", "hashCode", "class", "_", "__", "value", "Companion",
)  # fmt: skip
# Uses of a binding that are right; each line of _TYPOS is wrong in one name or type.
_USE = """
import com.example.app.models.BlazeposeFull
import com.example.app.models.SelfieSegmentation
import edge.core.client.Engine
import edge.core.decode.Pose
import edge.core.decode.Segmentation
import edge.core.image.Picture
import edge.core.image.Region

fun use(picture: Picture, region: Region?, engine: Engine) {
    val pose: Pose = BlazeposeFull().predict(picture, region, engine::run)
    val mask: Segmentation = SelfieSegmentation().predict(picture, engine::run)
    val model = SelfieSegmentation()
    val values: FloatArray = model.preprocess(picture).image
    val outputs: SelfieSegmentation.Outputs = model.run(engine::run)
    val scores: FloatArray = outputs.mask
    val person: Int = SelfieSegmentation.Label.PERSON.number
    check(pose.found || mask.width + values.size + scores.size + person > 0 || SelfieSegmentation.FOLDER.isEmpty())
}
"""
_TYPOS = """
import com.example.app.models.BlazeposeFull
import com.example.app.models.SelfieSegmentation
import edge.core.client.Engine
import edge.core.image.Picture

fun typos(picture: Picture, engine: Engine, model: SelfieSegmentation) {
    model.inputs.imagee
    model.run(engine::run).maks
    SelfieSegmentation.Label.PERSN
    SelfieSegmentation.Output.logits
    SelfieSegmentation.FODLER
    BlazeposeFull().predict(picture, engine::run)
    model.decode(BlazeposeFull().run(engine::run))
    model.decode(mapOf("mask" to floatArrayOf()))
    val wrong: Int = model.run(engine::run).mask
}
"""
_MAIN = """
import edge.core.image.Picture
import edge.core.manifest.Contract
import edge.core.manifest.readManifest
import java.io.File

private fun same(folder: String, contract: Contract) {{
    val path = File(System.getProperty("models"), folder.removePrefix("models/") + "/manifest.json")
    val manifest = readManifest(path.readText())
    check(manifest.contract == contract) {{ "$folder\\n${{manifest.contract}}\\n$contract" }}
}}

fun main() {{
{same}
    val labels = com.example.app.models.Classes1000.Label.values()
    check(labels.size == 1000 && labels.last().number == 999)
    val model = com.example.app.models.SelfieSegmentation()
    val picture = Picture(4, 2, ByteArray(24) {{ -1 }})
    val mask = model.predict(picture, {{ inputs ->
        check(inputs.getValue("image").all {{ it == 1f }})
        mapOf("mask" to FloatArray(256 * 256) {{ 0.75f }})
    }})
    val person = com.example.app.models.SelfieSegmentation.Label.PERSON.number
    check(mask.width == 4 && mask.height == 2 && mask.classes.all {{ it.toInt() == person }})
    println("same")
}}
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh project with every model of the zoo, one of hostile names, and two with many classes."""
    folder = tmp_path_factory.mktemp("bindings")
    made = [make_artifact(folder / name, name) for name in ZOO]
    plain = {"task": "tensors", "suffix": ".onnx", "target": "onnx-cpu", "needs": "ONNX Runtime 1.18"}
    tensors = tuple(TensorSpec(name=f"{name}-", shape=(1, 2)) for name in HOSTILE)
    outputs = tuple(TensorSpec(name=name or "none", shape=(1, 2), dtype="int64") for name in dict.fromkeys(HOSTILE))
    made.append(
        make_artifact(
            folder / "hostile", '"class" */ $x\n', inputs=_distinct(tensors), outputs=outputs, labels=HOSTILE, **plain
        )
    )
    for count in (1000, 1500):
        labels = tuple(f"class {i} of a long list of things" for i in range(count))
        made.append(make_artifact(folder / str(count), f"classes-{count}", labels=labels, inputs=(IMAGE,), **plain))
    root = make_gradle(folder / "app")
    answer = embed([artifact.root for artifact in made], system="android", into=root)
    assert answer.passed
    return root / "app"


def _distinct(tensors: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    return tuple({spec.name: spec for spec in tensors}.values())


def test_bindings_compile_and_say_what_the_manifests_say(core: Core, app: Path, tmp_path: Path) -> None:
    sources = app / "src/main/java"
    bindings = sorted(path.stem for path in (sources / "com/example/app/models").iterdir())
    assert len(bindings) == len(ZOO) + 3
    same = "\n".join(
        f"    same(com.example.app.models.{name}.FOLDER, com.example.app.models.{name}.CONTRACT)" for name in bindings
    )
    (tmp_path / "Main.kt").write_text(_MAIN.format(same=same))
    (tmp_path / "Use.kt").write_text(_USE)
    jar = tmp_path / "bindings.jar"
    core.kotlin.compile([sources, tmp_path / "Main.kt", tmp_path / "Use.kt"], jar, [core.main])
    properties = {"models": str(app / "src/main/assets/models")}
    done = core.kotlin.run([jar, core.main], "MainKt", properties=properties)
    assert (done.returncode, done.stdout) == (0, "same\n"), done.stderr


def test_a_typo_does_not_compile(core: Core, app: Path, tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    for name in ("BlazeposeFull", "SelfieSegmentation"):
        shutil.copy(app / f"src/main/java/com/example/app/models/{name}.kt", sources)
    (sources / "Typos.kt").write_text(_TYPOS)
    with pytest.raises(AssertionError) as caught:
        core.kotlin.compile([sources], tmp_path / "typos.jar", [core.main])
    lines = _TYPOS.splitlines()
    wrong = range(lines.index("    model.inputs.imagee") + 1, lines.index("}", 6) + 1)
    stayed = [lines[number - 1] for number in wrong if f"Typos.kt:{number}:" not in str(caught.value)]
    assert len(wrong) == 9
    assert not stayed
    assert "SelfieSegmentation.kt:" not in str(caught.value)
