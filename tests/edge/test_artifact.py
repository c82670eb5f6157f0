import json

import jsonschema
import msgspec
import pytest

from edge.artifact import (
    FileEntry,
    Manifest,
    Needs,
    Source,
    check_files,
    encode_json,
    list_files,
    manifest_schema,
    read_manifest,
    write_manifest,
)
from edge.contract import TensorSpec
from edge.errors import InputError
from edge.profile.reading import profile_schema
from edge.report.records import report_schema


def make(root, **changes):
    (root / "model.bin").write_bytes(b"weights")
    values = {
        "model": "m",
        "task": "tensors",
        "target": "onnx-cpu",
        "precision": "fp32",
        "files": list_files(root),
        "inputs": (TensorSpec(name="x", shape=(1, 2)),),
        "outputs": (TensorSpec(name="y", shape=(1, 2)),),
        "steps": (),
        "source": Source(sha256="0" * 64),
        "needs": Needs(min_runtime="any"),
    }
    return write_manifest(root, Manifest(**(values | changes)))


def test_a_manifest_is_read_back_as_it_was_written(tmp_path):
    artifact = make(tmp_path)
    assert read_manifest(tmp_path) == artifact
    jsonschema.validate(json.loads((tmp_path / "manifest.json").read_text()), manifest_schema())


def test_an_unknown_key_is_an_error(tmp_path):
    make(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"colour": "red"}))
    with pytest.raises(InputError, match="colour"):
        read_manifest(tmp_path)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(path.read_text()), manifest_schema())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 2}', "null", "\x00"])
def test_a_broken_manifest_is_one_clear_error(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match="edge deploy"):
        read_manifest(tmp_path)


def test_a_folder_without_manifest_is_not_an_artifact(tmp_path):
    with pytest.raises(InputError, match="not an artifact"):
        read_manifest(tmp_path / "nowhere")


def test_a_changed_file_is_found(tmp_path):
    artifact = make(tmp_path)
    check_files(artifact)
    (tmp_path / "model.bin").write_bytes(b"Weights")
    with pytest.raises(InputError, match="changed after it was made"):
        check_files(artifact)
    (tmp_path / "model.bin").unlink()
    with pytest.raises(InputError, match="missing"):
        check_files(artifact)


def test_a_file_is_found_by_suffix_also_inside_a_package_folder(tmp_path):
    artifact = make(tmp_path, files=(FileEntry(name="model.mlpackage/Manifest.json", bytes=1, sha256=""),))
    assert artifact.file(".mlpackage") == tmp_path / "model.mlpackage"
    with pytest.raises(InputError, match="no .tflite"):
        artifact.file(".tflite")


def test_records_are_frozen(tmp_path):
    with pytest.raises(AttributeError):
        make(tmp_path).manifest.model = "other"


@pytest.mark.parametrize("schema", [manifest_schema(), report_schema(), profile_schema()])
def test_schemas_are_valid_and_close_every_object(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    objects = [entry for entry in schema["$defs"].values() if "properties" in entry]
    assert objects
    assert all(entry["additionalProperties"] is False for entry in objects)


def test_the_schemas_on_disk_are_those_of_the_types(request):
    folder = request.config.rootpath / "schema"
    of_the_types = {"manifest": manifest_schema(), "report": report_schema(), "profile": profile_schema()}
    for name, schema in of_the_types.items():
        assert msgspec.json.decode((folder / f"{name}.schema.json").read_bytes()) == msgspec.json.decode(
            encode_json(schema)
        ), "run `make schema`"
