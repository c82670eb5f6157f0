"""Write the metadata that MediaPipe Tasks asks for into a `.tflite` file, and bundle files into a `.task`.

Follows metadata_schema.fbs and image_segmenter_metadata_schema.fbs of the mediapipe package. Its own metadata
writer cannot be imported from the Linux wheel (a native module is missing), its schema bindings can.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

METADATA_NAME = "TFLITE_METADATA"
_MODEL_IDENTIFIER, _METADATA_IDENTIFIER, _SEGMENTER_IDENTIFIER = b"TFL3", b"M001", b"V001"
_MIN_PARSER_VERSION = "1.0.0"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold: equal contents give equal bytes

Activation = Literal["none", "sigmoid", "softmax"]
_ACTIVATIONS: Mapping[Activation, int] = {"none": 0, "sigmoid": 1, "softmax": 2}


@dataclass(frozen=True, slots=True)
class Normalization:
    """Fix the float input: tensor = (pixel − mean) / std with pixels from 0 to 255, one value per channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Segmenter:
    """Describe a mask output: what ImageSegmenter applies to it and what its classes are called."""

    activation: Activation
    labels: tuple[str, ...] = ()


def add_metadata(
    model: bytes, *, name: str, description: str, normalization: Normalization, segmenter: Segmenter | None = None
) -> bytes:
    """Return a `.tflite` file with the metadata that the MediaPipe task of this model reads.

    Label files are appended as a zip, as the format asks. Metadata that is already there is replaced.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    _inline_buffers(graph, model)
    tensors = graph.subgraphs[0]
    packed = _metadata(name, description, normalization, len(tensors.inputs), len(tensors.outputs), segmenter)
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = list(packed)
    entry.name, entry.buffer = METADATA_NAME, len(graph.buffers)
    graph.buffers.append(buffer)
    kept = [item for item in graph.metadata or [] if _text(item.name) != METADATA_NAME]
    graph.metadata = [*kept, entry]
    body = _finish(graph, _MODEL_IDENTIFIER, size=len(model) + len(packed) + 1024)
    if segmenter is None or not segmenter.labels:
        return body
    return _append_zip(body, {_LABELS: "\n".join(segmenter.labels).encode() + b"\n"})


def _inline_buffers(graph: Any, model: bytes) -> None:
    """Take constants that lie behind the flatbuffer, at offsets in the file, into it: its size is about to change."""
    for buffer in graph.buffers:
        if buffer.offset > 1:  # 0 and 1 mean that there is none
            buffer.data = np.frombuffer(model, np.uint8, count=buffer.size, offset=buffer.offset)
        buffer.offset = buffer.size = 0


def bundle(members: Mapping[str, bytes]) -> bytes:
    """Return a `.task` file: the members in one zip, stored and aligned so that they can be mapped into memory."""
    return _append_zip(b"", members)


_LABELS = "labels.txt"
_ALIGNMENT = 4  # MediaPipe's own bundles align their members to 4 bytes


def _append_zip(head: bytes, members: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    stream.write(head)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            info.extra = _padding(stream.seek(0, io.SEEK_END) + 30 + len(name.encode()))
            archive.writestr(info, data)
    return stream.getvalue()


def _padding(offset: int) -> bytes:
    """Return an extra field (id 0xD935, zipalign's) that moves the data to an aligned offset."""
    gap = -(offset + 4) % _ALIGNMENT
    return b"\x35\xd9" + gap.to_bytes(2, "little") + bytes(gap)


def _metadata(
    name: str, description: str, normalization: Normalization, inputs: int, outputs: int, segmenter: Segmenter | None
) -> bytes:
    from mediapipe.tasks.metadata import metadata_schema_py_generated as schema

    graph = schema.SubGraphMetadataT()
    graph.inputTensorMetadata = [_image(schema, normalization) for _ in range(inputs)]
    graph.outputTensorMetadata = [_output(schema, segmenter) for _ in range(outputs)]
    if segmenter is not None:
        graph.customMetadata = [_segmenter(schema, segmenter)]
    model = schema.ModelMetadataT()
    model.name, model.description = name, description
    model.subgraphMetadata = [graph]
    model.minParserVersion = _MIN_PARSER_VERSION
    return _finish(model, _METADATA_IDENTIFIER)


def _image(schema: Any, normalization: Normalization) -> Any:
    options = schema.NormalizationOptionsT()
    options.mean, options.std = list(normalization.mean), list(normalization.std)
    unit = schema.ProcessUnitT()
    unit.optionsType, unit.options = schema.ProcessUnitOptions.NormalizationOptions, options
    properties = schema.ImagePropertiesT()
    properties.colorSpace = schema.ColorSpaceType.RGB
    tensor = _tensor(schema, "image", schema.ContentProperties.ImageProperties, properties)
    tensor.processUnits = [unit]
    tensor.stats = schema.StatsT()
    lowest = [(0.0 - mean) / std for mean, std in zip(normalization.mean, normalization.std, strict=True)]
    highest = [(255.0 - mean) / std for mean, std in zip(normalization.mean, normalization.std, strict=True)]
    tensor.stats.min, tensor.stats.max = lowest, highest
    return tensor


def _output(schema: Any, segmenter: Segmenter | None) -> Any:
    if segmenter is None:
        return _tensor(schema, "output", schema.ContentProperties.FeatureProperties, schema.FeaturePropertiesT())
    image = schema.ImagePropertiesT()
    image.colorSpace = schema.ColorSpaceType.GRAYSCALE
    tensor = _tensor(schema, "segmentation_masks", schema.ContentProperties.ImageProperties, image)
    if segmenter.labels:
        labels = schema.AssociatedFileT()
        labels.name, labels.type = _LABELS, schema.AssociatedFileType.TENSOR_AXIS_LABELS
        labels.description = "one class name a line, in channel order"
        tensor.associatedFiles = [labels]
    return tensor


def _tensor(schema: Any, name: str, kind: int, properties: Any) -> Any:
    tensor, content = schema.TensorMetadataT(), schema.ContentT()
    content.contentPropertiesType, content.contentProperties = kind, properties
    tensor.name, tensor.content = name, content
    return tensor


def _segmenter(schema: Any, segmenter: Segmenter) -> Any:
    from mediapipe.tasks.metadata import image_segmenter_metadata_schema_py_generated as extension

    options = extension.ImageSegmenterOptionsT()
    options.activation = _ACTIVATIONS[segmenter.activation]
    options.minParserVersion = _MIN_PARSER_VERSION
    custom = schema.CustomMetadataT()
    custom.name = "SEGMENTER_METADATA"
    custom.data = list(_finish(options, _SEGMENTER_IDENTIFIER))
    return custom


def _finish(table: Any, identifier: bytes, *, size: int = 1024) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(size)
    builder.Finish(table.Pack(builder), identifier)
    return bytes(builder.Output())


def _text(value: str | bytes | Sequence[int]) -> str:
    return value if isinstance(value, str) else bytes(value).decode()
