"""Artifacts go into a project verified, once, and nothing else of the project is touched."""

import json

import pytest
from embed_artifacts import make_artifact, make_gradle

from edge.contract import Contract, Postprocess, TensorSpec
from edge.embed import place
from edge.embed.decoders import DECODERS, decoder_of, first_class
from edge.embed.embed import embed
from edge.embed.records import read_record
from edge.errors import InputError, Refused, StoreError, UsageError
from edge.tasks import TASKS


@pytest.fixture
def app(tmp_path):
    return make_gradle(tmp_path / "app")


@pytest.fixture
def ios(tmp_path):
    root = tmp_path / "ios"
    root.mkdir()
    (root / "project.yml").write_text('name: App\noptions:\n  deploymentTarget:\n    iOS: "17.0"\n')
    return root


def files(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def android(app, *artifacts, **options):
    return embed([artifact.root for artifact in artifacts], system="android", into=app, **options)


MODELS = "app/src/main/assets/models"
BINDING = "app/src/main/java/com/example/app/models/SelfieSegmentation.kt"


def test_an_artifact_is_copied_bound_and_recorded(tmp_path, app):
    artifact = make_artifact(tmp_path / "a")
    before = files(app)
    answer = android(app, artifact)
    after = files(app)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {
        "app/embed.json",
        BINDING,
        *(f"{MODELS}/selfie-segmentation/{name}" for name in ("manifest.json", "model.tflite", "delegation.json")),
    }
    assert {name: after[f"{MODELS}/selfie-segmentation/{name}"] for name in files(artifact.root)} == files(
        artifact.root
    )
    (change,) = answer.models
    assert (change.state, change.folder, change.binding) == ("added", f"{MODELS}/selfie-segmentation", BINDING)
    assert change.model.sha256 in after[BINDING].decode()
    assert read_record(app / "app").models == (change.model,)


def test_a_second_run_changes_nothing(tmp_path, app):
    artifacts = [make_artifact(tmp_path / "a"), make_artifact(tmp_path / "b", "blazepose-full")]
    android(app, *artifacts)
    before = {path: path.stat().st_mtime_ns for path in app.rglob("*") if path.is_file()}
    assert [change.state for change in android(app, *artifacts).models] == ["unchanged", "unchanged"]
    assert {path: path.stat().st_mtime_ns for path in app.rglob("*") if path.is_file()} == before


def test_the_same_bytes_wherever_the_folders_are(tmp_path, app):
    other = make_gradle(tmp_path / "far" / "app")
    android(app, make_artifact(tmp_path / "x" / "litert-cpu@fp32"))
    android(other, make_artifact(tmp_path / "y" / "litert-cpu@fp32"))
    assert files(app) == files(other)
    assert str(tmp_path) not in "".join(data.decode(errors="replace") for data in files(app).values())


def test_another_artifact_of_a_model_replaces_the_first(tmp_path, app):
    android(app, make_artifact(tmp_path / "a"))
    new = make_artifact(tmp_path / "b", target="onnx-cpu", needs="ONNX Runtime 1.18", suffix=".onnx")
    (change,) = android(app, new).models
    assert change.state == "replaced"
    assert not (app / MODELS / "selfie-segmentation/model.tflite").exists()
    assert (app / MODELS / "selfie-segmentation/model.onnx").exists()
    assert not list(app.rglob(".staging-*"))


def test_two_artifacts_of_a_model_are_told_apart(tmp_path, app):
    first = make_artifact(tmp_path / "a")
    second = make_artifact(tmp_path / "b", target="onnx-cpu", needs="ONNX Runtime 1.18", suffix=".onnx")
    answer = android(app, first, second)
    assert [change.model.name for change in answer.models] == [
        "selfie-segmentation-litert-cpu-fp32",
        "selfie-segmentation-onnx-cpu-fp32",
    ]
    assert len({change.model.type for change in answer.models}) == 2
    with pytest.raises(UsageError, match="second artifact"):
        android(app, first, first)


def test_another_package_moves_the_binding(tmp_path, app):
    artifact = make_artifact(tmp_path / "a")
    android(app, artifact)
    android(app, artifact, package="org.other")
    assert not (app / BINDING).exists()
    assert "package org.other\n" in (app / "app/src/main/java/org/other/SelfieSegmentation.kt").read_text()


@pytest.mark.parametrize("name", [f"{MODELS}/selfie-segmentation/mine.txt", BINDING])
def test_what_it_has_not_made_stays(tmp_path, app, name):
    path = app / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    before = files(app)
    with pytest.raises(InputError, match="in the way"):
        android(app, make_artifact(tmp_path / "a"))
    assert path.read_text() == "mine"
    assert {key: data for key, data in files(app).items() if key in before} == before


@pytest.mark.parametrize("name", [f"{MODELS}/selfie-segmentation/model.tflite", BINDING])
def test_what_was_changed_by_hand_stays(tmp_path, app, name):
    android(app, make_artifact(tmp_path / "a"))
    (app / name).write_text("changed")
    with pytest.raises(InputError, match="changed"):
        android(app, make_artifact(tmp_path / "b", precision="int8"))
    assert (app / name).read_text() == "changed"


def test_a_run_that_was_killed_before_its_record_is_taken_up(tmp_path, app):
    artifact = make_artifact(tmp_path / "a")
    android(app, artifact)
    whole = files(app)
    (app / "app/embed.json").unlink()
    android(app, artifact)
    assert files(app) == whole


def test_a_broken_record_is_said(tmp_path, app):
    for text in ("{", '{"schema": 2}', '{"models": [1]}'):
        (app / "app/embed.json").write_text(text)
        with pytest.raises(InputError, match=r"embed\.json"):
            android(app, make_artifact(tmp_path / str(len(text))))


def test_one_bad_artifact_leaves_the_project_as_it_was(tmp_path, app):
    good, bad = make_artifact(tmp_path / "a"), make_artifact(tmp_path / "b", "blazepose-full")
    (bad.root / "model.tflite").write_bytes(b"other")
    before = files(app)
    with pytest.raises(InputError, match="was changed after it was made"):
        android(app, good, bad)
    assert files(app) == before


def test_a_missing_file_and_a_folder_that_is_no_artifact(tmp_path, app):
    artifact = make_artifact(tmp_path / "a")
    (artifact.root / "model.tflite").unlink()
    with pytest.raises(InputError, match="is missing"):
        android(app, artifact)
    with pytest.raises(InputError, match="not an artifact"):
        embed([tmp_path], system="android", into=app)


def test_a_file_that_changes_while_it_is_copied(tmp_path, app, monkeypatch):
    artifact = make_artifact(tmp_path / "a")
    copy = place.shutil.copyfile

    def torn(source, target):
        copy(source, target)
        target.write_bytes(target.read_bytes()[:-1])

    monkeypatch.setattr(place.shutil, "copyfile", torn)
    with pytest.raises(InputError, match="changed while it was copied"):
        android(app, artifact)
    assert not list((app / MODELS).iterdir())


def test_a_newer_manifest_is_told_as_such(tmp_path, app):
    artifact = make_artifact(tmp_path / "a")
    path = artifact.root / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 2, "new": 1}))
    with pytest.raises(InputError, match="schema 2, this edge reads 1; update edge"):
        android(app, artifact)


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\\b", "manifest.json", "a//b", "./a", "c:x", "a\nb"])
def test_names_that_leave_the_folder_are_refused(tmp_path, app, name):
    artifact = make_artifact(tmp_path / "a")
    path = artifact.root / "manifest.json"
    text = json.loads(path.read_text())
    text["files"][0]["name"] = name
    path.write_text(json.dumps(text))
    before = files(app)
    with pytest.raises(UsageError):
        android(app, artifact)
    assert files(app) == before


