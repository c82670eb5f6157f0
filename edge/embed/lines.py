"""The three lines that a developer adds to the app: the runtime, how the model is packed, one call."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from edge.artifact import Manifest
from edge.embed.binding import call
from edge.embed.project import Project
from edge.embed.records import Lines
from edge.embed.runtimes import Delivery, Package, version_for


def lines(manifest: Manifest, type_name: str, shipped: Delivery, project: Project) -> Lines:
    """Return the lines for one artifact in one project."""
    named = ((package, version_for(manifest, shipped, package)) for package in shipped.packages)
    dependencies = [_dependency(package, version, project) for package, version in named]
    return Lines(
        dependency="\n".join(dependencies),
        packaging=_packaging(manifest, project),
        call=call(manifest, type_name, project),
    )


def no_compress(manifest: Manifest) -> tuple[str, ...]:
    """Return the suffixes, without dots, of the files that a runtime maps into memory instead of unpacking them."""
    suffixes = {PurePosixPath(entry.name).suffix.removeprefix(".") for entry in manifest.files}
    return tuple(sorted(suffixes - {"", "json"}))


def _dependency(package: Package, version: str, project: Project) -> str:
    if package.registry == "maven":
        return f'implementation("{package.name}:{version}")'
    if package.registry == "pods":
        return f"pod '{package.name}', '{version}'"
    branch = package.pinned.startswith("swiftpm-")
    version = version if not branch or version.startswith("swiftpm-") else f"swiftpm-{version}"
    name = package.name.rsplit("/", 1)[1]
    if project.build_file.suffix == ".yml":
        return f"{name}: {{url: {package.name}, {'branch' if branch else 'exactVersion'}: {version}}}"
    return f'.package(url: "{package.name}", {"branch" if branch else "exact"}: "{version}")'


def _packaging(manifest: Manifest, project: Project) -> str:
    if project.system == "android":
        suffixes = ", ".join(json.dumps(suffix) for suffix in no_compress(manifest))
        return f"android {{ androidResources {{ noCompress += listOf({suffixes}) }} }}" if suffixes else ""
    folder = project.models.relative_to(project.root).as_posix()
    if project.build_file.suffix == ".yml":
        return f"- {{path: {folder}, type: folder, buildPhase: resources}}"
    if project.build_file.name == "Package.swift":
        return 'resources: [.copy("Models")]'
    return f"// in Xcode: add {folder} to the target as a folder reference, not as a group"
