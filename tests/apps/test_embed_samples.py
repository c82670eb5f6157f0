"""`edge embed` on a fresh copy of each sample app: recognised, bound, checked, and the same the second time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from embed_artifacts import make_artifact
from kotlin import APPS

from edge.embed.embed import embed

SAMPLES = {
    "android": ("app/src/main/AndroidManifest.xml", "litert-cpu", "TensorFlow Lite 2.14.0", ".tflite"),
    "ios": ("EdgeApp", "coreml", "iOS 16 / macOS 13", ".mlpackage"),
}


@pytest.mark.parametrize("system", sorted(SAMPLES))
def test_a_fresh_copy_of_a_sample_app(system: str, tmp_path: Path) -> None:
    mark, target, needs, suffix = SAMPLES[system]
    if not (APPS / system / mark).exists():
        pytest.skip(f"the {system} sample app is not embedded into: {mark} is not there")
    ignored = shutil.ignore_patterns(
        ".tools", "build", ".build", ".gradle", "models", "Models", "Generated", "embed.json"
    )
    app = tmp_path / system
    shutil.copytree(APPS / system, app, ignore=ignored)
    artifacts = [
        make_artifact(tmp_path / name, name, target, needs=needs, suffix=suffix)
        for name in ("blazepose-full", "selfie-segmentation")
    ]
    folders = [artifact.root for artifact in artifacts]
    answer = embed(folders, system=system, into=app)  # type: ignore[arg-type]
    assert answer.project == "sample app"
    assert [finding for finding in answer.findings if finding.verdict != "ok"] == []
    for change in answer.models:
        assert (app / change.folder / "manifest.json").is_file()
        assert (app / change.binding).is_file()
    again = embed(folders, system=system, into=app)  # type: ignore[arg-type]
    assert {change.state for change in again.models} == {"unchanged"}
