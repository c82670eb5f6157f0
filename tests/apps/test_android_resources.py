"""The app's resources and manifest link, ask for little, keep the token, and make a package that can be signed."""

from __future__ import annotations

import re
import subprocess
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest
from android import MAIN, NEWER, Aapt2, Linked, manifest, tool
from kotlin import Missing, versions

ANDROID = "{http://schemas.android.com/apk/res/android}"
RES = MAIN / "res"
TEXTS = ("text", "hint", "contentDescription", "label", "title")


def xml(*parts: str) -> ET.Element:
    """Return the root of one of the app's XML files."""
    return ET.parse(MAIN.joinpath(*parts)).getroot()


def test_resources_and_manifest_link(linked: Linked) -> None:
    with zipfile.ZipFile(linked.apk) as apk:
        names = set(apk.namelist())
    assert {"AndroidManifest.xml", "resources.arsc", "res/xml/network_security_config.xml"} <= names
    assert (linked.generated / "edge" / "app" / "R.java").is_file()


@pytest.mark.parametrize("name", NEWER)
def test_what_is_newer_than_the_framework_here_is_named(aapt2: Aapt2, tmp_path: Path, name: str) -> None:
    """Each attribute that is left out for the link is one that API 29 refuses, and the app begins below its level."""
    kept = {other: level for other, level in NEWER.items() if other != name}
    with pytest.raises(subprocess.CalledProcessError) as found:
        aapt2.link(RES, manifest(without=kept), tmp_path / "linked")
    assert f"attribute android:{name} not found" in found.value.stderr
    assert int(versions()["android"]["min_sdk"]) < NEWER[name] <= int(versions()["android"]["compile_sdk"])


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("android:label=", "android:labl=", "labl"),
        ("@style/Theme.Edge", "@style/Theme.Nowhere", "Theme.Nowhere"),
        ("@mipmap/ic_launcher", "@mipmap/no_icon", "no_icon"),
    ],
)
def test_seeded_errors_do_not_link(aapt2: Aapt2, tmp_path: Path, was: str, becomes: str, said: str) -> None:
    assert was in manifest()
    with pytest.raises(subprocess.CalledProcessError) as found:
        aapt2.link(RES, manifest().replace(was, becomes), tmp_path / "linked")
    assert said in found.value.stderr


def test_the_app_asks_for_three_permissions_and_starts_in_one_place() -> None:
    root = xml("AndroidManifest.xml")
    asked = {item.get(f"{ANDROID}name", "").rpartition(".")[2] for item in root.iter("uses-permission")}
    assert asked == {"CAMERA", "INTERNET", "ACCESS_NETWORK_STATE"}
    activities = list(root.iter("activity"))
    exported = [item.get(f"{ANDROID}name") for item in activities if item.get(f"{ANDROID}exported") == "true"]
    assert exported == ["edge.app.CameraActivity"]
    classes = [item.get(f"{ANDROID}name", "") for item in (*activities, *root.iter("application"))]
    for name in classes:
        assert (MAIN / "kotlin" / f"{name.replace('.', '/')}.kt").is_file(), name


def test_nothing_travels_in_the_clear_but_to_this_device() -> None:
    root = xml("res", "xml", "network_security_config.xml")
    base = root.find("base-config")
    assert base is not None
    assert base.get("cleartextTrafficPermitted") == "false"
    assert root.find("debug-overrides") is None
    hosts = [domain.text for config in root.iter("domain-config") for domain in config.iter("domain")]
    assert hosts == ["localhost", "127.0.0.1"]


@pytest.mark.parametrize("name", ["data_extraction_rules.xml", "full_backup_content.xml"])
def test_no_backup_takes_the_token_or_consent(name: str) -> None:
    root = xml("res", "xml", name)
    sections = [section for section in root if section.tag != "exclude"] or [root]
    source = (MAIN / "kotlin/edge/app/SettingsStore.kt").read_text(encoding="utf-8")
    kept = dict(re.findall(r'val (\w+) = context\.getSharedPreferences\("(\w+)"', source))
    for section in sections:
        left_out = {(item.get("domain"), item.get("path")) for item in section.iter("exclude")}
        assert {("sharedpref", f"{kept['secret']}.xml"), ("sharedpref", f"{kept['consent']}.xml")} <= left_out


def test_no_text_is_written_into_layouts() -> None:
    found = []
    for path in [*RES.glob("layout/*.xml"), *RES.glob("menu/*.xml"), MAIN / "AndroidManifest.xml"]:
        for element in ET.parse(path).getroot().iter():
            texts = [element.get(f"{ANDROID}{name}", "@string/") for name in TEXTS]
            found += [f"{path.name}: {text}" for text in texts if not text.startswith("@string/")]
    assert found == []


def test_every_string_is_used_and_formatted_as_it_is_called() -> None:
    used = "".join(
        path.read_text(encoding="utf-8")
        for pattern in ("res/**/*.xml", "kotlin/**/*.kt", "AndroidManifest.xml")
        for path in MAIN.glob(pattern)
    )
    strings = [item for path in RES.glob("values/*.xml") for item in ET.parse(path).getroot().iter("string")]
    names = [item.get("name", "") for item in strings]
    assert len(names) == len(set(names))
    unused = [name for name in names if not re.search(rf"(R\.string\.|@string/){name}\b", used)]
    assert unused == []
    for item in strings:
        places = len(set(re.findall(r"%(\d)\$", item.text or "")))
        for values in re.findall(rf"getString\(R\.string\.{item.get('name')}\b((?:[^()]|\([^()]*\))*)\)", used):
            given = [value for value in re.split(r",(?![^(]*\))", values) if value.strip()]
            assert len(given) == places, item.get("name")


def test_the_package_is_aligned_signed_and_verified(linked: Linked, tmp_path: Path) -> None:
    """A shell: it has resources and a manifest, and no code, as nothing here makes dex files."""
    try:
        align, sign, keys = (
            tool("zipalign", "zipalign"), tool("apksigner", "apksigner"), tool("keytool", "openjdk-17-jdk-headless"),
        )  # fmt: skip
    except Missing as error:
        pytest.skip(f"the package is not signed: {error}")
    aligned, signed, store = tmp_path / "aligned.apk", tmp_path / "signed.apk", tmp_path / "throw-away.jks"
    run(align, "-f", "-p", "4", str(linked.apk), str(aligned))
    run(align, "-c", "-p", "4", str(aligned))
    run(
        keys, "-genkeypair", "-keystore", str(store), "-storepass", "throw-away", "-keypass", "throw-away",
        "-alias", "test", "-keyalg", "EC", "-validity", "1", "-dname", "CN=test",
    )  # fmt: skip
    run(sign, "sign", "--ks", str(store), "--ks-pass", "pass:throw-away", "--out", str(signed), str(aligned))
    said = run(sign, "verify", "--verbose", str(signed))
    assert "Verified using v2 scheme (APK Signature Scheme v2): true" in said
    data = bytearray(signed.read_bytes())
    data[len(data) // 3] ^= 1
    broken = tmp_path / "broken.apk"
    broken.write_bytes(data)
    assert subprocess.run([sign, "verify", str(broken)], capture_output=True).returncode != 0


def run(*words: str) -> str:
    """Run a program that has to succeed and return what it said."""
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
