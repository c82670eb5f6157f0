"""The code on docs/client.md runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from client_models import picture
from oip_server import Served

from edge.artifact import Artifact
from edge.images import write_image

PAGE = Path(__file__).parents[3] / "docs/client.md"


def test_the_page(
    artifact: Artifact, server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    first, cascade = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for old, new in (
        ("https://models.example.org", server.url),
        ("selfie-segmentation", "bright"),
        ("out/onnx-cpu@fp32", str(artifact.root)),
        ("deadline_ms=200", "deadline_ms=20_000"),  # a busy machine may take longer to load the model
    ):
        assert old in first
        first = first.replace(old, new)
    write_image(tmp_path / "photo.png", picture())
    (tmp_path / "photo.png").rename(tmp_path / "photo.jpg")
    (tmp_path / "token").write_text("secret\n")
    monkeypatch.chdir(tmp_path)
    inside = cascade.replace("image,", "picture(),").replace("deadline_ms=500", "deadline_ms=20_000")
    code = first + "".join(f"    {line}\n" for line in inside.splitlines())
    exec(compile(code, str(PAGE), "exec"), {"picture": picture})
    printed = capsys.readouterr().out
    assert printed.startswith("device preferred")
    assert "device answered Spans(" in printed
    assert "escalated" in printed
