"""Projects are recognised by their files, and what their build files say is read."""

import pytest
from embed_artifacts import make_gradle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.embed.gradle import uncommented
from edge.embed.project import find_project
from edge.errors import InputError

CATALOG = """
[versions]
executorch = "1.4.0"
min-sdk = "28"
[libraries]
executorch-android = { module = "org.pytorch:executorch-android", version.ref = "executorch" }
ort = { group = "com.microsoft.onnxruntime", name = "onnxruntime-android", version = "1.30.0" }
litert = "com.google.ai.edge.litert:litert:2.3.0"
unused = "a:b:1"
"""
XCODEGEN = """
name: Walk
options:
  deploymentTarget:
    iOS: "16.4"
packages:
  ExecuTorch:
    url: https://github.com/pytorch/executorch
    branch: swiftpm-1.5.1
  ORT:
    url: https://github.com/microsoft/onnxruntime-swift-package-manager.git
    exactVersion: 1.24.2
targets:
  Walk:
    type: application
    sources:
      - path: App/Sources  # the app
"""
PACKAGE = """
// swift-tools-version: 5.9
let package = Package(name: "Walk", platforms: [.macOS(.v14), .iOS("17.2")],
  dependencies: [
    .package(url: "https://github.com/pytorch/executorch", branch: "swiftpm-1.4.0"),
    // .package(url: "https://example.com/none", exact: "1.0.0"),
  ],
  targets: [.target(name: "Kit"), .executableTarget(name: "Walk", dependencies: ["Kit"])])
"""
PBXPROJ = """
    IPHONEOS_DEPLOYMENT_TARGET = 18.0;
    IPHONEOS_DEPLOYMENT_TARGET = 15.6;
    repositoryURL = "https://github.com/pytorch/executorch";
    requirement = {
        branch = "swiftpm-1.5.1";
        kind = branch;
    };
"""


def test_a_fresh_gradle_project(tmp_path):
    project = find_project(make_gradle(tmp_path), "android")
    assert project.kind == "Gradle"
    assert project.models == tmp_path / "app/src/main/assets/models"
    assert project.bindings == tmp_path / "app/src/main/java"
    assert (project.package, project.minimum) == ("com.example.app.models", "26")


def test_a_module_of_its_own_and_another_name(tmp_path):
    make_gradle(tmp_path, module="phone")
    assert find_project(tmp_path, "android").models == tmp_path / "phone/src/main/assets/models"
    assert find_project(tmp_path / "phone", "android").models == tmp_path / "phone/src/main/assets/models"


def test_an_app_goes_before_its_libraries(tmp_path):
    make_gradle(tmp_path, module="phone")
    (tmp_path / "kit/src/main").mkdir(parents=True)
    (tmp_path / "kit/build.gradle.kts").write_text('plugins { id("com.android.library") }\n')
    (tmp_path / "other").mkdir()
    (tmp_path / "other/build.gradle.kts").write_text("plugins { alias(libs.plugins.android.library) }\n")
    assert find_project(tmp_path, "android").home == tmp_path / "phone"
    assert find_project(tmp_path / "kit", "android").home == tmp_path / "kit"


def test_groovy(tmp_path):
    (tmp_path / "app").mkdir()
    text = (
        "apply plugin: 'com.android.application'\nandroid {\n namespace 'a.b'\n defaultConfig { minSdkVersion 24 } }\n"
    )
    (tmp_path / "app/build.gradle").write_text(text + "dependencies { implementation 'org.x:y:1.2' }\n")
    project = find_project(tmp_path, "android")
    assert (project.package, project.minimum) == ("a.b.models", "24")
    assert project.dependencies["org.x:y"].version == "1.2"


def test_a_version_catalog(tmp_path):
    dependencies = "implementation(libs.executorch.android)\n implementation(libs.ort)\n implementation(libs.litert)"
    make_gradle(tmp_path, min_sdk="libs.versions.min.sdk.get().toInt()", dependencies=dependencies)
    (tmp_path / "gradle").mkdir()
    (tmp_path / "gradle/libs.versions.toml").write_text(CATALOG)
    project = find_project(tmp_path, "android")
    assert project.minimum == "28"
    assert {name: found.version for name, found in project.dependencies.items()} == {
        "org.pytorch:executorch-android": "1.4.0",
        "com.microsoft.onnxruntime:onnxruntime-android": "1.30.0",
        "com.google.ai.edge.litert:litert": "2.3.0",
    }


def test_several_app_modules_have_to_be_chosen_from(tmp_path):
    make_gradle(tmp_path, module="phone")
    make_gradle(tmp_path, module="watch")
    with pytest.raises(InputError, match="phone, watch"):
        find_project(tmp_path, "android")


