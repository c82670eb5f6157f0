"""The golden vectors of the manifest, and what a reader of manifests must refuse."""

import json

import jsonschema
import pytest

from edge.artifact import manifest_schema, read_manifest
from edge.errors import EdgeError, InputError
from scripts.manifest_cases import Case, apply, at
from scripts.manifest_samples import full
from scripts.write_manifest_vectors import GOLDEN, cases, vectors, verdict


def test_the_golden_file_is_what_the_script_writes():
    assert GOLDEN.read_bytes() == vectors(), "run `make schema`"


def test_the_vectors_hold_both_sides_of_every_rule():
    verdicts = [verdict(apply(case.edits) if case.edits else case.data)["verdict"] for case in cases()]
    assert verdicts.count("refuse") >= 40
    assert verdicts.count("accept") >= 40
    assert verdicts.count("newer-schema") >= 1
    assert len({case.name for case in cases()}) == len(verdicts)


@pytest.mark.parametrize(
    "edit",
    [
        at("files.0.name", "../model.pte"),
        at("files.0.name", "/data/model.pte"),
        at("files.0.name", "model.pte\n"),
        at("files.0.bytes", -1),
        at("files.0.sha256", "ab"),
        at("files.1.name", full()["files"][0]["name"]),
        at("needs.ram_bytes", -1),
        at("inputs.0.shape", [1, 3, 8, 2**31]),
        at("preprocess.size", [0, 6]),
    ],
    ids=str,
)
def test_what_an_app_could_not_install_or_run_is_refused(tmp_path, edit):
    (tmp_path / "manifest.json").write_bytes(apply((edit,)))
    with pytest.raises(EdgeError):
        read_manifest(tmp_path)


def test_a_manifest_that_is_no_utf8_is_one_clear_error(tmp_path):
    (tmp_path / "manifest.json").write_bytes(b'{"model": "\xff"}')
    with pytest.raises(InputError, match="edge deploy"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "case",
    [case for case in cases() if case.name.startswith(("real/", "file-"))],
    ids=lambda case: ascii(case.name),
)
def test_the_schema_says_what_the_reader_says(case: Case):
    data = apply(case.edits) if case.edits else case.data
    validator = jsonschema.Draft202012Validator(manifest_schema())
    valid = validator.is_valid(json.loads(data))
    whole_as_fraction = case.name == "file-bytes/1.0"  # a whole number to JSON Schema, not to the reader
    assert valid is (verdict(data)["verdict"] == "accept" or whole_as_fraction)
