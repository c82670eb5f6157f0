"""Write the typed binding of one artifact in Kotlin or Swift."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from edge.artifact import Artifact, Manifest
from edge.contract import Contract, TensorSpec
from edge.embed.decoders import Decoder, decoder_for, first_class
from edge.embed.names import Language, comment, identifiers, quoted
from edge.embed.project import Project
from edge.errors import InputError

_MOST_LABELS = 1000  # of an enum: the JVM takes 64 KB of code for one class's constants
_MOST_NUMBERS = 1000  # of one setting, for the same reason
_MEMBERS = ("values", "value", "toMap", "of", "all", "init", "shape", "dtype", "layout", "spec", "rawValue", "allCases")
_TEMPLATES: dict[Language, str] = {"kotlin": "binding.kt.j2", "swift": "binding.swift.j2"}
# No type of a binding is named like one that it uses.
_USED = """
    Any Array Bool Boolean Character Colour Contract ContractError DType Detections DetokenizationTask Double Enum Error
    Exception Float FloatArray Frame Function Input Inputs Int IntArray Label Layout List Long Map Nothing Number
    Optional Output Outputs Panoptic PanopticTask Pose PoseDetection PoseLandmarks Postprocess Preprocess Preprocessor
    Picture Region Resize Result Segmentation SegmentationTask Self Set Setting Short SizeHw Source String TensorSpec
    Turn Type Unit Void
"""
RESERVED = tuple(_USED.split())


@dataclass(frozen=True, slots=True)
class _Tensor:
    member: str
    spec: TensorSpec
    elements: int


@dataclass(frozen=True, slots=True)
class _Label:
    entry: str
    text: str
    number: int


def render(artifact: Artifact, name: str, type_name: str, sha256: str, project: Project, package: str) -> str:
    """Return a binding's source: the same for the same artifact, names and package, wherever the folders are."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    language = language_of(project)
    templates = Environment(  # no escaping: what is written is code, and every text in it goes through `quoted`
        loader=PackageLoader("edge.embed", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {
        "quoted": lambda text: quoted(text, language),
        "comment": comment,
        "number": lambda value: repr(float(value)),
    }
    return templates.get_template(_TEMPLATES[language]).render(
        _view(artifact.manifest, name, type_name, language),
        command=_command(artifact, project, package),
        package=package,
        sha256=sha256,
    )


def language_of(project: Project) -> Language:
    """Return the language of a system's bindings."""
    return "kotlin" if project.system == "android" else "swift"


def call(manifest: Manifest, type_name: str, project: Project) -> str:
    """Return the one line that runs a model."""
    decoder = _usable(manifest.contract)
    word = decoder.word if decoder else "outputs"
    region = bool(decoder and decoder.wants_region)
    if language_of(project) == "kotlin":
        if not _is_image(manifest.contract):
            return f"val outputs = {type_name}().run(engine::run)"
        return f"val {word} = {type_name}().predict(picture, {'region, ' * region}engine::run)"
    if not _is_image(manifest.contract):
        return f"let outputs = try {type_name}().run(engine.run)"
    return f"let {word} = try {type_name}().predict(picture, {'region: region, ' * region}engine: engine.run)"


def _view(manifest: Manifest, name: str, type_name: str, language: Language) -> dict[str, Any]:
    contract = manifest.contract
    _check_settings(contract)
    decoder = _usable(contract)
    return {
        "manifest": manifest,
        "contract": contract,
        "name": name,
        "type": type_name,
        "inputs": _tensors(contract.inputs, language, "input"),
        "outputs": _tensors(contract.outputs, language, "output"),
        "labels": _labels(contract, language),
        "label_lists": [contract.labels[at : at + 500] for at in range(0, len(contract.labels), 500)],
        "image": _is_image(contract),
        "decoder": decoder,
        "pixels": _pixels(contract, decoder),
        "settings": sorted(contract.postprocess.settings.items()) if contract.postprocess else [],
    }


def _tensors(specs: tuple[TensorSpec, ...], language: Language, fallback: str) -> list[_Tensor]:
    members = identifiers((spec.name for spec in specs), language, "member", fallback, _MEMBERS)
    return [_Tensor(member, spec, math.prod(spec.shape)) for member, spec in zip(members, specs, strict=True)]


def _labels(contract: Contract, language: Language) -> list[_Label]:
    if len(contract.labels) > _MOST_LABELS:
        return []
    style, taken = (
        ("ENTRY", ()) if language == "kotlin" else ("member", ("allCases", "text", "rawValue", "init", "hashValue"))
    )
    entries = identifiers(contract.labels, language, style, "label", taken)  # type: ignore[arg-type]
    first = first_class(contract)
    return [
        _Label(entry, text, first + i) for i, (entry, text) in enumerate(zip(entries, contract.labels, strict=True))
    ]


def _usable(contract: Contract) -> Decoder | None:
    """Return the task's decoder if what it needs is there: a picture that went in, or one that comes out."""
    decoder = decoder_for(contract)
    return decoder if decoder and (_is_image(contract) or _pixels(contract, decoder)) else None


def _is_image(contract: Contract) -> bool:
    """Say whether the core's preprocessing fills the first and only input."""
    return contract.preprocess is not None and len(contract.inputs) == 1 and bool(contract.inputs[0].layout)


def _pixels(contract: Contract, decoder: Decoder | None) -> int:
    """Return the number of pixels of a picture that a decoder makes, 0 for other tasks."""
    if decoder is None or decoder.result or not contract.outputs or not contract.outputs[0].layout:
        return 0
    return math.prod(contract.outputs[0].size_hw)


def _check_settings(contract: Contract) -> None:
    for name, value in contract.postprocess.settings.items() if contract.postprocess else ():
        if isinstance(value, list) and len(value) > _MOST_NUMBERS:
            raise InputError(
                f"postprocess.settings.{name} has {len(value)} numbers; a binding takes {_MOST_NUMBERS}: shorten it"
            )


def _command(artifact: Artifact, project: Project, package: str) -> str:
    words = ["edge embed", artifact.root.resolve().name, "--app", project.system, "--into ."]
    return comment(" ".join([*words, *(["--package", package] if package else [])]))
