"""The Kotlin client as a process of its own, and the picture that both it and Python send."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from kotlin import Core
from PIL import Image

from edge.serve.metadata import ModelMetadata

DTYPES = {"FP32": "float32", "INT64": "int64"}


@dataclass(frozen=True, slots=True)
class Client:
    """The Kotlin client's process; every line is answered by one."""

    process: subprocess.Popen[str]

    def say(self, line: str) -> dict[str, Any]:
        """Send `granted`, `denied`, or a mode and a deadline in milliseconds, and return what came of it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found


@dataclass(frozen=True, slots=True)
class Address:
    """Where a model is served with TLS, and what its client needs."""

    url: str
    model: str
    token: str
    authority: Path


@contextlib.contextmanager
def client_of(core: Core, folder: Path, address: Address, metadata: ModelMetadata) -> Iterator[Client]:
    """Run the client until the block ends."""
    (folder / "picture.png").write_bytes(png())
    height, width = picture().shape[:2]
    settings = {
        "url": address.url,
        "model": address.model,
        "token": address.token,
        "authorities": str(address.authority),
        "picture": str(folder / "picture.png"),
        "width": width,
        "height": height,
        **_described(metadata),
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    words = core.kotlin.command([core.main, core.tests], "edge.core.client.LiveClientKt", str(folder / "settings.json"))
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Client(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


def picture() -> np.ndarray[Any, Any]:
    """Return a picture (H, W, 3), RGB."""
    y, x = np.mgrid[0:180, 0:240]
    return np.stack([x % 256, (x + y) % 256, 255 - y % 256], axis=2).astype(np.uint8)


def png() -> bytes:
    """Return the picture as a file."""
    stream = io.BytesIO()
    Image.fromarray(picture()).save(stream, "PNG")
    return stream.getvalue()


def _described(metadata: ModelMetadata) -> dict[str, Any]:
    """Return the model's tensors as the client's contract has them: one row, images channels first."""
    return {
        side: [
            {
                "name": spec.name,
                "shape": [1 if size == -1 else size for size in spec.shape],
                "dtype": DTYPES[spec.datatype],
                "layout": "NCHW" if len(spec.shape) == 4 else "NONE",
            }
            for spec in specs
        ]
        for side, specs in (("inputs", metadata.inputs), ("outputs", metadata.outputs))
    }
