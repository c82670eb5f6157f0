"""Multiply-accumulates of a network, counted without memory for weights or values."""

import torch
from torch.utils.flop_counter import FlopCounterMode


def macs(network, *inputs):
    """Return the multiply-accumulates of convolutions and matrix products; `network` and `inputs` are on "meta"."""
    with FlopCounterMode(display=False) as counter:
        network(*inputs)
    assert counter.get_total_flops() % 2 == 0
    return counter.get_total_flops() // 2


def blank(*shape):
    return torch.zeros(shape, device="meta")
