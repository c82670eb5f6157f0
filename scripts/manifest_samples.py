"""Manifests with every part that one can have, for the golden vectors; nothing in them was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from convert.targets import TARGETS, families
from edge.artifact import (
    Fallback,
    FileEntry,
    Manifest,
    Needs,
    OutputParity,
    Parity,
    Source,
    Step,
    TaskParity,
)
from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.delegation import Delegation, Rejected
from edge.zoo import MODELS

DIGEST = "0123456789abcdef" * 4
POLICIES = ("only-on-device", "prefer-on-device", "prefer-server", "only-server")
MODES = ("native", "emulated", "reference", "unverified")
FILES = ("model.pte", "model.tflite", "model.onnx", "model.mlpackage/Data/com.apple.CoreML/weights/weight.bin")


def of(model: str, contract: Contract, target: str, index: int) -> Manifest:
    """Return a manifest with every part that an artifact of the model and the target can have."""
    spec = TARGETS[target] if target != "server" else None
    outputs = tuple(
        OutputParity(
            name=output.name, max_abs=1.25e-6 * (index + 1), psnr_db=101.5 + index, cosine=0.9999999, scale=3.5,
            limit=1e-3, limit_psnr_db=40.0 if index % 2 else None,
        )
        for output in contract.outputs
    )  # fmt: skip
    mode = MODES[index % 4]
    return Manifest(
        model=model,
        task=contract.task,
        target=target,
        precision=spec.precisions[index % len(spec.precisions)] if spec else "fp32",
        files=tuple(
            FileEntry(name=name, bytes=1000 * index + n, sha256=DIGEST[n:] + DIGEST[:n])
            for n, name in enumerate((FILES[index % len(FILES)], "delegation.json"))
        ),
        inputs=contract.inputs,
        outputs=contract.outputs,
        steps=(
            Step(tool="torch.export", version="2.13.0"),
            Step(tool="compile", version="1.0", options={"chip": "SM8650", "opset": 20, "scale": 0.5, "fold": True}),
        ),
        source=Source(sha256=DIGEST, licence="Apache-2.0", origin="wheel 1.2.2: model.tflite"),
        needs=Needs(min_runtime="ONNX Runtime 1.18", ram_bytes=5_000_000 * index),
        preprocess=contract.preprocess,
        postprocess=contract.postprocess,
        labels=contract.labels,
        parity=Parity(
            passed=mode != "unverified", mode=mode, inputs="real: 3", outputs=outputs,
            task=TaskParity(metric="OKS", value=0.999, limit=0.95) if index % 3 else None,
            reason="no device here" if mode == "unverified" else "",
        ),
        delegation=Delegation(
            ops=120, by_unit={"npu": 118, "cpu": 2}, macs=2**40 + 1, macs_by_unit={"npu": 2**40, "cpu": 1},
            by_backend={"QnnBackend": 118, "portable": 2},
            rejected=(Rejected(op="aten.sort", count=2, reason="no such operator", hint="sort on the processor"),),
        ),
        estimates={"cycles": 1234567.0, "milliseconds": 0.75},
        signature="15c68c5e890957fd5239177b8a1444d154375985",
        fallback=Fallback(policy=POLICIES[index % 4], endpoint="https://edge.example:8443" if index % 4 else ""),
    )  # fmt: skip


def real() -> Iterator[tuple[str, Manifest]]:
    """Yield every model and every target family at least once, together where they can be."""
    models = list(MODELS.values())
    targets = [*(members[-1].id for members in families().values()), "server"]
    for index in range(max(len(models), len(targets))):
        model, target = models[index % len(models)], targets[index % len(targets)]
        yield f"{model.name}/{target}", of(model.name, model.contract, target, index)


def least() -> Manifest:
    """Return a manifest of nothing but what has to be there."""
    return Manifest(
        model="m", task="tensors", target="onnx-cpu", precision="fp32", files=(),
        inputs=(TensorSpec(name="x", shape=(1, 2)),), outputs=(), steps=(), source=Source(sha256=""),
        needs=Needs(min_runtime=""),
    )  # fmt: skip


def full() -> dict[str, Any]:
    """Return a manifest with every part, as plain values to be spoilt."""
    contract = Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, 8, 6), layout="NCHW"),),
        outputs=(TensorSpec(name="mask", shape=(1, 8, 6, 1), dtype="uint8", layout="NHWC"),),
        task="segmentation",
        preprocess=Preprocess(size=(8, 6), resize="letterbox", range=(-1.0, 1.0), mean=(0.4, 0.5, 0.6)),
        postprocess=Postprocess(decoder="threshold", settings={"threshold": 0.5, "n": 3, "of": "mask", "s": [8, 16.5]}),
        labels=("background", "Fußgänger 🚶"),
    )
    plain: dict[str, Any] = msgspec.to_builtins(of("m", contract, "onnx-cpu", 1))
    return plain