@pytest.mark.parametrize("name", [".hidden", "_folder/x", "x~"])
def test_names_that_the_packer_leaves_out_are_refused(tmp_path, app, name):
    artifact = make_artifact(tmp_path / "a")
    path = artifact.root / "manifest.json"
    text = json.loads(path.read_text())
    text["files"][0]["name"] = name
    path.write_text(json.dumps(text))
    with pytest.raises(InputError, match="leaves"):
        android(app, artifact)


@pytest.mark.parametrize(
    ("system", "target", "reason"),
    [
        ("android", "coreml", "Apple"),
        ("android", "coreai", "Apple"),
        ("android", "executorch-coreml", "Apple"),
        ("android", "litert-ethos-u:u65-512", "boards"),
        ("ios", "executorch-qnn:SM8650", "chips of Android phones"),
        ("ios", "executorch-vulkan", "no Vulkan"),
        ("ios", "onnx-qnn:SM8650", "chips of Android phones"),
    ],
)
def test_a_target_without_a_runtime_on_the_system_is_refused(tmp_path, app, ios, system, target, reason):
    artifact = make_artifact(tmp_path / "a", target=target, needs="x")
    with pytest.raises(Refused, match=reason):
        embed([artifact.root], system=system, into=app if system == "android" else ios)


def test_ios(tmp_path, ios):
    artifact = make_artifact(tmp_path / "a", target="coreml", needs="iOS 16 / macOS 13", suffix=".mlpackage")
    answer = embed([artifact.root], system="ios", into=ios)
    (change,) = answer.models
    assert (change.folder, change.binding) == (
        "App/Models/selfie-segmentation",
        "App/Generated/SelfieSegmentation.swift",
    )
    assert change.lines.dependency == ""
    assert change.lines.packaging == "- {path: App/Models, type: folder, buildPhase: resources}"
    assert answer.passed
    with pytest.raises(UsageError, match="Kotlin"):
        embed([artifact.root], system="ios", into=ios, package="a.b")


