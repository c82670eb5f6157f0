"""Write the JSON Schemas of manifest.json, report.json and profile.json from the types."""

from __future__ import annotations

from pathlib import Path

from edge.artifact import encode_json, manifest_schema, write_atomic
from edge.profile.reading import profile_schema
from edge.report.records import report_schema

FOLDER = Path(__file__).resolve().parent.parent / "schema"

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    written = {"manifest": manifest_schema(), "report": report_schema(), "profile": profile_schema()}
    for name, schema in written.items():
        write_atomic(FOLDER / f"{name}.schema.json", encode_json(schema))
