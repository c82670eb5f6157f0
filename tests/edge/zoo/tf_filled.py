"""Weights of TensorFlow variables by a rule, in numpy: where the original runs and where ours does."""

import numpy as np

SHOWN = 8  # values of an output


def values(name, shape):
    """Return a variable's values by its name and place, so that activations stay about 1."""
    count = int(np.prod(shape))
    wave = np.sin(np.arange(count) * 0.7311 + sum(map(ord, name)) % 97).reshape(shape)
    if name.endswith(("gamma", "moving_variance")):
        return (1 + 0.3 * wave).astype(np.float32)
    if len(shape) < 2:
        return (0.1 * wave).astype(np.float32)
    return (inputs(name, shape) ** -0.5 * wave).astype(np.float32)


def inputs(name, shape):
    """Return how many inputs make one output."""
    if name.endswith("relative_position_embedding"):
        return 1
    if name.endswith("depthwise_kernel"):
        return shape[0] * shape[1]
    if "/attention/" in name:  # (channels, heads, depth), and back
        return shape[0] * shape[1] if name.endswith("/o/weight") else shape[0]
    return int(np.prod(shape[:-1]))


def waves(*shape):
    """Return a picture of waves in −1…1."""
    return np.sin(np.arange(int(np.prod(shape))) * 0.0137).reshape(shape).astype(np.float32)


def summary(array):
    """Return mean, spread and some values of an output (N, C, H, W)."""
    flat = array.astype(np.float64).ravel()
    picked = flat[:: max(1, flat.size // SHOWN)][:SHOWN]
    return {"mean": float(flat.mean()), "spread": float(flat.std()), "values": [float(value) for value in picked]}


def differences(array, expected):
    """Return how far an output is from a recorded summary, as shares of the recorded spread."""
    found = summary(array)
    spread = expected["spread"]
    pairs = zip(
        [found["mean"], found["spread"], *found["values"]], [expected["mean"], spread, *expected["values"]], strict=True
    )
    return [abs(mine - theirs) / spread for mine, theirs in pairs]
