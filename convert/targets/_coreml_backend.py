"""What the Core ML delegate holds: a package written as ours are, without the clock, random ids and debug tables."""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convert.targets._coreml_package import PACKAGE, save_package
from edge.artifact import file_digest


@contextmanager
def backend_writes_packages() -> Iterator[None]:
    """Let ExecuTorch's backend write its payload with `pack` while inside.

    Its own payload differs from run to run, and up to a third of a small one are tables that only Core ML's profiler
    reads; its reader on the device treats them as optional.
    """
    from executorch.backends.apple.coreml.compiler import CoreMLBackend

    own = CoreMLBackend.preprocess_model
    CoreMLBackend.preprocess_model = staticmethod(pack)
    try:
        yield
    finally:
        CoreMLBackend.preprocess_model = staticmethod(own)


def pack(mlmodel: Any, model_type: Any) -> Any:
    """Return the delegate's payload: a package and metadata.json, flattened by ExecuTorch's own writer.

    The identifier names the compiled model in the device's cache, so it is made of the package's content.
    """
    from executorch.backends.apple.coreml import executorchcoreml
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.exir.backend.backend_details import PreprocessResult

    if model_type != CoreMLBackend.MODEL_TYPE.MODEL:
        raise ValueError(f"only packages are written here, not {model_type}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "lowered_module"  # its name is in the payload
        folder.mkdir()
        save_package(mlmodel, folder / PACKAGE)
        digests = [file_digest(path) for path in sorted((folder / PACKAGE).rglob("*")) if path.is_file()]
        identifier = f"executorch_{uuid.uuid5(uuid.NAMESPACE_OID, ' '.join(digests))}"
        metadata = CoreMLBackend.model_metadata_from_spec(model_spec=mlmodel.get_spec(), identifier=identifier)
        (folder / "metadata.json").write_text(
            json.dumps(
                {
                    "inputNames": metadata.inputNames,
                    "outputNames": metadata.outputNames,
                    "identifier": metadata.identifier,
                }
            )
        )
        data: bytes = executorchcoreml.flatten_directory_contents(str(folder)) or b""
    return PreprocessResult(processed_bytes=data)
