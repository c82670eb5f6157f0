"""Swift bindings are parsed where a parser is installed; no Swift compiler runs here."""

from __future__ import annotations

from pathlib import Path

import pytest
from embed_artifacts import make_artifact
from kotlin import Missing
from swift import swift_parser

from edge.contract import TensorSpec
from edge.embed.embed import embed
from edge.zoo import MODELS

ZOO = sorted(name for name, model in MODELS.items() if model.contract.outputs)
HOSTILE = ("class", '"\\(exit(1))"', "*/ func", "\\", "\n", "default", "self", "Type", "init", "人", "", "3d", "\u2028")


@pytest.fixture(scope="module")
def bindings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("swift")
    app = folder / "app"
    app.mkdir()
    (app / "project.yml").write_text('name: App\noptions:\n  deploymentTarget:\n    iOS: "17.0"\n')
    options = {"target": "coreml", "needs": "iOS 16 / macOS 13", "suffix": ".mlpackage"}
    made = [make_artifact(folder / name, name, **options) for name in ZOO]
    tensors = tuple(TensorSpec(name=f"{name}-", shape=(1, 2)) for name in HOSTILE)
    made.append(make_artifact(folder / "hostile", "class */\n", labels=HOSTILE, inputs=tensors, **options))
    embed([artifact.root for artifact in made], system="ios", into=app)
    return {path.stem: path.read_text() for path in sorted((app / "App/Generated").iterdir())}


def test_swift_bindings_parse(bindings: dict[str, str]) -> None:
    try:
        parser = swift_parser()
    except Missing as error:
        pytest.skip(f"Swift is not parsed: {error}")
    assert len(bindings) == len(ZOO) + 1
    for name, text in bindings.items():
        tree = parser.parse(text.encode())
        assert not tree.root_node.has_error, f"{name}\n{text}"


def test_swift_bindings_name_what_the_core_has(bindings: dict[str, str]) -> None:
    """Every type of EdgeCore that a binding uses is public there, if EdgeCore is in this checkout."""
    core = Path(__file__).resolve().parents[2] / "apps/ios/Sources/EdgeCore"
    sources = "\n".join(path.read_text() for path in sorted(core.rglob("*.swift")))
    if not sources:
        pytest.skip("names are not compared: apps/ios/Sources/EdgeCore is not there")
    words = (
        "Contract",
        "ContractError",
        "TensorSpec",
        "Preprocess",
        "Postprocess",
        "Preprocessor",
        "Region",
        "Pixels",
        "Frame",
    )
    decoders = {line.split()[-1] for text in bindings.values() for line in text.splitlines() if "let decoder:" in line}
    for word in (*words, *decoders):
        assert any(f"public {kind} {word}" in sources for kind in ("struct", "final class", "enum")), word
