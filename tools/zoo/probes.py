"""Probing pictures, and random weights with which a network's parts all count."""

from __future__ import annotations

import torch
from torch import Tensor, nn

PLACES = ((0, 0), (0, 1), (1, 0), (1, 1))
"""The quarters of the picture at which an object is pasted: (row, column)."""


def pictures(count: int, size: int, channels: int, seed: int) -> Tensor:
    """Return (count, channels, size, size) float32 pictures in [0, 1]: smooth areas and texture."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(count, channels, size, size)
    for cells, share in ((3, 0.3), (9, 0.15), (27, 0.08), (size, 0.04)):
        coarse = torch.randn(count, channels, cells, cells, generator=generator)
        total += share * nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")
    return (0.5 + total).clamp(0, 1)


def with_object(picture: Tensor) -> Tensor:
    """Return (1 + places, channels, h, w): a picture, and copies with an object at each place."""
    size = picture.shape[-1]
    side, generator = max(size // 4, 2), torch.Generator().manual_seed(7)
    pasted = torch.rand(len(picture), side, side, generator=generator)
    found = [picture]
    for row, column in PLACES:
        top, left = (each * size // 2 + (size // 2 - side) // 2 for each in (row, column))
        copy = picture.clone()
        copy[:, top : top + side, left : left + side] = pasted
        found.append(copy)
    return torch.stack(found)


def enliven(module: nn.Module, seed: int = 0) -> None:
    """Give every parameter an influence: heads of zeros, layer scales of 1e-6, tiny weights."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.is_floating_point() or parameter.numel() < 2:
                continue
            if parameter.min() == parameter.max():
                _fill(parameter, generator)
            elif parameter.ndim > 1:
                # A deep network of weights of 0.02 gives the same scores for every picture.
                least = parameter[0].numel() ** -0.5
                parameter.mul_(max(1.0, least / float(parameter.std())))


def _fill(parameter: Tensor, generator: torch.Generator) -> None:
    """Add noise to a constant parameter; a scale near 0 gets a mean of 1."""
    fan = parameter[0].numel() if parameter.ndim > 1 else 9
    scale = parameter.ndim == 1 and 0 < abs(float(parameter.min())) < 0.5
    parameter.add_(torch.randn(parameter.shape, generator=generator) * fan**-0.5 + float(scale))


def calibrate(module: nn.Module, images: Tensor) -> None:
    """Set the running statistics of batch normalisation to those of the pictures."""
    norms = [each for each in module.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    kept = [each.momentum for each in norms]
    try:
        for each in norms:
            each.train()
            each.momentum = 1.0
        with torch.no_grad():
            if norms:
                module(images)
    finally:
        for each, momentum in zip(norms, kept, strict=True):
            each.eval()
            each.momentum = momentum
