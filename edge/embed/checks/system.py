"""The oldest system that the app installs on, against what the artifact and its runtime need."""

from __future__ import annotations

from edge.artifact import Manifest
from edge.embed.checks import Finding
from edge.embed.project import Project
from edge.embed.runtimes import NAMES, Delivery, needed_version
from edge.embed.versions import at_least, numbers

_SETTING = {"android": "minSdk", "ios": "the iOS deployment target"}


def check_system(manifest: Manifest, shipped: Delivery, project: Project) -> Finding:
    """Compare minSdk or the deployment target with the runtime's minimum and the manifest's needs."""
    needed, setting = needed_minimum(manifest, shipped, project), _SETTING[project.system]
    said, unit = project.minimum, "API " if project.system == "android" else ""
    where = manifest.target
    if not said:
        message = f"{setting} was not found in {project.build_file.name}; the runtime needs {unit}{needed}"
        return Finding(check="system", verdict="warning", where=where, message=message, mend=_mend(project, needed))
    if at_least(said, needed):
        return Finding(check="system", verdict="ok", where=where, message=f"{setting} {said}, {needed} needed")
    message = f"{setting} is {said}: the app installs on {NAMES[project.system]} where the runtime, which needs "
    message += f"{unit}{needed}, does not load"
    return Finding(check="system", verdict="failed", where=where, message=message, mend=_mend(project, needed))


def needed_minimum(manifest: Manifest, shipped: Delivery, project: Project) -> str:
    """Return the newer of the runtime's own minimum and the manifest's."""
    stated = needed_version(manifest, "iOS") if project.system == "ios" else ""
    return stated if numbers(stated) > numbers(shipped.minimum) else shipped.minimum


def _mend(project: Project, needed: str) -> str:
    if project.system == "android":
        return f"set minSdk = {needed} in {project.build_file.name}"
    return f"set the deployment target to iOS {needed} in {project.build_file.name}"
