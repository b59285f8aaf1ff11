"""Attention's weights and the gradients with respect to them, in one order of dimensions."""

from __future__ import annotations

import torch
from torch import Tensor

from effcam.cam.attention.layout import Tokens
from effcam.cam.attention.recording import Attention
from effcam.cam.attention.token_map import arrange


def weights_of(attention: Attention, tokens: Tokens, batch: int) -> Tensor:
    """Return the (B, windows, heads, queries, keys) float32 weights of the values."""
    matrix = attention.matrix().detach()
    matrix = matrix.expand(*attention.output.shape[:-2], *matrix.shape[-2:])
    return arrange(matrix, batch, tokens.windows)


def weight_gradients(gradient: Tensor, attention: Attention, tokens: Tokens, batch: int) -> Tensor:
    """Return the (B, windows, heads, queries, keys) float32 gradients at the weights.

    The output is the weights times the values, so no graph of the weights is needed.

    Args:
        gradient: The gradients at the output, of all its queries or of some.
        attention: The attention.
        tokens: Its tokens.
        batch: The number of images.
    """
    value = arrange(attention.value.detach(), batch, tokens.windows)
    return arrange(gradient, batch, tokens.windows) @ value.transpose(-1, -2)


def mean_positive(gradients: Tensor, queries: int) -> Tensor:
    """Return (B, windows, keys): the positive gradients' mean over heads and queries.

    Args:
        gradients: (B, windows, heads, n, keys), of those queries whose gradient is not 0.
        queries: The number of all queries.
    """
    return gradients.clamp(min=0).sum(3).mean(2) / queries


def nonzero_tokens(gradient: Tensor) -> Tensor:
    """Return the indices of the tokens of (B, N, C) gradients that are not 0 in all images."""
    return torch.nonzero(gradient.abs().sum((0, 2)), as_tuple=True)[0]
