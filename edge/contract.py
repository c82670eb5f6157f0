"""What goes into a model and what comes out: the part of a model that every runtime and app shares."""

from __future__ import annotations

from typing import Literal

import msgspec

from edge.errors import ContractError

DType = Literal["float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]
Layout = Literal["NCHW", "NHWC", ""]
Resize = Literal["letterbox", "stretch", "corner"]


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Describe one tensor; `layout` is empty where the axes are not an image's."""

    name: str
    shape: tuple[int, ...]
    dtype: DType = "float32"
    layout: Layout = ""

    def __post_init__(self) -> None:
        if not self.name:
            raise ContractError("a tensor needs a name; write it as name=1x3x256x256")
        if any(size < 1 for size in self.shape):
            raise ContractError(
                f"{self.name}: shape {list(self.shape)} has a size below 1; every size is fixed and positive"
            )
        if any(size >= 2**31 for size in self.shape):
            raise ContractError(f"{self.name}: shape {list(self.shape)} has a size that no 32-bit number holds")
        if self.layout and len(self.shape) != 4:
            raise ContractError(
                f"{self.name}: layout {self.layout} needs 4 axes, shape {list(self.shape)} has {len(self.shape)}"
            )

    @property
    def size_hw(self) -> tuple[int, int]:
        """Return (height, width) in pixels of an image tensor."""
        if self.layout == "NCHW":
            return self.shape[2], self.shape[3]
        if self.layout == "NHWC":
            return self.shape[1], self.shape[2]
        raise ContractError(f"{self.name}: a tensor of shape {list(self.shape)} has no image layout")


class Preprocess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Turn an 8-bit picture into the first input.

    value = (pixel / 255 · (range[1] − range[0]) + range[0] − mean) / std, per channel in `colour` order.
    `stretch` fills the input; `letterbox` puts the whole picture into its middle, between black bars; `corner` puts it
    at the upper left, beside grey (128).
    """

    size: tuple[int, int]  # (height, width) in pixels
    resize: Resize = "stretch"
    colour: Literal["RGB", "BGR"] = "RGB"
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if not all(1 <= side < 2**31 for side in self.size):
            raise ContractError(f"preprocess.size {list(self.size)} has a side below 1 pixel or above 32 bits")
        if any(value == 0 for value in self.std):
            raise ContractError(f"preprocess.std {list(self.std)} has a zero; every channel is divided by it")


class Postprocess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Name the decoder that turns outputs into a result, and its settings."""

    decoder: str  # a decoder's name within the contract's task
    settings: dict[str, float | int | str | list[float]] = {}


class Contract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fix names, shapes, dtypes, preprocessing, decoding and task of a model."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...] = ()  # empty: taken from the module's outputs when it is exported
    task: str = "tensors"
    preprocess: Preprocess | None = None
    postprocess: Postprocess | None = None
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.inputs:
            raise ContractError("a contract needs at least one input, for example image=1x3x256x256")
        names = [spec.name for spec in (*self.inputs, *self.outputs)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ContractError(f"tensor names must differ, used twice: {', '.join(twice)}")
        if self.preprocess and self.inputs[0].layout and self.inputs[0].size_hw != self.preprocess.size:
            raise ContractError(
                f"preprocess.size {list(self.preprocess.size)} differs from {self.inputs[0].name}'s "
                f"{list(self.inputs[0].size_hw)} (height, width)"
            )


def image_contract(contract: Contract) -> Contract:
    """Return the contract with preprocessing; without any stated, pictures are stretched to [0, 1] RGB."""
    if contract.preprocess is not None:
        return contract
    return msgspec.structs.replace(contract, preprocess=Preprocess(size=contract.inputs[0].size_hw))


def takes_image(contract: Contract) -> bool:
    """Say whether the model's one input is one colour picture."""
    spec = contract.inputs[0]
    pictures = {"NCHW": (1, 3), "NHWC": (1, 3), "": None}[spec.layout]
    if pictures is None or len(contract.inputs) != 1:
        return False
    return (spec.shape[0], spec.shape[1 if spec.layout == "NCHW" else 3]) == pictures


def parse_tensor(text: str) -> TensorSpec:
    """Read `name=1x3x256x256[:dtype]`; 4 axes with 3 or 1 channels second or last are taken as an image.

    Raises ContractError for anything else.
    """
    name, _, rest = text.partition("=")
    sizes, _, dtype = rest.partition(":")
    try:
        shape = tuple(int(size) for size in sizes.split("x"))
    except ValueError:
        raise ContractError(f"input {text!r} is not of the form name=1x3x256x256[:dtype]") from None
    layout = ""
    if len(shape) == 4:
        layout = "NCHW" if shape[1] in (1, 3) else "NHWC" if shape[3] in (1, 3) else ""
    try:
        return msgspec.convert(
            {"name": name, "shape": shape, "dtype": dtype or "float32", "layout": layout}, TensorSpec
        )
    except msgspec.ValidationError as error:
        raise ContractError(f"input {text!r}: {error}") from None
