"""Tests of the kernels say by name what they lack."""

from __future__ import annotations

import pytest

from edge.errors import MissingError
from quant.kernels import available_paths, compiled_paths

try:
    COMPILED, AVAILABLE = compiled_paths(), available_paths()
except MissingError:
    COMPILED, AVAILABLE = ("scalar",), ()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `path` on every path that this processor has."""
    if "path" in metafunc.fixturenames:
        metafunc.parametrize("path", AVAILABLE or COMPILED)


@pytest.fixture(autouse=True)
def _built(request: pytest.FixtureRequest) -> None:
    if not AVAILABLE and request.node.get_closest_marker("slow") is None:
        pytest.skip("the ternary kernels are not built: no C++ compiler")
