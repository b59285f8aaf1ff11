"""FullGrad: gradients at the input and at every bias of a network.

grad-cam's class enlarges each channel of each layer to the input's size, some gigabytes for an
image, and pairs biases with gradients by their order, which is that of the network's parts only
where all of them run once, in the order in which they are listed. Here each layer's gradients meet
its own biases, and are added before they are enlarged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from effcam.cam.methods.formulas import smooth
from effcam.cam.methods.input_cells import grid_of, pool_mean
from effcam.cam.methods.layer_maps import gradients_of
from effcam.cam.methods.subject import MethodMap, Subject
from effcam.errors import ModelError

SMALLEST = 1e-7
"""What grad-cam adds to a channel's range before it divides by it."""
FEWEST = 0.1
"""The least share of a network's layers with biases that must be read: of a transformer, whose
biases are in linear layers, little would be in the map."""


def fullgrad(subject: Subject) -> MethodMap:
    """Srinivas and Fleuret 2019, arXiv:1905.00780, in grad-cam's form.

    The map is the sum over channels of the magnitude of input times gradient, and of that of bias
    times gradient at every convolution and batch normalisation, each channel scaled to [0, 1]. A
    batch normalisation has its implicit bias, with its running mean.

    Raises:
        LayerError: If no gradient gets to the target layer.
        ModelError: If the network has too few biases, or passes no gradients to its input.
        TargetError: If the score is computed by steps without a derivative.
    """
    gradients_of(subject)  # it names what is wrong, if no gradient gets through the head
    images = subject.images.detach().clone().requires_grad_()
    scale = subject.cam.gradient_scale
    found = _Found(scale)
    with _recording(subject.model.module, found):
        logits = subject.cam.run(images)
        total = subject.cam.total(subject.score(logits))
        gradient = None
        if total.requires_grad:
            (gradient,) = torch.autograd.grad(total, images, allow_unused=True)
    if gradient is None:
        raise ModelError(
            "fullgrad needs gradients at the network's input, and none gets there: a part of it "
            "is quantised, or detaches them. Methods of the target layer need them only there"
        )
    biased = sum(
        isinstance(getattr(e, "bias", None), Tensor) for e in subject.model.module.modules()
    )
    read = len(found.layers)
    if read < FEWEST * biased or not read:
        raise ModelError(
            "fullgrad adds gradients at the biases of convolutions and batch normalisations, and "
            f"of {biased} layers with biases {read} are such: it is for convolutional networks"
        )
    heat = _total(subject, images.detach(), gradient.float() / scale, found.maps)
    part = f"{read}" if read == biased else f"{read} of {biased}"
    return MethodMap(heat, f"input and {part} biases")


def _total(subject: Subject, images: Tensor, gradient: Tensor, maps: list[Tensor]) -> Tensor:
    """Return the sum of the input's and the layers' maps, (B, h, w)."""
    size = images.shape[2:]
    parts = [_scaled((gradient * images.float()).abs())]
    parts += [nn.functional.interpolate(each[:, None], size, mode="bilinear") for each in maps]
    parts = [each.to(images.device) for each in parts]
    if subject.options.eigen_smooth:
        kept = [pool_mean(each.flatten(0, 1), grid_of(subject)) for each in parts]
        each_part = [each.unflatten(0, (len(images), -1)) for each in kept]
        return smooth(torch.cat(each_part, 1))
    total = torch.stack([each.sum(1) for each in parts]).sum(0)
    return pool_mean(total, grid_of(subject))


@dataclass(slots=True, eq=False)
class _Found:
    """Maps of the layers that have biases, in the order in which gradients reach them.

    Attributes:
        scale: The factor of the gradients.
        maps: (B, h, w) for each call of such a layer.
        layers: Their biases, by identity.
    """

    scale: float
    maps: list[Tensor] = field(default_factory=list)
    layers: set[int] = field(default_factory=set)

    def watch(self, bias: Tensor, output: Tensor) -> None:
        """Add the map of a layer's output once its gradient is known."""
        if output.requires_grad:
            # The hook gets the gradient of what the layer returned, also if a later operation
            # writes over it.
            output.register_hook(partial(self._add, bias))

    def _add(self, bias: Tensor, gradient: Tensor | None) -> None:
        if gradient is None:  # of an operation that has none
            return
        self.layers.add(id(bias))
        products = bias[:, None, None].float() * (gradient.float() / self.scale)
        self.maps.append(_scaled(products.abs()).sum(1))


@contextmanager
def _recording(module: nn.Module, found: _Found) -> Iterator[None]:
    """Watch the outputs of all convolutions and batch normalisations that have biases."""
    handles = []
    for each in module.modules():
        bias = _bias_of(each)
        if bias is None:
            continue
        part = next(each.children(), None)
        if isinstance(each, nn.BatchNorm2d) and part is not None:
            # As timm's BatchNormAct2d: what is normalised goes through parts of its own first.
            handles.append(
                part.register_forward_pre_hook(
                    lambda _module, args, bias=bias: found.watch(bias, args[0])
                )
            )
        else:
            handles.append(
                each.register_forward_hook(
                    lambda _module, _args, output, bias=bias: found.watch(bias, output)
                )
            )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _bias_of(module: nn.Module) -> Tensor | None:
    """Return the (channels,) bias of a convolution or of a batch normalisation."""
    if not isinstance(module, nn.Conv2d | nn.BatchNorm2d) or module.bias is None:
        return None
    bias = module.bias.detach()
    if isinstance(module, nn.Conv2d) or module.running_mean is None or module.running_var is None:
        return bias
    shift = module.running_mean * module.weight / (module.running_var + module.eps).sqrt()
    return bias - shift.detach()


def _scaled(channels: Tensor) -> Tensor:
    """Return (B, C, h, w) channels, each scaled to [0, 1] as grad-cam does."""
    raised = channels - channels.amin((2, 3), keepdim=True)
    return raised / (SMALLEST + raised.amax((2, 3), keepdim=True))
