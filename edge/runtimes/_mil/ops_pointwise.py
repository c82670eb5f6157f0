"""Element by element: arithmetic, comparison, logic and activations."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from edge.runtimes._mil.operators import UnsupportedForm, op
from edge.runtimes._mil.values import STORAGE

_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "real_div": torch.div, "pow": torch.pow,
    "maximum": torch.maximum, "minimum": torch.minimum, "floor_div": torch.floor_divide, "mod": torch.remainder,
    "equal": torch.eq, "not_equal": torch.ne, "less": torch.lt, "less_equal": torch.le, "greater": torch.gt,
    "greater_equal": torch.ge, "logical_and": torch.logical_and, "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
}  # fmt: skip

_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs, "exp": torch.exp, "exp2": torch.exp2, "sqrt": torch.sqrt, "square": torch.square,
    "erf": torch.erf, "sign": torch.sign, "floor": torch.floor, "ceil": torch.ceil, "round": torch.round,
    "sin": torch.sin, "cos": torch.cos, "tan": torch.tan, "asin": torch.asin, "acos": torch.acos, "atan": torch.atan,
    "sinh": torch.sinh, "cosh": torch.cosh, "tanh": torch.tanh, "atanh": torch.atanh, "logical_not": torch.logical_not,
    "relu": torch.relu, "relu6": F.relu6, "sigmoid": torch.sigmoid, "silu": F.silu, "softsign": F.softsign,
    "identity": torch.clone,
}  # fmt: skip


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, y: function(x, y)


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: function(x)


for _name, _two in _BINARY.items():
    op(_name)(_binary(_two))
for _name, _one in _UNARY.items():
    op(_name)(_unary(_one))


@op("cast", widen=False)
def cast(x: Tensor, dtype: str) -> Tensor:
    """Convert elements; floats are truncated toward zero when they become integers."""
    if dtype not in STORAGE:
        raise UnsupportedForm(f"cast to {dtype!r}")
    return x.to(STORAGE[dtype])


@op("select")
def select(cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Take `a` where `cond`, else `b`."""
    return torch.where(cond, a, b)


@op("clip")
def clip(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """min(max(x, alpha), beta)."""
    return x.clamp(float(alpha), float(beta))


@op("threshold")
def threshold(x: Tensor, alpha: Tensor) -> Tensor:
    """max(x, alpha)."""
    return torch.maximum(x, alpha)


@op("thresholded_relu")
def thresholded_relu(x: Tensor, alpha: Tensor) -> Tensor:
    """x where x ≥ alpha, else 0."""
    return torch.where(x >= alpha, x, torch.zeros_like(x))


@op("log")
def log(x: Tensor, epsilon: Tensor | None = None) -> Tensor:
    """log(x + epsilon)."""
    return torch.log(x + _epsilon(epsilon, 1e-45))


@op("rsqrt")
def rsqrt(x: Tensor, epsilon: Tensor | None = None) -> Tensor:
    """1 / sqrt(x + epsilon)."""
    return torch.rsqrt(x + _epsilon(epsilon, 1e-12))


@op("inverse")
def inverse(x: Tensor, epsilon: Tensor | None = None) -> Tensor:
    """1 / (x + epsilon)."""
    return torch.reciprocal(x + _epsilon(epsilon, 1e-4))


def _epsilon(value: Tensor | None, default: float) -> float:
    return default if value is None else float(value)


@op("leaky_relu")
def leaky_relu(x: Tensor, alpha: Tensor) -> Tensor:
    """x where x ≥ 0, else alpha · x."""
    return torch.where(x >= 0, x, x * alpha)


@op("prelu")
def prelu(x: Tensor, alpha: Tensor) -> Tensor:
    """Leaky ReLU with one slope per channel (axis 1)."""
    return torch.where(x >= 0, x, x * _channels(alpha, x))


def _channels(vector: Tensor, x: Tensor) -> Tensor:
    return vector.reshape(-1, *[1] * (x.ndim - 2))


@op("clamped_relu")
def clamped_relu(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """min(beta, leaky_relu(x, alpha))."""
    return torch.minimum(beta, torch.where(x >= 0, x, x * alpha))


@op("elu")
def elu(x: Tensor, alpha: Tensor) -> Tensor:
    """x where x ≥ 0, else alpha · (exp(x) − 1)."""
    return torch.where(x >= 0, x, alpha * torch.expm1(x))


@op("gelu")
def gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    """GELU, exact or by one of its two approximations."""
    if mode == "EXACT":
        return F.gelu(x)
    if mode == "TANH_APPROXIMATION":
        return F.gelu(x, approximate="tanh")
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    raise UnsupportedForm(f"mode {mode!r}")


@op("linear_activation")
def linear_activation(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """alpha · x + beta."""
    return alpha * x + beta


@op("scaled_tanh")
def scaled_tanh(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """alpha · tanh(beta · x)."""
    return alpha * torch.tanh(beta * x)


@op("sigmoid_hard")
def sigmoid_hard(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """min(max(alpha · x + beta, 0), 1)."""
    return (alpha * x + beta).clamp(0, 1)


@op("softplus")
def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x))."""
    return torch.logaddexp(x, torch.zeros_like(x))


@op("softplus_parametric")
def softplus_parametric(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """alpha · log(1 + exp(beta · x)), one alpha and beta per channel (axis 1)."""
    inner = _channels(beta, x) * x
    return _channels(alpha, x) * torch.logaddexp(inner, torch.zeros_like(inner))


@op("softmax")
def softmax(x: Tensor, axis: Tensor | None = None) -> Tensor:
    """exp(x) / Σ exp(x) along one axis."""
    return torch.softmax(x, -1 if axis is None else int(axis))
