"""Fold batch normalisations into the convolutions before them, which makes passes cheaper.

In evaluation mode a batch normalisation multiplies each channel and adds to it. So does a
convolution, with other weights: what the two return together, it can return alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from functools import partial
from typing import TypeGuard

import torch
from torch import Tensor, nn

from effcam.models.tracing.graph import Key, key_of, readers
from effcam.models.tracing.logits import tensors
from effcam.models.tracing.map_layout import Grid
from effcam.models.tracing.plain_pass import plain_pass
from effcam.models.tracing.rng import IsolatedRandomness
from effcam.models.tracing.rounding import are_close
from effcam.models.tracing.runners import dtype_of, run_on_pictures
from effcam.models.tracing.trace import BATCH, LayerCall, Trace, trace

EQUAL = 1e-3
"""The largest change of an output, as a share of its largest value: rounding, which networks of
random weights amplify."""
PRECISE = (torch.float32, torch.float64)
"""The types of weights that are folded: others would be rounded once more."""
SAME_PADDING = ("timm.layers.conv2d_same", "Conv2dSame")
WITH_ACTIVATION = ("timm.layers.norm_act", "BatchNormAct2d")
"""timm's convolution that pads its input, and its batch normalisation with an activation."""


def fold_norms(module: nn.Module, size: Grid, channels: int, kept: Collection[str]) -> int:
    """Fold each batch normalisation that alone reads a convolution's output, in place.

    A convolution and a batch normalisation are left as they are if either runs more than once, has
    hooks or computes its weights, or if something else reads what is between them. All names of
    modules stay; a folded batch normalisation returns its input, and the convolution before it what
    the normalisation returned. If anything that the network returns for two pictures changes, all
    is undone: it may read a convolution's output or weights in ways that the trace does not show.

    Args:
        module: The network, in evaluation mode; nobody else may use it.
        size: Height and width of its input, px.
        channels: The number of channels of its input.
        kept: The names of modules whose outputs must stay.

    Returns:
        The number of batch normalisations folded.

    Raises:
        ModelError: If the module does not run.
    """
    if not any(map(is_foldable_norm, module.modules())):
        return 0
    pairs = list(_pairs(trace(module, size, channels, graph=True), kept))
    if not pairs:
        return 0
    before = _outputs(module, size, channels)
    kept_weights = [(conv, conv.weight, conv.bias) for conv, _ in pairs]
    for conv, norm in pairs:
        _fold(conv, norm)
    # An object whose tensors are not found could hold anything.
    if before and are_close(_outputs(module, size, channels), before, EQUAL):
        return len(pairs)
    for (conv, weight, bias), (_, norm) in zip(kept_weights, pairs, strict=True):
        conv.weight, conv.bias = weight, bias
        del norm.forward
    return 0


def _outputs(module: nn.Module, size: Grid, channels: int) -> list[Tensor]:
    """Return all tensors that a network returns for two pictures."""
    images = torch.zeros(BATCH, channels, *size, device="meta", dtype=dtype_of(module))
    with torch.inference_mode(False), torch.no_grad(), plain_pass(), IsolatedRandomness():
        return [each.detach().clone() for each in tensors(run_on_pictures(module, images))]


def _pairs(record: Trace, kept: Collection[str]) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Yield each convolution with the batch normalisation that alone reads its output."""
    runs = Counter(call.module for call in record.calls)
    reading = readers(key_of(each) for each in tensors(record.output))
    fixed = {id(call.map) for call in record.calls if call.name in kept}
    made = {id(call.map): call for call in record.calls if runs[call.module] == 1}
    for call in record.calls:
        norm, before = call.module, made.get(id(call.inputs[0])) if call.inputs else None
        if before is None or runs[norm] > 1 or id(before.map) in fixed:
            continue
        conv = before.module
        if _is_foldable_conv(conv) and is_foldable_norm(norm) and _is_read_alone(before, reading):
            yield conv, norm


def _is_read_alone(conv: LayerCall, reading: dict[Key, list[str]]) -> bool:
    """Return whether a convolution's output is read once, by a batch normalisation."""
    found = [] if conv.key is None else reading.get(conv.key, [])
    return len(found) == 1 and "BatchNorm" in found[0]


def _is_foldable_conv(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Return whether a module is a convolution by the weights that it holds."""
    return (
        isinstance(module, nn.Conv2d)
        and (type(module).forward is nn.Conv2d.forward or _kind(module) == SAME_PADDING)
        and type(module)._conv_forward is nn.Conv2d._conv_forward
        and module.weight.dtype in PRECISE
        and not _is_changed(module)
    )


def is_foldable_norm(module: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    """Return whether a module is a batch normalisation by the statistics that it holds."""
    return (
        isinstance(module, nn.BatchNorm2d)
        and (type(module).forward is nn.BatchNorm2d.forward or _kind(module) == WITH_ACTIVATION)
        and module.running_mean is not None
        and module.running_var is not None
        and not module.training
        and not _is_changed(module)
    )


def _kind(module: nn.Module) -> tuple[str, str]:
    return type(module).__module__, type(module).__name__


def _is_changed(module: nn.Module) -> bool:
    """Return whether hooks, parametrisations or a forward pass of its own change a module."""
    hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks
    return bool(hooks) or hasattr(module, "parametrizations") or "forward" in vars(module)


@torch.no_grad()
def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Give a convolution the weights of both, and let the normalisation return its input."""
    scale, shift = _affine(norm)
    if conv.bias is not None:
        shift = shift + conv.bias.cpu().double() * scale
    weight = conv.weight.cpu().double() * scale[:, None, None, None]
    layout = _layout(conv.weight)
    # New parameters: the old ones may be those of another module, too.
    conv.weight, conv.bias = (
        nn.Parameter(each.to(conv.weight).contiguous(memory_format=kind), requires_grad=False)
        for each, kind in ((weight, layout), (shift, torch.contiguous_format))
    )
    norm.forward = partial(_activate, norm)  # type: ignore[method-assign]


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return what a batch normalisation multiplies each channel by, and adds to it.

    It is float64 and on the CPU: not all devices have that type.
    """
    mean, variance = (
        norm.get_buffer(name).cpu().double() for name in ("running_mean", "running_var")
    )
    scale = (variance + norm.eps).rsqrt()
    weight, bias = norm._parameters["weight"], norm._parameters["bias"]
    if weight is not None:
        scale = scale * weight.cpu().double()
    shift = -mean * scale
    return scale, shift if bias is None else shift + bias.cpu().double()


def _layout(weight: Tensor) -> torch.memory_format:
    last = weight.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last and not weight.is_contiguous() else torch.contiguous_format


def _activate(norm: nn.Module, features: Tensor) -> Tensor:
    """Return what a batch normalisation does after it has normalised: an activation, or nothing."""
    for name in ("drop", "act"):
        part = getattr(norm, name, None)
        if isinstance(part, nn.Module):
            features = part(features)
    return features
