"""Take a factor of each input out of a product's weight again, so that the weight is ternary as it was trained.

LiteRT's converter multiplies the scale of a layer normalisation into the linear layer behind it: one operator less, and
a weight of many values.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quant.ternary import TernaryTensor

_ROUNDING = 2.0**-22  # of float32, relative


def input_factors(weight: NDArray[np.float32], tensor: TernaryTensor) -> NDArray[np.float32] | None:
    """Return the factors (K) that make a weight (N, K) of a ternary one to the rounding of float32, or None."""
    if weight.shape != tensor.shape or weight.ndim != 2:
        return None
    plain = tensor.dequantize()
    columns = np.arange(plain.shape[1])
    rows = (plain != 0).argmax(axis=0)  # a row in which the column has a weight, if it has any
    divisor = plain[rows, columns]
    factors = np.divide(weight[rows, columns], divisor, out=np.ones_like(divisor), where=divisor != 0)
    made = plain * factors
    fits = np.isfinite(factors).all() and np.allclose(made, weight, rtol=_ROUNDING, atol=0)
    return factors.astype(np.float32) if fits else None
