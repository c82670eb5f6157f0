"""Put artifacts into an app: the one function behind `edge embed`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge.artifact import MANIFEST, SCHEMA, Artifact, FileEntry, check_files, read_manifest
from edge.embed.binding import RESERVED, render
from edge.embed.checks import Finding
from edge.embed.checks.core import check_core
from edge.embed.checks.dependency import check_dependencies
from edge.embed.checks.library import check_library
from edge.embed.checks.page_size import check_page_size
from edge.embed.checks.qnn import check_qnn
from edge.embed.checks.size import check_size
from edge.embed.checks.system import check_system
from edge.embed.lines import lines
from edge.embed.names import check_package, identifiers, slug
from edge.embed.native import Found, find_libraries
from edge.embed.place import artifact_files, check_names, exclusive, make_folder, place, write_record
from edge.embed.project import Project, find_project
from edge.embed.records import Answer, Change, Embedded, Record, read_record
from edge.embed.runtimes import delivery
from edge.errors import InputError, UsageError
from edge.phones import System


def embed(
    folders: Sequence[Path], *, system: System, into: Path, package: str | None = None, budget_bytes: int | None = None
) -> Answer:
    """Copy artifacts into an app's project, write their bindings, and check what breaks in the field.

    Nothing is written before all artifacts are verified. Raises InputError for a folder that is no project or no
    artifact, Refused for a target that the system has no runtime for.
    """
    project = find_project(into, system)
    artifacts = [read_verified(folder, system) for folder in folders]
    if package is not None and system == "ios":
        raise UsageError("--package is for Kotlin; Swift's bindings belong to the app's module")
    name = check_package(package or project.package) if system == "android" else ""
    with exclusive(project.models):
        record = read_record(project.home)
        planned = _plan(artifacts, record, project, name)
        make_folder(project.models)
        changes = []
        for artifact, model, source in planned:
            before = next((entry for entry in record.models if entry.name == model.name), None)
            state = place(artifact, model, source, project, before)
            record = _with(record, model)
            write_record(project.home, record)
            changes.append(_change(artifact, model, state, project))
    return Answer(
        system=system,
        project=project.kind,
        minimum=project.minimum,
        models=tuple(changes),
        findings=_check(artifacts, project, record, budget_bytes),
    )


def read_verified(folder: Path, system: System) -> Artifact:
    """Return an artifact whose files are those of its manifest, for a runtime that the system has.

    Raises InputError for one of a newer schema or one that was changed, Refused.
    """
    _check_schema(folder)
    artifact = read_manifest(folder)
    delivery(artifact.manifest.target, system)
    check_names(artifact)
    check_files(artifact)
    return artifact


def _check_schema(folder: Path) -> None:
    """A newer manifest is told as such before its unknown keys are."""
    path = folder / MANIFEST if folder.is_dir() else folder
    try:
        found = msgspec.json.decode(path.read_bytes()).get("schema", SCHEMA)
    except (OSError, msgspec.DecodeError, AttributeError):
        return  # read_manifest says what is wrong
    if isinstance(found, int) and found > SCHEMA:
        raise InputError(
            f"{path} is of schema {found}, this edge reads {SCHEMA}; update edge, or deploy the model with this one"
        )


def _plan(
    artifacts: Sequence[Artifact], record: Record, project: Project, package: str
) -> list[tuple[Artifact, Embedded, str]]:
    """Return each artifact with what is to be written for it."""
    names = folder_names(artifacts)
    others = [entry.type for entry in record.models if entry.name not in names]
    types = identifiers(
        names, "kotlin" if project.system == "android" else "swift", "Type", "Model", (*others, *RESERVED)
    )
    planned = []
    for artifact, name, type_name in zip(artifacts, names, types, strict=True):
        files = artifact_files(artifact)
        source = render(artifact, name, type_name, files[0].sha256, project, package)
        planned.append((artifact, _embedded(artifact, name, type_name, files, source, project, package), source))
    return planned


def folder_names(artifacts: Sequence[Artifact]) -> tuple[str, ...]:
    """Return a folder's name for each artifact: its model's, with target and precision where one model comes twice."""
    plain = [slug(artifact.manifest.model) for artifact in artifacts]
    names: list[str] = []
    for artifact, name in zip(artifacts, plain, strict=True):
        kept = artifact.manifest
        long = f"{name}-{slug(kept.target)}-{slug(kept.precision)}" if plain.count(name) > 1 else name
        if long in names:
            raise UsageError(
                f"{artifact.root} is the second artifact of {kept.model} for {kept.target}@{kept.precision}"
            )
        names.append(long)
    return tuple(names)


def _embedded(
    artifact: Artifact,
    name: str,
    type_name: str,
    files: tuple[FileEntry, ...],
    source: str,
    project: Project,
    package: str,
) -> Embedded:
    data, suffix = source.encode(), "kt" if project.system == "android" else "swift"
    path = project.bindings.joinpath(*package.split(".")) / f"{type_name}.{suffix}"
    binding = FileEntry(
        name=Path(os.path.relpath(path, project.home)).as_posix(),
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    kept = artifact.manifest
    return Embedded(
        name=name,
        type=type_name,
        model=kept.model,
        target=kept.target,
        precision=kept.precision,
        sha256=files[0].sha256,
        bytes=sum(entry.bytes for entry in files),
        files=files,
        binding=binding,
    )


def _with(record: Record, model: Embedded) -> Record:
    others = [entry for entry in record.models if entry.name != model.name]
    return Record(models=tuple(sorted((*others, model), key=lambda entry: entry.name)))


def _change(artifact: Artifact, model: Embedded, state: str, project: Project) -> Change:
    kept = artifact.manifest
    return msgspec.convert(
        {
            "model": model,
            "state": state,
            "folder": (project.models / model.name).relative_to(project.root).as_posix(),
            "binding": Path(os.path.normpath(project.home / model.binding.name))
            .relative_to(os.path.normpath(project.root))
            .as_posix(),
            "lines": lines(kept, model.type, delivery(kept.target, project.system), project),
        },
        Change,
    )


def _check(
    artifacts: Sequence[Artifact], project: Project, record: Record, budget_bytes: int | None
) -> tuple[Finding, ...]:
    libraries: tuple[Found, ...] = find_libraries(project.root) if project.system == "android" else ()
    findings: list[Finding] = [*check_page_size(libraries), *check_core(project)]
    for artifact in artifacts:
        kept = artifact.manifest
        shipped = delivery(kept.target, project.system)
        findings += check_dependencies(kept, shipped, project)
        findings += check_library(kept.target, shipped, libraries)
        findings += check_qnn(kept.target, project, libraries)
        findings.append(check_system(kept, shipped, project))
    if budget_bytes is not None:
        findings.append(check_size({entry.name: entry.bytes for entry in record.models}, budget_bytes))
    return tuple(dict.fromkeys(findings))
