"""The code that bindings call: edge.core on Android, EdgeCore on iOS."""

from __future__ import annotations

from edge.embed.checks import Finding
from edge.embed.project import Project

_ANDROID = (
    'copy apps/android/core of the kit beside the app, include(":core"), and add implementation(project(":core"))'
)
_IOS = "copy apps/ios (Package.swift and Sources/EdgeCore) of the kit beside the app and add it as a local package"


def check_core(project: Project) -> tuple[Finding, ...]:
    """Check that the project builds with what the bindings import."""
    if project.kind == "sample app":
        return ()
    android = project.system == "android"
    words = ('":core"', "':core'", "projects.core") if android else ("EdgeCore",)
    name = "edge.core" if android else "EdgeCore"
    if any(project.mentions(word) for word in words):
        return (Finding(check="dependency", verdict="ok", where=name, message="named by the project's build files"),)
    message = f"the bindings import {name}, which no build file of the project names yet"
    mend = _ANDROID if android else _IOS
    return (Finding(check="dependency", verdict="warning", where=name, message=message, mend=mend),)
