"""What breaks in the field is found, and what mends it is said."""

import zipfile

import pytest
from embed_artifacts import make_artifact, make_gradle, make_library

from convert.targets import TARGETS
from edge.embed.checks.dependency import check_dependencies
from edge.embed.checks.library import check_library
from edge.embed.checks.page_size import check_page_size
from edge.embed.checks.qnn import check_qnn
from edge.embed.checks.size import check_size, parse_budget
from edge.embed.checks.system import check_system
from edge.embed.native import find_libraries
from edge.embed.project import find_project
from edge.embed.runtimes import DELIVERIES, delivery, family
from edge.embed.versions import at_least, numbers
from edge.errors import Refused, UsageError
from edge.phones import socs


def verdicts(findings):
    return [finding.verdict for finding in findings]


def put(root, name, data=None):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make_library() if data is None else data)
    return path


# 16 KB pages


def test_libraries_of_16_kb_pages_pass(tmp_path):
    put(tmp_path, "app/src/main/jniLibs/arm64-v8a/liba.so")
    put(tmp_path, "app/src/main/jniLibs/armeabi-v7a/liba.so", make_library(4096, bits=32, machine=40))
    put(tmp_path, "libs/libQnnHtpV75Skel.so", make_library(4096, bits=32, machine=164))
    found = check_page_size(find_libraries(tmp_path))
    assert verdicts(found) == ["ok"]
    assert "all 3" in found[0].message


@pytest.mark.parametrize("machine", [62, 183])
def test_a_library_of_4_kb_pages_fails(tmp_path, machine):
    put(tmp_path, "jniLibs/liba.so", make_library(4096, machine=machine))
    (finding,) = check_page_size(find_libraries(tmp_path))
    assert (finding.verdict, finding.where) == ("failed", "jniLibs/liba.so")
    assert "4096" in finding.message
    assert "max-page-size=16384" in finding.mend


def test_libraries_inside_archives_are_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "runtime.aar", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("jni/arm64-v8a/liba.so", make_library(4096))
        archive.writestr("jni/arm64-v8a/libb.so", make_library())
    (finding,) = check_page_size(find_libraries(tmp_path))
    assert (finding.verdict, finding.where) == ("failed", "runtime.aar!jni/arm64-v8a/liba.so")
    assert find_libraries(tmp_path / "runtime.aar")[1].name == "libb.so"


@pytest.mark.parametrize(("padding", "count"), [(0, 1), (None, 0)])
def test_a_stored_library_of_an_apk_begins_at_a_page(tmp_path, padding, count):
    name = "lib/arm64-v8a/liba.so"
    with zipfile.ZipFile(tmp_path / "app.apk", "w") as archive:
        info = zipfile.ZipInfo(name)
        info.extra = b"" if padding == 0 else b"\xfe\xca" + (16384 - 30 - len(name) - 4).to_bytes(2, "little")
        info.extra += b"" if padding == 0 else bytes(16384 - 30 - len(name) - 4)
        archive.writestr(info, make_library())
    found = check_page_size(find_libraries(tmp_path))
    assert verdicts(found).count("failed") == count


@pytest.mark.parametrize("data", [b"", b"PK\5\6", b"junk" * 100])
def test_broken_archives_and_libraries_fail(tmp_path, data):
    put(tmp_path, "a.aar", data)
    put(tmp_path, "liba.so", data)
    assert verdicts(check_page_size(find_libraries(tmp_path))) == ["failed", "failed"]


def test_a_bomb_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.aar", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("jni/arm64-v8a/liba.so", make_library() + bytes(1 << 24))
    data = bytearray((tmp_path / "a.aar").read_bytes())
    at = data.rindex(b"PK\1\2")
    data[at + 24 : at + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    (tmp_path / "a.aar").write_bytes(data)
    (found,) = find_libraries(tmp_path)
    assert "at most" in found.error


def test_a_project_without_libraries_has_nothing_to_check(tmp_path):
    assert check_page_size(find_libraries(tmp_path)) == ()


# QNN


@pytest.fixture
def gradle(tmp_path):
    return lambda **options: find_project(make_gradle(tmp_path / "app", **options), "android")


def qnn(target, project):
    return check_qnn(target, project, find_libraries(project.root))


def test_stub_and_skeleton_of_the_chip(gradle):
    project = gradle()
    for name in ("libQnnHtpV75Stub.so", "libQnnHtpV75Skel.so"):
        put(project.root, f"app/src/main/jniLibs/arm64-v8a/{name}")
    assert qnn("onnx-qnn:SM8650", project)[0].verdict == "ok"
    (failed, *_) = qnn("onnx-qnn:SM8750", project)
    assert failed.verdict == "failed"
    assert "libQnnHtpV79Stub.so and libQnnHtpV79Skel.so missing" in failed.message
    assert "libQnnHtpV75Stub.so" in failed.message
    assert "hexagon-v79/unsigned/libQnnHtpV79Skel.so" in failed.mend


def test_libraries_that_a_package_brings(gradle):
    project = gradle(dependencies='implementation("com.qualcomm.qti:qnn-runtime:2.50.0")')
    assert qnn("executorch-qnn:SM8550", project)[0].verdict == "ok"


def test_no_libraries_yet_is_a_warning_with_packaging(gradle):
    assert verdicts(qnn("litert-qualcomm:SM8650", gradle())) == ["warning"] * 3


def test_an_unknown_chip_is_said(gradle):
    (finding,) = qnn("onnx-qnn:SM7350", gradle()) if "SM7350" not in socs() else qnn("onnx-qnn:SM0000", gradle())
    assert finding.verdict == "warning"
    assert "not known" in finding.message


def test_other_targets_need_none(gradle):
    assert qnn("litert-cpu", gradle()) == ()


# The runtime's package and the system


def dependencies(folder, project, **options):
    artifact = make_artifact(folder, **options)
    return check_dependencies(artifact.manifest, delivery(artifact.manifest.target, project.system), project)


ET = {"target": "executorch-xnnpack", "needs": "executorch 1.5", "suffix": ".pte"}


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("", "warning"),
        ('implementation("org.pytorch:executorch-android:1.5.1")', "ok"),
        ('implementation("org.pytorch:executorch-android:1.4.0")', "failed"),
        ('implementation("org.pytorch:executorch-android:1.6.0")', "warning"),
        ('implementation("org.pytorch:executorch-android")', "warning"),
        ('// implementation("org.pytorch:executorch-android:1.5.1")', "warning"),
        ("implementation 'org.pytorch:executorch-android:1.5.1'", "ok"),
    ],
)
def test_the_runtimes_package(tmp_path, gradle, line, verdict):
    (finding,) = dependencies(tmp_path / "a", gradle(dependencies=line), **ET)
    assert finding.verdict == verdict
    assert verdict == "ok" or "1.5.1" in finding.mend


