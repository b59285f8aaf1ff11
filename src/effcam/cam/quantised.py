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
    return torch.quantize_per_tensor(values, output.q_scale(), output.q_zero_point(), output.dtype)
