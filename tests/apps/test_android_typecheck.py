"""The Android app compiles against API 36 and the runtimes' declarations, and what would not run there does not."""

from __future__ import annotations

import ast
import zipfile
from pathlib import Path

import pytest
from android import MAIN, packages
from android_numbers import LONGS
from android_stubs import Stubs
from kotlin import Kotlin, Missing

pytestmark = pytest.mark.slow

# Each fails to compile for one reason; `right` is beside them, so that the reason is theirs.
SEEDED = {
    "an override that overrides nothing": "class A(c: android.content.Context) : android.view.View(c) "
    "{ override fun onDrawn(canvas: android.graphics.Canvas) = Unit }",
    "a missing argument": "fun f(m: android.graphics.Matrix) { m.setScale(1f) }",
    "an unknown constant": "val a = android.graphics.ImageFormat.YUV_420_889",
    "an unknown property": "fun f(i: android.media.Image) = i.timestamps",
    "an unknown method": "fun f(r: android.media.ImageReader) = r.acquireNewestImage()",
    "an overload that does not exist": "fun f(c: android.graphics.Canvas, p: android.graphics.Paint) "
    '{ c.drawLine(0f, 0f, "1", 1f, p) }',
    "a long taken for an int": "val a: Int = android.os.SystemClock.elapsedRealtime()",
    "an int taken for a long": "fun f(i: android.media.Image): Long = i.width",
    "a result that may be null": "fun f(r: android.content.ContentResolver, u: android.net.Uri) = "
    "r.openInputStream(u).read()",
    "another type of a key": "fun f(c: android.hardware.camera2.CameraCharacteristics): String? = "
    "c.get(android.hardware.camera2.CameraCharacteristics.LENS_FACING)",
    "a string that is not in the resources": "val a = edge.app.R.string.no_such_text",
    "AndroidX, which the app has not": "val a: androidx.core.app.ActivityCompat? = null",
    "a runtime's method, misspelt": "fun f(m: org.pytorch.executorch.Module) = m.foward()",
    "a unit that LiteRT has not": "val a = com.google.ai.edge.litert.Accelerator.TPU",
    "a tensor of doubles": "fun f(e: ai.onnxruntime.OrtEnvironment) = "
    "ai.onnxruntime.OnnxTensor.createTensor(e, java.nio.DoubleBuffer.allocate(1), longArrayOf(1))",
    "a state of the screen left out": "fun f(r: edge.core.app.Remedy): Int = "
    "when (r) { edge.core.app.Remedy.NONE -> 0; edge.core.app.Remedy.TRY_AGAIN -> 1 }",
}
RIGHT = """
class A(c: android.content.Context) : android.view.View(c) {
    override fun onDraw(canvas: android.graphics.Canvas) = canvas.drawLine(0f, 0f, 1f, 1f, android.graphics.Paint())
}
val at: Long = android.os.SystemClock.elapsedRealtime()
fun facing(c: android.hardware.camera2.CameraCharacteristics): Int? =
    c.get(android.hardware.camera2.CameraCharacteristics.LENS_FACING)
val text = edge.app.R.string.app_name
"""


def test_the_app_compiles(kotlin: Kotlin, android_classes: list[Path], r_class: Path, tmp_path: Path) -> None:
    kotlin.compile([MAIN / "kotlin", r_class], tmp_path / "app.jar", android_classes)
    with zipfile.ZipFile(tmp_path / "app.jar") as jar:
        names = set(jar.namelist())
    for screen in ("Camera", "Tokenizer", "Benchmark", "Settings"):
        assert f"edge/app/{screen}Activity.class" in names


def test_seeded_errors_are_rejected(kotlin: Kotlin, android_classes: list[Path], r_class: Path, tmp_path: Path) -> None:
    sources = tmp_path / "seeded"
    sources.mkdir()
    files = {}
    for number, (reason, code) in enumerate(SEEDED.items()):
        files[reason] = sources / f"Seeded{number}.kt"
        files[reason].write_text(f"package seeded{number}\n{code}\n", encoding="utf-8")
    right = sources / "Right.kt"
    right.write_text(f"package right\n{RIGHT}", encoding="utf-8")
    done = kotlin.check([sources, r_class], tmp_path / "seeded.jar", android_classes)
    accepted = [reason for reason, path in files.items() if f"{path.name}:" not in done.stderr]
    assert accepted == [], done.stderr
    assert f"{right.name}:" not in done.stderr, done.stderr
    assert done.returncode != 0


def test_the_table_of_longs_names_what_there_is() -> None:
    try:
        stubs = Stubs.read(packages())
    except Missing as error:
        pytest.skip(f"Android's signatures are not checked: {error}")
    for place in LONGS:
        owner, _, member = place.rpartition(".")
        assert owner in stubs.classes, place
        body = stubs.classes[owner].source.body
        names = {node.name for node in body if isinstance(node, ast.FunctionDef)}
        names |= {ast.unparse(node.target) for node in body if isinstance(node, ast.AnnAssign)}
        assert member in names, place
