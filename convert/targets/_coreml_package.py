"""How a converted Core ML model is written: equal programs give equal bytes, and coremltools keeps quiet meanwhile."""

from __future__ import annotations

import gc
import logging
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge.artifact import encode_json, file_digest, write_atomic

PACKAGE = "model.mlpackage"

# A conversion stamps the time of day into the model; without it equal programs give equal bytes.
_CONVERSION_DATE = "com.github.apple.coremltools.conversion_date"


def save_package(model: Any, path: Path) -> None:
    """Write the package so that equal programs give equal bytes: no clock, no random ids, maps in key order."""
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        saved = Path(scratch) / PACKAGE
        model.save(str(saved))
        content = saved / "Data" / "com.apple.CoreML"
        path.mkdir()
        (path / "Data").mkdir()
        content.replace(path / "Data" / content.name)
    spec = model.get_spec()
    spec.description.metadata.userDefined.pop(_CONVERSION_DATE, None)
    model_file = path / "Data" / "com.apple.CoreML" / "model.mlmodel"
    write_atomic(model_file, spec.SerializeToString(deterministic=True))
    write_atomic(path / "Manifest.json", encode_json(_manifest(model_file)))


def _manifest(model_file: Path) -> dict[str, Any]:
    items = [("model.mlmodel", "CoreML Model Specification", file_digest(model_file))]
    weights = model_file.parent / "weights"
    if weights.is_dir():
        items.append(("weights", "CoreML Model Weights", "".join(map(file_digest, sorted(weights.iterdir())))))
    entries = {
        str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {digest}")): {
            "author": "com.apple.CoreML", "description": description, "name": name, "path": f"com.apple.CoreML/{name}",
        }
        for name, description, digest in items
    }  # fmt: skip
    return {"fileFormatVersion": "1.0.0", "itemInfoEntries": entries, "rootModelIdentifier": next(iter(entries))}


class _Untested(logging.Filter):
    """Drop the notes that coremltools has not been tested with this torch, and that Core ML is not on this system.

    Whether the conversion is right is what verification finds out, for every artifact.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        return not (
            "has not been tested" in text or "is not supported" in text or text.startswith("Failed to load _ML")
        )


@contextmanager
def quiet_coremltools() -> Iterator[None]:
    """Silence what coremltools, and what it imports, warn themselves about on every run, and free its scratch files."""
    untested = _Untested()
    logger = logging.getLogger("coremltools")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.addFilter(untested)
        try:
            yield
        finally:
            logger.removeFilter(untested)
            gc.collect()  # its scratch folder of weights is deleted with the converted program, which is in a cycle
