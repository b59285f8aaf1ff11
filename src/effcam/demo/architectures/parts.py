"""What several architectures are made of."""

from __future__ import annotations

from torch import nn


def conv_norm(
    inside: int, out: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Return a convolution without a bias that keeps the size at stride 1, and a batch norm."""
    padding = kernel // 2
    conv = nn.Conv2d(inside, out, kernel, stride, padding, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(out)]
