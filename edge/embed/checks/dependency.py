"""The runtime's package in the project's build files: there, and not older than the artifact needs."""

from __future__ import annotations

from edge.artifact import Manifest
from edge.embed.checks import Finding, Verdict
from edge.embed.project import Project
from edge.embed.runtimes import Delivery, Package, package_needs, version_for
from edge.embed.versions import at_least, numbers


def check_dependencies(manifest: Manifest, shipped: Delivery, project: Project) -> tuple[Finding, ...]:
    """Check every package that brings the artifact's runtime, and that its numbers are the runtime's."""
    found = tuple(_check(manifest, shipped, package, project) for package in shipped.packages)
    strange = _other_runtime(manifest, shipped)
    return (*found, strange) if strange else found


def _check(manifest: Manifest, shipped: Delivery, package: Package, project: Project) -> Finding:
    needed, version = package_needs(manifest, shipped, package), version_for(manifest, shipped, package)
    given = project.dependencies.get(package.name)
    file = "the Podfile" if package.registry == "pods" else project.build_file.name
    add = f"write version {version} of it into {file}"
    if given is None:
        return _finding(
            "warning", package, f"no build file of the project names it yet; {manifest.target} needs it", add
        )
    if not numbers(given.version):
        message = f"{given.file} leaves its version open, so it was not compared with {needed or version}"
        return _finding("warning", package, message, f"write version {version} in {given.file}")
    if needed and not at_least(given.version, needed):
        message = f"{given.file} has version {given.version}; the artifact was made for {needed} or later"
        return _finding("failed", package, message, f"write version {version} in {given.file}")
    if numbers(given.version) != numbers(version):
        message = f"{given.file} has version {given.version}; the apps of the kit are built with {version}"
        return _finding("warning", package, message, f"try the app on a phone, or write version {version}")
    return _finding("ok", package, f"version {given.version} in {given.file}")


def _other_runtime(manifest: Manifest, shipped: Delivery) -> Finding | None:
    """TensorFlowLiteSwift is TensorFlow Lite: what needs a LiteRT does not run in it, whatever its number."""
    if shipped.word != "TensorFlow Lite" or "LiteRT" not in manifest.needs.min_runtime:
        return None
    message = (
        f"the artifact needs {manifest.needs.min_runtime}; the package for iOS is TensorFlow Lite, an older runtime"
    )
    return _finding("failed", shipped.packages[0], message, "deploy with --target coreml or executorch-xnnpack for iOS")


def _finding(verdict: Verdict, package: Package, message: str, mend: str = "") -> Finding:
    return Finding(check="dependency", verdict=verdict, where=package.name, message=message, mend=mend)
