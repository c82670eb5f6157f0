"""What a target needs beyond its packages."""

import ctypes.util
import subprocess
import sys

import pytest

from convert.targets import TARGETS
from convert.targets.mediapipe import graphics_libraries
from edge.errors import MissingError


@pytest.fixture
def without_egl(monkeypatch):
    """A machine whose loader finds every library but libEGL."""
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None if name == "EGL" else f"lib{name}.so")
    graphics_libraries.cache_clear()
    yield
    graphics_libraries.cache_clear()


@pytest.mark.skipif(sys.platform != "linux", reason="only there mediapipe loads them")
def test_mediapipe_names_the_library_that_is_missing(without_egl):
    target = TARGETS["mediapipe-task"]
    assert target.missing_packages() == ()
    assert target.status() == "needs libEGL: apt-get install libegl1"
    with pytest.raises(MissingError, match="^mediapipe-task needs libEGL: apt-get install libegl1$"):
        target.check("fp32", "segmentation")


def test_other_targets_need_their_packages_only(without_egl):
    assert TARGETS["onnx-cpu"].status() == "ready"


def test_listing_every_target_imports_nothing_heavy():
    heavy = ["torch", "onnx", "onnxruntime", "executorch", "litert_torch", "ai_edge_litert", "coremltools", "mediapipe"]
    code = f"""
import sys
from convert.targets import TARGETS
[target.status() for target in TARGETS.values()]
print(set({heavy}) & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