@pytest.mark.parametrize(
    ("target", "needs", "suffix", "line"),
    [
        ("executorch-xnnpack", "executorch 1.5", ".pte", 'implementation("org.pytorch:executorch-android:1.5.1")'),
        (
            "onnx-cpu",
            "ONNX Runtime 1.31",
            ".onnx",
            'implementation("com.microsoft.onnxruntime:onnxruntime-android:1.31")',
        ),
        ("litert-cpu", "LiteRT 2.3", ".tflite", 'implementation("com.google.ai.edge.litert:litert:2.3.0")'),
    ],
)
def test_the_lines_are_of_the_artifacts_runtime(tmp_path, app, target, needs, suffix, line):
    (change,) = android(app, make_artifact(tmp_path / "a", target=target, needs=needs, suffix=suffix)).models
    assert change.lines.dependency == line
    assert change.lines.packaging == f'android {{ androidResources {{ noCompress += listOf("{suffix[1:]}") }} }}'
    assert change.lines.call == "val mask = SelfieSegmentation().predict(picture, engine::run)"


def test_a_disk_that_cannot_be_written(tmp_path, app):
    (app / "app/src/main/assets").write_text("a file where a folder has to be")
    with pytest.raises(StoreError, match="another --into"):
        android(app, make_artifact(tmp_path / "a"))


def test_two_runs_at_once_are_refused(tmp_path, app):
    artifact = make_artifact(tmp_path / "a")
    with place.exclusive(app / MODELS), pytest.raises(UsageError, match="wait"):
        android(app, artifact)


def test_hostile_names_stay_inside_their_literals(tmp_path, app):
    labels = ('"; fatal() //', "${System.exit(1)}", "*/ class", "\u2028", "class", "CLASS", "")
    artifact = make_artifact(
        tmp_path / "a",
        '*/ "$x"\n',
        labels=labels,
        inputs=(TensorSpec(name='a"$b', shape=(1, 2)), TensorSpec(name="a b", shape=(1, 2))),
    )
    (change,) = android(app, artifact).models
    text = (app / change.binding).read_text()
    assert "val aB: FloatArray" in text
    assert "val aB_2: FloatArray" in text
    assert '"\\${System.exit(1)}"' in text
    assert "\n*/" not in text.replace("\n */", "")
    assert text.isascii() or "×" in text


def test_a_setting_too_long_for_a_binding_is_refused(tmp_path, app):
    rule = Postprocess(decoder="x", settings={"anchors": [1.0] * 1001})
    with pytest.raises(InputError, match="1001 numbers"):
        android(app, make_artifact(tmp_path / "a", "mine", postprocess=rule))


def test_every_task_has_a_decoder_or_says_that_there_is_none():
    assert DECODERS.keys() == set(TASKS)
    assert all(found.wants_region == TASKS[name].needs_region for name, found in DECODERS.items() if found)


def test_a_way_of_decoding_that_the_apps_lack_leaves_them_the_outputs():
    spec = (TensorSpec(name="x", shape=(1, 3, 4, 4), layout="NCHW"),)
    kinds = ("mask-wise", "centre-grouping", "mask-centres")
    found = [
        decoder_of(Contract(inputs=spec, task="panoptic", postprocess=Postprocess(decoder=kind))) for kind in kinds
    ]
    assert [decoder.type if decoder else None for decoder in found] == ["PanopticTask", None, None]
    assert decoder_of(Contract(inputs=spec, task="segmentation")) is DECODERS["segmentation"]
    assert decoder_of(Contract(inputs=spec)) is None


def test_the_single_label_of_two_classes_is_class_1():
    spec = (TensorSpec(name="x", shape=(1, 3, 4, 4), layout="NCHW"),)
    rule = Postprocess(decoder="probability")
    assert first_class(Contract(inputs=spec, task="segmentation", labels=("person",), postprocess=rule)) == 1
    assert first_class(Contract(inputs=spec, task="segmentation", labels=("a", "b"), postprocess=rule)) == 0
