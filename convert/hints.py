"""What a model's author can do about an operator that Qualcomm's NPU refuses, where something is known to help."""

from __future__ import annotations

from collections.abc import Mapping

_DECODE = "return what it is taken of and decode in the app: the segmentation decoders take scores"
_HINTS: Mapping[str, str] = {
    "argmax": _DECODE,
    "topk": "return the scores and pick the largest in the app",
    "sort": "return the scores and sort them in the app",
    "gather": "return the whole tensor and pick from it in the app",
    "cumsum": "multiply with a triangular matrix of ones",
    "cumprod": "take the exponential of a product with a triangular matrix of ones and the logarithm",
    "atan": "a polynomial over the range that occurs, with multiplications and additions",
    "erf": "the tanh form of GELU, if it comes from a GELU",
    "sinh": "compute it after the model, or as (exp(x) - exp(-x)) / 2",
    "fmod": "x - y * trunc(x / y)",
}


def qualcomm_hint(operator: str) -> str:
    """Return the hint for an operator, named as ATen or ExecuTorch's edge dialect write it, or an empty string."""
    name = operator.removeprefix("aten.").removeprefix("aten_").split(".", 1)[0]
    return _HINTS.get(name, "")
