"""Weights by a rule, so that other implementations can be given the same ones and their answers written down."""

import torch


def fill(module):
    """Set every parameter and buffer by its name and its place, so that activations stay about 1; eval mode."""
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            continue
        places = torch.arange(tensor.numel(), dtype=torch.float64)
        waves = torch.sin(places * 0.7311 + sum(map(ord, name)) % 97).reshape(tensor.shape)
        scale = name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight"))
        inputs = tensor[0].numel() if tensor.ndim > 1 else 100
        tensor.copy_(1 + 0.3 * waves if scale else inputs**-0.5 * waves)
    return module.eval()


def picture(channels, height, width, count=1):
    """Return a picture (count, channels, height, width) of waves in −1…1."""
    places = torch.arange(count * channels * height * width, dtype=torch.float64)
    return torch.sin(places * 0.0137).reshape(count, channels, height, width).float()


def scatter(codebook):
    """Set code vectors (codes, depth) to values in −0.5…0.5 that point everywhere: those of waves lie in one plane."""
    places = torch.arange(codebook.numel(), dtype=torch.float64)
    codebook.data.copy_(((torch.sin(places * 12.9898) * 43758.5453) % 1 - 0.5).reshape(codebook.shape))