def test_xcodegen(tmp_path):
    (tmp_path / "project.yml").write_text(XCODEGEN)
    project = find_project(tmp_path, "ios")
    assert (project.kind, project.minimum) == ("XcodeGen", "16.4")
    assert project.models == tmp_path / "App/Sources/Models"
    assert project.bindings == tmp_path / "App/Sources/Generated"
    assert {name.rsplit("/", 1)[1]: found.version for name, found in project.dependencies.items()} == {
        "executorch": "swiftpm-1.5.1",
        "onnxruntime-swift-package-manager": "1.24.2",
    }


@pytest.mark.parametrize("sources", ["sources: App", "sources: [App, Shared]", "sources:\n      - App\n      - Shared"])
def test_the_ways_to_write_sources(tmp_path, sources):
    (tmp_path / "project.yml").write_text(f"name: Walk\ntargets:\n  Walk:\n    type: application\n    {sources}\n")
    assert find_project(tmp_path, "ios").models == tmp_path / "App/Models"


def test_sources_outside_the_project_are_refused(tmp_path):
    (tmp_path / "project.yml").write_text("name: W\ntargets:\n  W:\n    sources: ../other\n")
    with pytest.raises(InputError, match="outside"):
        find_project(tmp_path, "ios")


def test_swiftpm(tmp_path):
    (tmp_path / "Package.swift").write_text(PACKAGE)
    project = find_project(tmp_path, "ios")
    assert (project.kind, project.minimum) == ("SwiftPM", "17.2")
    assert project.models == tmp_path / "Sources/Walk/Models"
    assert [found.version for found in project.dependencies.values()] == ["swiftpm-1.4.0"]


def test_xcode_and_pods(tmp_path):
    (tmp_path / "Walk.xcodeproj").mkdir()
    (tmp_path / "Walk").mkdir()
    (tmp_path / "Walk.xcodeproj/project.pbxproj").write_text(PBXPROJ)
    (tmp_path / "Podfile").write_text(
        "target 'Walk' do\n  pod 'TensorFlowLiteSwift', '~> 2.17.0'\n  # pod 'None'\nend\n"
    )
    project = find_project(tmp_path, "ios")
    assert (project.kind, project.minimum) == ("Xcode", "15.6")
    assert project.models == tmp_path / "Walk/Models"
    assert {name: found.version for name, found in project.dependencies.items()} == {
        "https://github.com/pytorch/executorch": "swiftpm-1.5.1",
        "TensorFlowLiteSwift": "2.17.0",
    }


@pytest.mark.parametrize(
    ("system", "words"), [("android", ("AndroidManifest.xml", "build.gradle")), ("ios", ("project.yml", "xcodeproj"))]
)
def test_another_folder_is_told_what_was_looked_for(tmp_path, system, words):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError) as caught:
        find_project(tmp_path, system)
    for word in (*words, "notes.txt"):
        assert word in str(caught.value)
    with pytest.raises(InputError, match="not a folder"):
        find_project(tmp_path / "none", system)


@pytest.mark.parametrize("name", ["build.gradle.kts", "gradle/libs.versions.toml"])
def test_files_that_cannot_be_read_are_named(tmp_path, name):
    make_gradle(tmp_path)
    (tmp_path / "gradle").mkdir()
    (tmp_path / name).write_bytes(b"\xff\xfe = [")
    with pytest.raises(InputError, match="UTF-8"):
        find_project(tmp_path, "android")


def test_comments_leave_and_urls_stay():
    assert uncommented("a // b\n/* c\nd */\"https://x\" '//'").split() == ["a", '"https://x"', "'//'"]


PIECES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [*PACKAGE.split(), *XCODEGEN.splitlines(keepends=True), *PBXPROJ.split(), *CATALOG.split(), "\n", '"', "'"]
    ),
    st.sampled_from(
        ['plugins { id("com.android.application") }\n', "minSdk = ", "/*", "*/", "//", "[[", "url: ", "pod 'x', "]
    ),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=2000)
@given(st.lists(PIECES, max_size=30).map("".join), st.sampled_from(["android", "ios"]))
def test_any_build_file_is_read_or_refused(tmp_path, text, system):
    names = {
        "android": ("app/build.gradle.kts", "gradle/libs.versions.toml", "app/src/main/AndroidManifest.xml"),
        "ios": ("project.yml", "Package.swift", "Podfile", "A.xcodeproj/project.pbxproj"),
    }
    for name in names[system]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode("utf-8", "replace"))
    try:
        project = find_project(tmp_path, system)
    except InputError as error:
        assert str(error)
    else:
        assert project.models.is_relative_to(tmp_path)
