"""Small artifacts and projects: real manifests, files without a model in them."""

from __future__ import annotations

import struct

from edge.artifact import Manifest, Needs, Source, Step, list_files, write_manifest
from edge.contract import TensorSpec
from edge.zoo import MODELS

GRADLE = """plugins {{
    id("com.android.application")
}}
android {{
    namespace = "com.example.app"
    defaultConfig {{ minSdk = {min_sdk} }}
}}
dependencies {{
    {dependencies}
}}
"""


def make_artifact(
    folder,
    model="selfie-segmentation",
    target="litert-cpu",
    *,
    precision="fp32",
    needs="TensorFlow Lite 2.14.0",
    steps=(),
    suffix=".tflite",
    **changes,
):
    """Write an artifact of a model of the zoo; `changes` replace fields of its manifest."""
    folder.mkdir(parents=True)
    (folder / f"model{suffix}").write_bytes(f"{model} {target} {precision}".encode() * 50)
    (folder / "delegation.json").write_bytes(b"{}")
    contract = MODELS[model].contract if model in MODELS else None
    known = {} if contract is None else {name: getattr(contract, name) for name in ("task", "inputs", "outputs")}
    known |= (
        {} if contract is None else {name: getattr(contract, name) for name in ("preprocess", "postprocess", "labels")}
    )
    fields = {
        "model": model,
        "task": "tensors",
        "target": target,
        "precision": precision,
        "inputs": (TensorSpec(name="x", shape=(1, 4)),),
        "outputs": (TensorSpec(name="y", shape=(1, 2)),),
        "steps": tuple(Step(tool=tool, version=version) for tool, version in steps),
        "source": Source(sha256="0" * 64),
        "needs": Needs(min_runtime=needs),
        "files": list_files(folder),
    }
    return write_manifest(folder, Manifest(**(fields | known | changes)))


def make_gradle(folder, *, min_sdk=26, dependencies="", module="app"):
    """Write a fresh Android project, as Android Studio makes one."""
    (folder / module / "src/main/java").mkdir(parents=True)
    (folder / "settings.gradle.kts").write_text(f'include(":{module}")\n')
    (folder / "build.gradle.kts").write_text('plugins { id("com.android.application") version "8.13.0" apply false }\n')
    text = GRADLE.format(min_sdk=min_sdk, dependencies=dependencies)
    (folder / module / "build.gradle.kts").write_text(text)
    return folder


def make_library(align=16384, *, bits=64, machine=183, offset=None, size=4096):
    """Return the bytes of a shared library with one loadable segment."""
    offset = 0 if offset is None else offset
    if bits == 64:
        head = b"\x7fELF\2\1\1" + bytes(9)
        head += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        head += struct.pack("<IIQQQQQQ", 1, 5, offset, offset, 0, size - offset, size - offset, align)
    else:
        head = b"\x7fELF\1\1\1" + bytes(9)
        head += struct.pack("<HHIIIIIHHHHHH", 3, machine, 1, 0, 52, 0, 0, 52, 32, 1, 0, 0, 0)
        head += struct.pack("<IIIIIIII", 1, offset, offset, 0, size - offset, size - offset, 5, align)
    return head + bytes(size - len(head))
