"""Deploys run as a user runs them: the `edge` command in a process of its own, with a cache of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.sdk import SDKS
from edge.sdk.install import install_sdk
from edge.store import cache_root

TINY = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.Hardswish(), nn.Conv2d(8, 4, 1), nn.Sigmoid()
    )

def rejects_its_shapes():
    return nn.Conv2d(5, 8, 3)

def raises():
    raise ValueError("no such option: depth=7")

def returns_text():
    return "a model"
"""


@dataclass(frozen=True)
class Done:
    """What a run of `edge` left."""

    code: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.stdout)
        return found

    @property
    def last_line(self) -> str:
        return self.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory, photos) -> Path:
    """A cache without results, sharing fetched weights, packages and SDKs with the user's."""
    for entry in SDKS.values():
        if entry.wheels:
            install_sdk(entry)
    root = tmp_path_factory.mktemp("cache")
    for name in ("files", "packages", "sdk"):
        real = cache_root() / name
        real.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(real.resolve())
    return root


@pytest.fixture
def edge(session_cache, tmp_path) -> Callable[..., Done]:
    """Run `edge` in tmp_path and return what it left."""

    def run(*arguments: object, timeout: float = 900.0, **environment: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "edge", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=tmp_path,
            env={**os.environ, "EDGE_CACHE": str(session_cache), **environment},
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def tiny(tmp_path) -> Path:
    """A file with a user's own model."""
    path = tmp_path / "tiny.py"
    path.write_text(TINY)
    return path
