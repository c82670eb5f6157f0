"""The keys that the iOS benchmark writes are those of schema/profile.schema.json; its code is read, not run."""

from __future__ import annotations

import json
import re

import pytest
from kotlin import APPS
from swift import IOS

SOURCE = (IOS / "Sources/EdgeCore/Benchmark/Profile.swift").read_text(encoding="utf-8")
SCHEMA = json.loads((APPS.parent / "schema/profile.schema.json").read_text(encoding="utf-8"))["$defs"]
LITERALS = [set(re.findall(r'^\s+"(\w+)":', block, re.MULTILINE)) for block in SOURCE.split("jsonOf([")[1:]]


@pytest.mark.parametrize("record", ["Protocol", "Variant", "Profile", "DeviceRecord", "Launch", "Estimate"])
def test_a_literal_has_the_records_keys(record: str) -> None:
    known, required = set(SCHEMA[record]["properties"]), set(SCHEMA[record]["required"])
    assert [keys for keys in LITERALS if required <= keys <= known]


def test_nothing_else_is_written() -> None:
    assert len(LITERALS) == 6


def test_the_harness_is_one_of_the_schemas() -> None:
    harness = re.search(r'"harness": \.string\("(\w+)"\)', SOURCE)
    assert harness
    assert harness.group(1) in SCHEMA["Variant"]["properties"]["harness"]["enum"]
