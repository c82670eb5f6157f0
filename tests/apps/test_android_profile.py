"""What the app's benchmark screen writes is a profile.json that the kit reads, with the kit's own estimate in it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
from kotlin import Core

from edge.artifact import Artifact, FileEntry, Manifest, Needs, Source, encode_json
from edge.contract import TensorSpec
from edge.profile.estimate import estimate
from edge.profile.protocol import content_digest
from edge.profile.records import Profile

pytestmark = pytest.mark.slow
SCHEMA = Path(__file__).resolve().parents[2] / "schema" / "profile.schema.json"


def test_the_apps_profile_is_the_kits(core: Core, tmp_path: Path) -> None:
    manifest = Manifest(
        model="selfie-segmentation",
        task="segmentation",
        target="litert-cpu",
        precision="fp16",
        files=(FileEntry(name='sub/a "model".tflite', bytes=12, sha256="ab" * 32),),
        inputs=(TensorSpec(name="image", shape=(1, 8, 8, 3), layout="NHWC"),),
        outputs=(),
        steps=(),
        source=Source(sha256="0" * 64),
        needs=Needs(min_runtime="2"),
    )
    path = tmp_path / "manifest.json"
    path.write_bytes(encode_json(manifest))
    done = core.kotlin.run([core.main, core.tests], "edge.core.app.PrintProfileKt", str(path))
    assert done.returncode == 0, done.stderr
    jsonschema.validate(json.loads(done.stdout), json.loads(SCHEMA.read_text(encoding="utf-8")))
    profile = msgspec.json.decode(done.stdout, type=Profile)
    first, second = profile.variants
    assert first.harness == "app"
    assert first.sha256 == second.sha256 == content_digest(Artifact(tmp_path, manifest))
    expected = estimate(first.launches)
    assert expected is not None
    assert first.estimate is not None
    assert rounded(first.estimate) == rounded(expected)
    assert first.launches[0].state is not None
    assert first.launches[0].state.celsius == {"battery": 31.5}
    assert (first.memory, first.energy, first.operators) == (None, None, None)
    assert first.operators_reason
    assert first.energy_reason
    assert (second.estimate, second.problem) == (None, "no unit takes it")
    assert first.name != second.name


def rounded(record: object) -> object:
    """Return a record as JSON values, its numbers rounded: quantiles may differ in their last bit."""
    return json.loads(msgspec.json.encode(record), parse_float=lambda text: round(float(text), 9))
