"""`edge embed` as a user meets it."""

import json
import subprocess
import sys

import pytest
from embed_artifacts import make_artifact, make_gradle, make_library


def edge_embed(*arguments):
    command = [sys.executable, "-m", "edge", "embed", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def app(tmp_path):
    return make_gradle(tmp_path / "app")


def test_text_and_json(tmp_path, app):
    artifact = make_artifact(tmp_path / "a")
    done = edge_embed(artifact.root, "--app", "android", "--into", app)
    assert done.returncode == 0, done.stderr
    for line in (
        'implementation("com.google.ai.edge.litert:litert:2.3.0")',
        'noCompress += listOf("tflite")',
        "SelfieSegmentation().predict(picture, engine::run)",
        "warning  dependency: com.google.ai.edge.litert:litert",
    ):
        assert line in done.stdout
    answer = json.loads(edge_embed(artifact.root, "--app", "android", "--into", app, "--json").stdout)
    assert answer["models"][0]["state"] == "unchanged"
    assert {finding["verdict"] for finding in answer["findings"]} == {"ok", "warning"}


@pytest.mark.parametrize("way", ["budget", "page", "system"])
def test_a_failed_check_ends_with_4(tmp_path, app, way):
    artifact = make_artifact(tmp_path / "a")
    budget = ("--budget", "1KB") if way == "budget" else ()
    if way == "page":
        (app / "app/libx.so").write_bytes(make_library(4096))
    if way == "system":
        path = app / "app/build.gradle.kts"
        path.write_text(path.read_text().replace("minSdk = 26", "minSdk = 19"))
    done = edge_embed(artifact.root, "--app", "android", "--into", app, "--json", *budget)
    assert done.returncode == 4, done.stderr
    failed = [finding for finding in json.loads(done.stdout)["findings"] if finding["verdict"] == "failed"]
    assert len(failed) == 1
    assert failed[0]["mend"]


def test_a_tampered_artifact_ends_with_2(tmp_path, app):
    artifact = make_artifact(tmp_path / "a")
    (artifact.root / "model.tflite").write_bytes(b"x")
    done = edge_embed(artifact.root, "--app", "android", "--into", app)
    assert done.returncode == 2
    assert "was changed after it was made" in done.stderr
    assert not done.stdout


def test_nothing_heavy_is_imported():
    code = "import sys, edge.cli.embed\nprint([n for n in ('torch', 'numpy', 'jinja2', 'rich') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
