"""Make an SDK's folder out of its wheels, or take the user's own."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path, PurePosixPath

from edge.artifact import file_digest
from edge.disk import disk_errors
from edge.errors import MissingError, StoreError, UnknownName, UsageError
from edge.sdk import SDKS, Sdk, Wheel
from edge.store import ELSEWHERE, cache_lock, package_archive, staging


def find_sdks(name: str) -> tuple[Sdk, ...]:
    """Return the SDK of that name, or all of the group of that name; raises UnknownName."""
    if name in SDKS:
        return (SDKS[name],)
    members = tuple(entry for entry in SDKS.values() if entry.group == name)
    if not members:
        raise UnknownName("SDK", name, {*SDKS, *(entry.group for entry in SDKS.values())}, "edge sdk list")
    return members


def install_sdk(entry: Sdk) -> Path:
    """Download an SDK's wheels, unpack them into its folder and check it; returns the folder.

    Raises MissingError without network or if only the vendor hands it out, StoreError for a wrong hash or a full disk.
    """
    if not entry.lacking():
        return entry.root
    if not entry.wheels:
        raise MissingError(f"{entry.title} is handed out by {entry.vendor} only: {entry.command}")
    with (
        disk_errors(entry.root, ELSEWHERE),
        cache_lock(f"sdk-{entry.name}"),
        staging(entry.root.parent) as temporary,
    ):
        if not entry.lacking():
            return entry.root  # another process made it meanwhile
        for wheel in entry.wheels:
            _unpack(wheel, entry, temporary)
        entry.complete(temporary)
        entry.check(temporary)
        _replace(temporary, entry.root)
    return entry.root


def adopt_folder(name: str, folder: Path) -> Path:
    """Check a user's own SDK folder and link to it under the SDK's name; returns the link.

    Raises UsageError if the name stands for several SDKs, MissingError or TargetError if the folder does not fit.
    """
    found = find_sdks(name)
    if len(found) > 1:
        fitting = [entry for entry in found if not entry.missing_files(folder) and _is_version(entry, folder)]
        if not fitting:
            raise UsageError(
                f"{folder} is none of {', '.join(entry.name for entry in found)}; name the one that it should be"
            )
        found = tuple(fitting)
    entry, source = found[0], folder.resolve()
    entry.check(source)
    if entry.root.exists() and source == entry.root.resolve():
        return entry.root
    if source.is_relative_to(entry.root.absolute()):
        raise UsageError(f"{folder} lies in {entry.root}, which would be replaced; copy it elsewhere first")
    with disk_errors(entry.root, ELSEWHERE), cache_lock(f"sdk-{entry.name}"):
        entry.root.parent.mkdir(parents=True, exist_ok=True)
        _remove(entry.root)
        entry.root.symlink_to(source, target_is_directory=True)
    return entry.root


def _is_version(entry: Sdk, folder: Path) -> bool:
    return entry.marker is None or entry.marker[1] in (folder / entry.marker[0]).read_bytes()


def _unpack(wheel: Wheel, entry: Sdk, folder: Path) -> None:
    again = f"edge sdk install {entry.group}"
    with package_archive(wheel.source, again) as archive:
        found = file_digest(archive)
        if found != wheel.sha256:
            shutil.rmtree(archive.parent, ignore_errors=True)
            raise StoreError(
                f"{wheel.source} has sha256 {found[:16]}…, expected {wheel.sha256[:16]}…: the package was changed or "
                f"damaged on the way and was deleted; run `{again}` again"
            )
        with zipfile.ZipFile(archive) as content:
            for member in content.infolist():
                target = _destination(wheel, member.filename, folder)
                if target is None or member.is_dir():
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with content.open(member) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out)
                if member.external_attr >> 16 & 0o111:
                    target.chmod(0o755)


def _destination(wheel: Wheel, member: str, folder: Path) -> Path | None:
    """Return where a member goes: a prefix that ends with / keeps the path below it, any other the file's name."""
    prefixes = sorted((prefix for prefix in wheel.members if member.startswith(prefix)), key=len)
    path = PurePosixPath(member)
    if not prefixes or ".." in path.parts or path.is_absolute():
        return None
    prefix = prefixes[-1]
    below = member[len(prefix) :] if prefix.endswith("/") or not prefix else path.name
    return folder / wheel.members[prefix] / below


def _replace(temporary: Path, root: Path) -> None:
    _remove(root)
    temporary.rename(root)
    temporary.mkdir()  # what the context manager removes


def _remove(root: Path) -> None:
    if root.is_symlink():
        root.unlink()
    elif root.exists():
        shutil.rmtree(root)
