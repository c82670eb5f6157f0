"""An iOS project: XcodeGen, Xcode or SwiftPM; what its files say, and where models and bindings go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from edge.embed.gradle import uncommented
from edge.embed.project import Dependency, Kind, Project, read_text
from edge.embed.versions import numbers
from edge.errors import InputError

_LOOKED_FOR = "EdgeApp/ beside Package.swift, project.yml (XcodeGen), NAME.xcodeproj, or Package.swift"
_SWIFT_PACKAGE = re.compile(r'\.package\(\s*(?:name:\s*"[^"]*",\s*)?url:\s*"([^"]+)"\s*,[^")]*?"([^"]*)"', re.DOTALL)
_XCODE_PACKAGE = re.compile(
    r"repositoryURL\s*=\s*\"?([^\";]+)\"?;\s*requirement\s*=\s*\{[^}]*?(?:\bversion|minimumVersion|branch)\s*=\s*"
    r"\"?([^\";]+)\"?;",
    re.DOTALL,
)
_POD = re.compile(r"""^\s*pod\s+["']([\w+\-/]+)["']\s*(?:,\s*["'][~>=<\s]*([\w.\-]+)["'])?""", re.MULTILINE)


def find_xcode(root: Path) -> Project:
    """Return the iOS project in a folder; raises InputError for none."""
    kind, sources, build_file = _recognise(root)
    paths = [build_file, *(root / name for name in ("project.yml", "Package.swift", "Podfile"))]
    texts = {path.relative_to(root).as_posix(): _code(path) for path in dict.fromkeys(paths) if path.is_file()}
    return Project(
        system="ios",
        kind=kind,
        root=root,
        home=root,
        models=sources / "Models",
        bindings=sources / "Generated",
        package="",
        build_file=build_file,
        minimum=_minimum(texts),
        dependencies=_dependencies(texts),
        texts=texts,
    )


def _code(path: Path) -> str:
    text = read_text(path)
    if path.suffix in (".yml", "") and path.name != "project.pbxproj":  # YAML and Ruby
        return re.sub(r"(^|\s)#[^\n]*", r"\1", text)
    return uncommented(text) if path.suffix == ".swift" else text


def _recognise(root: Path) -> tuple[Kind, Path, Path]:
    """Return the kind, the folder of the app's sources and the build file."""
    package, generated = root / "Package.swift", root / "project.yml"
    if (root / "EdgeApp").is_dir() and package.is_file():
        return "sample app", root / "EdgeApp", generated if generated.is_file() else package
    if generated.is_file():
        return "XcodeGen", root / _generated_sources(_code(generated)), generated
    bundles = sorted(path for path in root.glob("*.xcodeproj") if (path / "project.pbxproj").is_file())
    if len(bundles) > 1:
        names = ", ".join(path.name for path in bundles)
        raise InputError(f"--into {root} has several projects ({names}); give a folder with one of them")
    if bundles:
        named = root / bundles[0].stem
        return "Xcode", named if named.is_dir() else root, bundles[0] / "project.pbxproj"
    if package.is_file():
        return "SwiftPM", root / _target_sources(root, _code(package)), package
    found = ", ".join(sorted(path.name for path in root.iterdir())[:8]) or "an empty folder"
    raise InputError(f"--into {root} is no iOS project: looked for {_LOOKED_FOR}; found {found}")


def _generated_sources(text: str) -> str:
    """Return the first source folder of the first target of a project.yml, or its project's name."""
    targets = text[found.end() :] if (found := re.search(r"^targets:\s*$", text, re.MULTILINE)) else ""
    pattern = r"^\s+sources:[ \t]*(?:\[\s*|\n\s*-\s*)?(?:path:\s*)?[\"']?([\w.][\w./\- ]*?)[\"']?\s*(?:[\],]|$)"
    found = re.search(pattern, targets, re.MULTILINE) or re.search(r"^name:\s*[\"']?([\w\- ]+)", text, re.MULTILINE)
    return _inside(found.group(1).strip() if found else "Sources")


def _target_sources(root: Path, text: str) -> str:
    """Return the source folder of a package's first executable target, or of its first target."""
    found = re.search(r'\.executableTarget\(\s*name:\s*"([^"]+)"', text) or re.search(
        r'\.target\(\s*name:\s*"([^"]+)"', text
    )
    if found is None:
        raise InputError(f"{root / 'Package.swift'} has no target; add one, or give another --into")
    path = re.match(r'[^)]*?\bpath:\s*"([^"]+)"', text[found.end() :].split(".target(")[0].split("Target(")[0])
    return _inside(path.group(1) if path else f"Sources/{found.group(1)}")


def _inside(path: str) -> str:
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise InputError(f"the sources {path!r} lie outside the project; give the folder that has them as --into")
    return path


def _minimum(texts: Mapping[str, str]) -> str:
    patterns = (
        r'deploymentTarget:\s*\n?\s*(?:iOS:\s*)?["\']?(\d+(?:\.\d+)*)',
        r"IPHONEOS_DEPLOYMENT_TARGET\s*[=:]\s*[\"']?(\d+(?:\.\d+)*)",
        r'\.iOS\(\s*\.?v?"?(\d+(?:[._]\d+)*)',
    )
    found = [match for text in texts.values() for pattern in patterns for match in re.findall(pattern, text)]
    return min((text.replace("_", ".") for text in found), key=numbers, default="")


def _dependencies(texts: Mapping[str, str]) -> dict[str, Dependency]:
    found: dict[str, Dependency] = {}
    for file, text in texts.items():
        if file == "Podfile":
            pairs = _POD.findall(text)
        elif file.endswith("project.pbxproj"):
            pairs = _XCODE_PACKAGE.findall(text)
        elif file.endswith(".yml"):
            pairs = _generated_packages(text)
        else:
            pairs = _SWIFT_PACKAGE.findall(text)
        for name, version in pairs:
            key = name.removesuffix(".git")
            found[key] = Dependency(key, version, file)
    return found


def _generated_packages(text: str) -> list[tuple[str, str]]:
    """Return (URL, version) of the packages of a project.yml."""
    found = []
    for block in re.split(r"^(?=\s*url:)|^(?=\s{2}\S+:\s*$)", text, flags=re.MULTILINE):
        url = re.search(r"\burl:\s*[\"']?([^\s\"']+)", block)
        version = re.search(
            r"\b(?:exactVersion|majorVersion|minorVersion|version|from|branch|minVersion):\s*[\"']?([^\s\"',}]+)", block
        )
        if url:
            found.append((url.group(1), version.group(1) if version else ""))
    return found
