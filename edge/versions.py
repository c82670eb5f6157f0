"""Which versions of other packages are installed."""

from __future__ import annotations

from importlib import metadata


def installed_version(distribution: str) -> str:
    """Return a distribution's version, or an empty string if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