def test_a_context_of_a_newer_qnn_than_the_apps(tmp_path, gradle):
    line = 'implementation("com.qualcomm.qti:qnn-runtime:2.46.0")'
    options = {"target": "onnx-qnn:SM8650", "needs": "ONNX Runtime with the QNN execution provider, QNN v2.50.0.26"}
    found = dependencies(tmp_path / "a", gradle(dependencies=line), **options, steps=[("QNN", "v2.50.0.26")])
    assert verdicts(found) == ["warning", "failed"]
    assert "2.50.0" in found[1].message


def test_what_needs_litert_does_not_run_in_tensorflow_lite(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app/project.yml").write_text("name: App\n")
    project = find_project(tmp_path / "app", "ios")
    assert verdicts(dependencies(tmp_path / "a", project, needs="LiteRT 2.3")) == ["warning", "failed"]


@pytest.mark.parametrize(("given", "verdict"), [(21, "failed"), (23, "ok"), (35, "ok"), ("x", "warning")])
def test_min_sdk(tmp_path, gradle, given, verdict):
    artifact = make_artifact(tmp_path / "a", **ET)
    finding = check_system(artifact.manifest, delivery("executorch-xnnpack", "android"), gradle(min_sdk=given))
    assert finding.verdict == verdict


@pytest.mark.parametrize(("given", "verdict"), [("16.0", "failed"), ("17", "ok"), ("18.0", "ok")])
def test_the_manifests_own_ios(tmp_path, given, verdict):
    root = tmp_path / "app"
    root.mkdir()
    (root / "project.yml").write_text(f'name: App\noptions:\n  deploymentTarget:\n    iOS: "{given}"\n')
    artifact = make_artifact(tmp_path / "a", target="coreml", needs="iOS 17 / macOS 14", suffix=".mlpackage")
    finding = check_system(artifact.manifest, delivery("coreml", "ios"), find_project(root, "ios"))
    assert finding.verdict == verdict
    assert verdict == "ok" or "iOS 17" in finding.mend


def test_a_library_that_no_package_has(tmp_path, gradle):
    project, shipped = gradle(), delivery("executorch-ternary", "android")
    assert verdicts(check_library("executorch-ternary", shipped, find_libraries(project.root))) == ["warning"]
    put(project.root, "app/src/main/jniLibs/arm64-v8a/libternary_executorch.so")
    assert verdicts(check_library("executorch-ternary", shipped, find_libraries(project.root))) == ["ok"]


# The budget


@pytest.mark.parametrize(
    ("text", "size"), [("30MB", 30_000_000), ("1.5 MiB", 1_572_864), ("700kb", 700_000), ("12B", 12), ("1GB", 10**9)]
)
def test_budgets(text, size):
    assert parse_budget(text) == size


@pytest.mark.parametrize("text", ["", "30", "MB", "-1MB", "0MB", "1e9MB", "1 TB", "9" * 99 + "MB", "nanMB"])
def test_other_budgets_are_refused(text):
    with pytest.raises(UsageError, match="not a size"):
        parse_budget(text)


@pytest.mark.parametrize(("budget", "verdict"), [(99, "failed"), (100, "ok")])
def test_all_models_count_against_the_budget(budget, verdict):
    assert check_size({"a": 60, "b": 40}, budget).verdict == verdict


# The tables


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_every_target_is_delivered_or_refused_with_the_reason(target):
    for system in ("android", "ios"):
        try:
            found = delivery(target, system)
        except Refused as error:
            assert "--target" in str(error)
            assert family(target) not in DELIVERIES[system]
        else:
            assert all(package.pinned for package in found.packages)
            assert numbers(found.minimum)


def test_every_delivery_is_of_a_target():
    families = {family(target) for target in TARGETS}
    for table in DELIVERIES.values():
        assert table.keys() <= families


@pytest.mark.parametrize(
    ("version", "needed", "expected"),
    [
        ("1.5.1", "1.5", True),
        ("1.5", "1.5.0", True),
        ("1.10", "1.9", True),
        ("swiftpm-1.5.1", "1.6", False),
        ("", "1", False),
    ],
)
def test_versions_compare_by_number(version, needed, expected):
    assert at_least(version, needed) is expected
