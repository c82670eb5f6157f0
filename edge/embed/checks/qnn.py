"""A Hexagon NPU is reached through a stub on the CPU and a skeleton on the NPU, both named for its version."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edge.embed.checks import Finding, Verdict
from edge.embed.native import Found
from edge.embed.project import Project
from edge.phones import Soc, socs

FAMILIES = ("executorch-qnn", "onnx-qnn", "litert-qualcomm")
_RUNTIME = "com.qualcomm.qti:qnn-runtime"
_STUB, _SKEL = "libQnnHtpV{}Stub.so", "libQnnHtpV{}Skel.so"


def find_soc(chip: str) -> Soc | None:
    """Return a chip by its model number or another of its names."""
    return next((soc for soc in socs().values() if chip.casefold() in (name.casefold() for name in soc.names)), None)


def check_qnn(target: str, project: Project, libraries: Sequence[Found]) -> tuple[Finding, ...]:
    """Check stub, skeleton and packaging for the chip of a target of Qualcomm's NPU; none for other targets."""
    family, _, chip = target.partition(":")
    if family not in FAMILIES:
        return ()
    soc = find_soc(chip)
    if soc is None or soc.htp_arch is None:
        message = f"the Hexagon version of {chip or 'no chip'} is not known, so its libraries were not checked"
        return (_finding("warning", target, message, "add the chip to edge/phones.toml"),)
    return (_names(soc.htp_arch, target, project, libraries), *_packaging(target, project))


def _names(version: int, target: str, project: Project, libraries: Sequence[Found]) -> Finding:
    names = {found.name for found in libraries}
    wanted = (_STUB.format(version), _SKEL.format(version))
    missing = [name for name in wanted if name not in names]
    others = sorted(name for name in names if re.fullmatch(r"libQnnHtpV\d+(Stub|Skel)\.so", name))
    if not missing:
        return _finding("ok", target, f"{' and '.join(wanted)} are in the project")
    if not others and _RUNTIME in project.dependencies:
        return _finding("ok", target, f"{' and '.join(wanted)} come with {_RUNTIME}")
    mend = (
        f"put lib/aarch64-android/{wanted[0]} and lib/hexagon-v{version}/unsigned/{wanted[1]} of the QNN SDK into "
        f"src/main/jniLibs/arm64-v8a, or depend on {_RUNTIME}"
    )
    if not others:
        return _finding("warning", target, f"{' and '.join(wanted)} are not in the project yet", mend)
    message = f"{' and '.join(missing)} missing; {', '.join(others)} found, which other Hexagon versions load"
    return _finding("failed", target, message, mend)


def _packaging(target: str, project: Project) -> tuple[Finding, ...]:
    """The NPU opens its skeleton by path: libraries have to be unpacked when the app is installed."""
    unpacked = any(
        re.search(r"useLegacyPackaging\s*(?:=|\()?\s*true", text) or 'extractNativeLibs="true"' in text
        for text in project.texts.values()
    )
    findings = []
    if not unpacked:
        message = "native libraries stay inside the APK, where the NPU cannot open its skeleton"
        mend = "add `packaging { jniLibs { useLegacyPackaging = true } }` to the android block"
        findings.append(_finding("warning", target, message, mend))
    if not project.mentions("libcdsprpc.so"):
        message = "from Android 12 on an app has to name the vendor's library that reaches the NPU"
        mend = '<uses-native-library android:name="libcdsprpc.so" android:required="false"/> in the manifest'
        findings.append(_finding("warning", target, message, f"add {mend}"))
    return tuple(findings)


def _finding(verdict: Verdict, where: str, message: str, mend: str = "") -> Finding:
    return Finding(check="qnn", verdict=verdict, where=where, message=message, mend=mend)
