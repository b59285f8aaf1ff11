"""Outputs of quantised layers as floating-point numbers, and back."""

from __future__ import annotations

import torch
from torch import Tensor


def to_floats(tensor: Tensor) -> Tensor:
    """Return a layer's output without its graph, as numbers that one can compute with."""
    if tensor.is_quantized:
        return tensor.dequantize()
    # Tensors from inference mode cannot be changed in place outside of it.
    return tensor.clone() if tensor.is_inference() else tensor.detach()


def quantise_like(values: Tensor, output: Tensor) -> Tensor:
    """Return floating-point values in the format of a layer's output: quantised if that is."""
    if not output.is_quantized:
        return values
    # torch warns that making quantised tensors is deprecated, but not about copying into one.
    target = output[torch.zeros(len(values), dtype=torch.long)].contiguous()
    return target.copy_(values.contiguous())
