"""How to run a network for a trace: on meta tensors, or on pictures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import chain
from typing import TypeAlias

import torch
from torch import Tensor, nn

from effcam.models.tracing.map_layout import Grid
from effcam.models.tracing.plain_pass import DYNAMO
from effcam.models.tracing.probe import probe_standardised

Runner: TypeAlias = Callable[[nn.Module, Tensor], object]
"""Runs a module on images like the meta tensor that it is given, and returns the output."""
FEW_PRODUCTS = 2e10
"""The number of products in a pass below which it is quicker than to import torch's compiler.

That takes seconds, and the first pass of a process on meta tensors needs it.
"""


def runners(products: float) -> tuple[Runner, Runner]:
    """Return the ways to run a network, the quicker one first; either shows the same shapes.

    Meta tensors have shapes but no numbers, so that a pass takes a fraction of a second for a
    network of any size. A module may fail on them alone: because it reads numbers, or keeps plain
    tensors outside its buffers.

    Args:
        products: The number of products in its pass of an image, or a bound of it.
    """
    if products <= FEW_PRODUCTS and DYNAMO not in sys.modules:
        return run_on_pictures, run_on_meta
    return run_on_meta, run_on_pictures


def most_products(module: nn.Module, size: Grid) -> int:
    """Return a bound of the products of a network's pass: each weight once for every pixel.

    Args:
        module: Any module that takes (batch, channels, height, width) images.
        size: Height and width of the input in px.
    """
    return size[0] * size[1] * sum(each.numel() for each in module.parameters())


def run_on_meta(module: nn.Module, images: Tensor) -> object:
    """Return the output for images on the meta device; the module's tensors stay unchanged."""
    state = {
        name: tensor.to("meta")
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
    }
    return torch.func.functional_call(module, state, (_as_input(images),))


def run_on_pictures(module: nn.Module, images: Tensor) -> object:
    """Return the output for probing pictures of the same shape on the module's device."""
    count, channels, height, width = images.shape
    pictures = probe_standardised((height, width), channels, count)
    return module(_as_input(pictures.to(device_of(module), images.dtype)))


def _as_input(images: Tensor) -> Tensor:
    """Return images that begin a graph, if one is recorded; no leaf may change in place."""
    return images.requires_grad_().clone() if torch.is_grad_enabled() else images


def dtype_of(module: nn.Module) -> torch.dtype:
    """Return the floating-point type of the module's first such tensor, else float32."""
    own = chain(module.parameters(), module.buffers())
    return next((each.dtype for each in own if each.is_floating_point()), torch.float32)


def device_of(module: nn.Module) -> torch.device:
    """Return the device of the module's first tensor, else the CPU."""
    own = chain(module.parameters(), module.buffers())
    return next((each.device for each in own), torch.device("cpu"))
