"""An Android project: its app module, what its build files say, and where assets and sources go."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edge.embed.project import Dependency, Project, read_text
from edge.errors import InputError

_BUILD = ("build.gradle.kts", "build.gradle")
_SETTINGS = ("settings.gradle.kts", "settings.gradle")
_CATALOG = "gradle/libs.versions.toml"
_MANIFEST = "src/main/AndroidManifest.xml"
_COORDINATE = re.compile(r"""["']([\w.\-]+:[\w.\-]+)(?::([\w.\-+\[\](),]*))?(?:@\w+)?["']""")
_LOOKED_FOR = (
    f"a module with {_MANIFEST}, or with a {_BUILD[0]} or {_BUILD[1]} that applies com.android.application or "
    "com.android.library, in it or in one of its folders"
)


def find_gradle(root: Path) -> Project:
    """Return the Android project in a folder; raises InputError for none, or for several app modules."""
    module = _module(root)
    project = module.parent if module != root and _first(root, _SETTINGS) is None else root
    texts = {path.relative_to(root).as_posix(): uncommented(read_text(path)) for path in _files(root, module)}
    catalog_path = next((path for path in (root / _CATALOG, module.parent / _CATALOG) if path.is_file()), None)
    catalog = _catalog(catalog_path) if catalog_path else {}
    build_file = _first(module, _BUILD) or module / _BUILD[0]
    text = texts.get(build_file.relative_to(root).as_posix(), "")
    return Project(
        system="android",
        kind="sample app" if (project / "core" / "src/main/kotlin/edge/core").is_dir() else "Gradle",
        root=root,
        home=module,
        models=module / "src/main/assets/models",
        bindings=module / ("src/main/java" if _java_only(module) else "src/main/kotlin"),
        package=f"{_namespace(text)}.models" if _namespace(text) else "edge.models",
        build_file=build_file,
        minimum=_minimum(text, texts, catalog),
        dependencies=_dependencies(texts, catalog, _CATALOG),
        texts=texts,
    )


def uncommented(text: str) -> str:
    """Return code without // and /* */ comments; text in quotes is kept."""
    pattern = r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|//[^\n]*|/\*.*?\*/"""
    return re.sub(pattern, lambda found: found.group(1) or " ", text, flags=re.DOTALL)


def _module(root: Path) -> Path:
    folders = [root, root / "app", *sorted(path for path in root.iterdir() if path.is_dir() and path.name != "app")]
    for kind in ("application", "library"):
        found = [folder for folder in folders if _applies(folder, kind)]
        if len(found) > 1 and found[0] not in folders[:2]:
            names = ", ".join(path.name for path in found)
            raise InputError(f"--into {root} has several app modules ({names}); give one of them as --into")
        if found:
            return found[0]
    raise InputError(f"--into {root} is no Android project: looked for {_LOOKED_FOR}; found {_holds(root)}")


def _applies(folder: Path, kind: str) -> bool:
    """Say whether a folder is a module of a kind; one with a manifest and no build file is taken for an app."""
    build = _first(folder, _BUILD)
    if build is None:
        return kind == "application" and (folder / _MANIFEST).is_file()
    text = uncommented(read_text(build))
    return bool(
        re.search(rf"com\.android\.{kind}\b(?![^\n]*\bapply\s*\(?\s*false)", text)
        or re.search(rf"alias\(\s*libs\.plugins\.[\w.]*{kind}\s*\)(?!\s*\.?apply)", text)
    )


def _holds(root: Path) -> str:
    names = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "an empty folder"


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _files(root: Path, module: Path) -> Iterator[Path]:
    for folder in dict.fromkeys((root, module)):
        for path in (_first(folder, _BUILD), folder / _CATALOG, folder / "gradle.properties", folder / _MANIFEST):
            if path is not None and path.is_file():
                yield path


def _java_only(module: Path) -> bool:
    """Android Studio puts Kotlin into src/main/java, which is right there only if nothing says otherwise."""
    return (module / "src/main/java").is_dir() and not (module / "src/main/kotlin").is_dir()


def _namespace(text: str) -> str:
    found = re.search(r"""\bnamespace\s*(?:=\s*)?["']([A-Za-z][\w.]*)["']""", text)
    return found.group(1) if found else ""


def _minimum(text: str, texts: Mapping[str, str], catalog: Mapping[str, Any]) -> str:
    found = re.search(r"\bminSdk(?:Version)?\s*(?:=|\()?\s*(\d+)", text)
    if found is None:
        named = re.search(r"\bminSdk(?:Version)?\s*(?:=|\()?\s*libs\.versions\.([\w.]+?)\.(?:get|asProvider)\(", text)
        if named is not None:
            wanted = named.group(1).replace(".", "-").casefold()
            table = catalog.get("versions", {})
            return next(
                (str(value) for key, value in table.items() if re.sub(r"[._]", "-", key).casefold() == wanted), ""
            )
        manifest = next((text for name, text in texts.items() if name.endswith("AndroidManifest.xml")), "")
        found = re.search(r'android:minSdkVersion="(\d+)"', manifest)
    return found.group(1) if found else ""


def _dependencies(texts: Mapping[str, str], catalog: Mapping[str, Any], catalog_name: str) -> dict[str, Dependency]:
    found: dict[str, Dependency] = {}
    builds = {name: text for name, text in texts.items() if name.endswith((".gradle", ".gradle.kts"))}
    for file, text in builds.items():
        for name, version in _COORDINATE.findall(text):
            found[name] = Dependency(name, version, file)
    for alias, entry in catalog.get("libraries", {}).items():
        accessor = re.sub(r"[-_]", ".", alias)
        if any(re.search(rf"\blibs\.{re.escape(accessor)}\b(?!\.)", text) for text in builds.values()):
            name, version = _library(entry, catalog.get("versions", {}))
            found[name] = Dependency(name, version, catalog_name)
    return found


def _library(entry: object, versions: Mapping[str, Any]) -> tuple[str, str]:
    if isinstance(entry, str):
        group, artifact, version = (*entry.split(":"), "", "")[:3]
        return f"{group}:{artifact}", version
    if not isinstance(entry, dict):
        return "", ""
    name = str(entry.get("module") or f"{entry.get('group')}:{entry.get('name')}")
    version = entry.get("version", "")
    if isinstance(version, dict):
        version = versions.get(str(version.get("ref", "")), version.get("strictly", ""))
    return name, version if isinstance(version, str) else ""


def _catalog(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not a version catalog: {error}; mend it") from None
