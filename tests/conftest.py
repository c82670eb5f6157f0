"""Fixtures that several rooms share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.samples import sample_photos
from edge.sdk import SDKS
from edge.sdk.install import install_sdk
from edge.store import PackageFile, WeightsFile, fetch_file
from edge.zoo import MODELS

# The npm copy of the detector: another build of the same network, for the importer's tests only.
_NPM_DETECTOR = WeightsFile(
    name="pose_solution_packed_assets.data",
    sha256="a63c614bef30d35947f13be361820b1e4e3bec9cfeebf4d11216a18373108e85",
    size_bytes=2962288,
    licence="Apache-2.0",
    sources=(
        PackageFile(
            registry="npm",
            package="@mediapipe/pose",
            version="0.5.1675469404",
            member="package/pose_solution_packed_assets.data",
        ),
    ),
)


@pytest.fixture(scope="session")
def weights() -> Callable[[str], Path]:
    """Return a function from a published file's name to its verified path; real weights, fetched once."""
    known = {file.name: file for model in MODELS.values() for file in model.files}
    known[_NPM_DETECTOR.name] = _NPM_DETECTOR
    return lambda name: fetch_file(known[name])


@pytest.fixture(scope="session")
def photos() -> tuple[Path, ...]:
    """Return real photographs; the first one shows a person."""
    return sample_photos()


@pytest.fixture(scope="session")
def sdk() -> Callable[[str], dict[str, str]]:
    """Return a function from an SDK's name to the variables its users need; installs it the first time, for real."""

    def variables(name: str) -> dict[str, str]:
        install_sdk(SDKS[name])
        return SDKS[name].environment()

    return variables
