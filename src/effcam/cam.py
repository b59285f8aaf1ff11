"""Class activation maps of one model on one batch, at about the price of its forward pass.

Only this module knows grad-cam. Its `GradCAM` differentiates the whole network and keeps that
graph; `HeadCAM` runs the body without one, makes the target layer's output a leaf, and
differentiates the head alone. The maps are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from torch import Tensor, nn

from effcam.borrow import untouched
from effcam.custom import Method, apply_own, check_own, name_of
from effcam.draws import OwnDraws
from effcam.errors import ArgumentError, LayerError, ModelError, did_you_mean
from effcam.health import State
from effcam.layers import TargetLayer
from effcam.methods import ACTIVATION_METHODS, GRADIENT_METHODS, Arithmetic
from effcam.model import Model
from effcam.portions import is_out_of_memory
from effcam.precision import Precision, computing
from effcam.scores import Scores, describe, read_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRADIENT_SCALES = {"fp16": 1024}
"""By how much gradients are enlarged on their way: those below 6e-8 would be lost in float16."""
PERTURBED_AT_ONCE = 64
FLAT = 1e-6


@dataclass(frozen=True, slots=True)
class Cams:
    """What one pass over a batch of B images gave.

    Attributes:
        probabilities: (B, classes) float32, the softmax of the scores.
        targets: (B,) int64, the class explained in each image.
        maps: By method, (B, h, w) float32 at the target layer's own resolution: >= 0, not scaled,
            0 where there is no positive evidence and where a value was not finite.
        states: By method, one of ``"ok"``, ``"flat"`` (no cell stands out) and ``"nan"`` (a value
            was not finite) an image.
    """

    probabilities: NDArray[np.float32]
    targets: NDArray[np.int64]
    maps: dict[str, NDArray[np.float32]]
    states: dict[str, list[State]]

    @classmethod
    def join(cls, parts: Sequence[Cams]) -> Cams:
        """Returns what several parts of one batch gave, as one; there is at least one part."""
        first, *others = parts
        if not others:
            return first
        return cls(
            np.concatenate([each.probabilities for each in parts]),
            np.concatenate([each.targets for each in parts]),
            {name: np.concatenate([each.maps[name] for each in parts]) for name in first.maps},
            {name: list(chain(*(each.states[name] for each in parts))) for name in first.states},
        )


class Explain(Protocol):
    """What `compute_cams` does for a model that is known."""

    def __call__(
        self, images: Tensor, methods: Sequence[Method], targets: Sequence[int] | None = None
    ) -> Cams:
        """Returns the maps of a batch."""


Predict: TypeAlias = Callable[[Tensor], Tensor]


class HeadCAM(GradCAM):  # type: ignore[misc]  # grad-cam is untyped
    """GradCAM whose graph begins at the target layers, and whose maps keep their resolution."""

    def __init__(self, model: Model, precision: Precision = "fp32") -> None:
        """Hooks the target layers; `release` unhooks them."""
        self.precision = precision
        self.layers = model.target_layers
        found = [model.module.get_submodule(layer.name) for layer in self.layers]
        super().__init__(model.module, found)
        # The base's own hooks would copy every activation to the host, before the head runs.
        self.activations_and_grads.release()
        self._handles = [
            module.register_forward_hook(partial(self._cut, index))
            for index, module in enumerate(found)
        ]
        self._turns = [0] * len(found)
        self._cuts = False
        self.leaves: list[Tensor | None] = [None] * len(found)
        self.substitute: tuple[int, Tensor] | None = None
        self._draws = OwnDraws()

    def run(self, images: Tensor, batch: int | None = None) -> Scores:
        """Returns the scores of a batch, or of the ``batch`` outputs put in a layer's place."""
        self._turns = [0] * len(self.layers)
        with self._draws.if_needed(), computing(images.device, self.precision):
            return read_scores(self.model(images), batch or len(images))

    def _cut(self, index: int, _module: nn.Module, _args: object, output: Tensor) -> Tensor:
        """Replaces a layer's output by a leaf of a new graph, or by a substitute for it."""
        turn, self._turns[index] = self._turns[index], self._turns[index] + 1
        layer = self.layers[index]
        if turn != layer.turn:
            # An activation may serve in several places; one of them was chosen.
            return output
        if not self._cuts:
            put, outputs = self.substitute or (None, output)
            return outputs if put == index else output
        if not isinstance(output, Tensor) or not layer.fits(output):
            raise LayerError(
                f"layer {layer.name!r} returned {describe(output)}, which is not the map that it "
                f"gave when the model was loaded, {layer}"
            )
        leaf = output
        if not output.requires_grad:  # else it comes after another one of the layers
            leaf = output.detach().requires_grad_(torch.is_grad_enabled())
        self.leaves[index] = leaf
        # What follows may work in place, as DenseNet's ReLU does: it gets a copy.
        return leaf.clone()

    def scores(self, images: Tensor) -> Scores:
        """Returns the scores of a batch; `leaves` then holds the layers' outputs."""
        self.leaves = [None] * len(self.layers)
        self._cuts = True
        try:
            scores = self.run(images)
        except ModelError:
            raise
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise ModelError(
                f"the model failed on a batch of shape {tuple(images.shape)}: {error}"
            ) from error
        finally:
            self._cuts = False
        for layer, leaf in zip(self.layers, self.leaves, strict=True):
            if leaf is None:
                raise LayerError(f"layer {layer.name!r} did not run in this forward pass")
        return scores

    def maps(self, tensors: Sequence[Tensor | None]) -> list[Tensor]:
        """Returns tensors that lie as the layers' outputs do as (B, C, h, w) maps.

        Half precision is brought to float32: sums over channels would lose too much.
        """
        return [
            layer.to_map(each.detach()).to(torch.promote_types(each.dtype, torch.float32))
            for layer, each in zip(self.layers, tensors, strict=True)
            if each is not None
        ]

    def gradients(self, scores: Tensor, targets: Tensor) -> list[Tensor]:
        """Returns the gradients of each image's target score at the layers, (B, C, h, w) each.

        Raises:
            LayerError: If a layer or its cells have no part in the scores.
        """
        found = self._differentiate(scores.gather(1, targets[:, None]))
        for position, layer in enumerate(self.layers):
            # One class may well depend on one cell, all of them together do not, unless the
            # head reads no more: that is the layer's fault.
            if _read_at(layer, found[position])[0] <= 1:
                _check_support(layer, self._differentiate(scores)[position])
        return self.maps(found)

    def _differentiate(self, scores: Tensor) -> list[Tensor]:
        """Returns the gradients of the sum of scores at the layers, shaped as their outputs."""
        leaves = [leaf for leaf in self.leaves if leaf is not None]
        found: Sequence[Tensor | None] = [None] * len(leaves)
        if scores.requires_grad:
            scale = GRADIENT_SCALES.get(self.precision, 1)
            total = scores.sum(dtype=torch.promote_types(scores.dtype, torch.float32)) * scale
            found = torch.autograd.grad(total, leaves, allow_unused=True, retain_graph=True)
            if scale != 1:
                found = [each if each is None else each.float() / scale for each in found]
        for layer, gradient in zip(self.layers, found, strict=True):
            if gradient is None:
                raise LayerError(
                    f"the class scores do not depend on layer {layer.name!r}: choose another one"
                )
        return [gradient for gradient in found if gradient is not None]

    def release(self) -> None:
        """Unhooks the layers and lets the graph go."""
        for handle in self._handles:
            handle.remove()
        self.leaves = []
        self.substitute = None


def _read_at(layer: TargetLayer, gradient: Tensor) -> tuple[int, int]:
    """Returns at how many cells a gradient is not zero, and whether it is not at a prefix token."""
    cells = layer.to_map(gradient).abs().sum((0, 1))
    prefix = gradient[:, : layer.prefix].abs().sum()
    return int((cells != 0).sum()), int(prefix != 0)


def _check_support(layer: TargetLayer, gradient: Tensor) -> None:
    """Refuses a layer of which one position alone has a part in any of the scores.

    A gradient that is zero everywhere is another finding: the score itself is flat, as it is
    behind a dead activation, and the layer may be the right one.
    """
    cells, prefix = _read_at(layer, gradient)
    if cells > 1 or cells + prefix == 0:
        return
    where = "one cell alone" if cells else "its prefix tokens alone"
    raise LayerError(
        f"the class scores depend on {where} of layer {layer.name!r}, so its map of "
        f"{layer.grid[0]} x {layer.grid[1]} cells would mean nothing. "
        "effcam.load_model(...).layers() lists the layers that can be looked at"
    )


def compute_cams(
    model: Model, images: Tensor, methods: Sequence[Method], targets: Sequence[int] | None = None
) -> Cams:
    """Returns the maps of a batch by every method; those of one pass share it.

    The module comes back as it was: modes, ``requires_grad``, ``.grad``, hooks and buffers. It
    draws no random numbers but its own (`effcam.draws.OwnDraws`).

    Args:
        model: The model.
        images: (B, 3, height, width) inputs, made by its `Preprocess`.
        methods: Names from `METHODS`, or functions, as `check_methods` lets them through.
        targets: The class to explain in each image, in range; ``None`` is each image's top-1.

    Raises:
        LayerError: If the scores do not depend on the target layer.
        ModelError: If the model does not return (B, classes) scores.
        ArgumentError: If a function fails, or returns no maps.
    """
    with explaining(model) as explain:
        return explain(images, methods, targets)


@contextmanager
def explaining(model: Model, *, precision: Precision = "fp32") -> Iterator[Explain]:
    """Gives a function that does what `compute_cams` does, batch after batch.

    The module is as it was after the context: what that takes is done once, and not for every
    batch. Other code should not use the module within it; another thread that asks for its maps
    waits until it is over.

    Args:
        model: The model.
        precision: ``"bf16"`` and ``"fp16"`` run the network under torch's autocast. Maps are
            float32 whatever it is.
    """
    with untouched(model.module), _differentiable():
        place = _placing(model)
        cam = HeadCAM(model, precision)

        def explain(
            images: Tensor, methods: Sequence[Method], targets: Sequence[int] | None = None
        ) -> Cams:
            try:
                return _explain(cam, place(images), methods, targets)
            finally:
                cam.leaves = []  # and the graph with them

        try:
            yield explain
        finally:
            cam.release()


@contextmanager
def predicting(model: Model, *, precision: Precision = "fp32") -> Iterator[Predict]:
    """Gives a function that returns the (B, classes) float32 probabilities of a batch.

    The module is as it was after the context.

    Args:
        model: The model.
        precision: As in `explaining`.
    """
    with untouched(model.module), torch.inference_mode(False), torch.no_grad():
        place = _placing(model)
        module = model.module.eval()
        draws = OwnDraws()

        def predict(images: Tensor) -> Tensor:
            inputs = place(images)
            with draws.if_needed(), computing(inputs.device, precision):
                output = module(inputs)
            return read_scores(output, len(images)).probabilities

        yield predict


def _placing(model: Model) -> Callable[[Tensor], Tensor]:
    """Returns a function that brings images to where, and to how, a model's weights lie."""
    device, dtype = model.device, model.dtype
    layout = torch.channels_last if model.channels_last else torch.contiguous_format

    def place(images: Tensor) -> Tensor:
        # What was made in inference mode cannot be differentiated through.
        placed = images.to(device, dtype, copy=images.is_inference())
        return placed.contiguous(memory_format=layout)

    return place


def check_methods(methods: Method | Sequence[Method]) -> tuple[Method, ...]:
    """Returns the methods as a tuple: names, and functions of the user's own.

    Raises:
        ArgumentError: If there is none, two of one name, a name that is not in `METHODS`, or a
            function without a name of its own.
    """
    several: tuple[Method, ...]
    if isinstance(methods, str) or callable(methods):
        several = (methods,)
    elif isinstance(methods, Sequence):
        several = tuple(methods)
    else:
        raise ArgumentError(
            f"method must be a name, a function, or several of these, not {methods!r}"
        )
    for method in several:
        if callable(method):
            check_own(method, METHODS)
        elif method not in METHODS:
            hint = did_you_mean(str(method), METHODS)
            raise ArgumentError(
                f"no method is called {method!r}.{hint} The methods are {', '.join(METHODS)}."
            )
    names = [name_of(method) for method in several]
    if not names:
        raise ArgumentError(f"method must be one or several, not {methods!r}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ArgumentError(
            f"two methods are called {twice!r}: columns and records tell them apart by name"
        )
    return several


@contextmanager
def _differentiable() -> Iterator[None]:
    """Undoes a caller's ``no_grad`` or ``inference_mode`` for the time being."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _explain(
    cam: HeadCAM, images: Tensor, methods: Sequence[Method], targets: Sequence[int] | None
) -> Cams:
    scores = cam.scores(images)
    values = scores.values
    picked = values.argmax(1) if targets is None else torch.tensor(targets, device=values.device)
    activations = cam.maps(cam.leaves)
    gradients = activations
    if any(callable(method) or method in GRADIENT_METHODS for method in methods):
        gradients = cam.gradients(values, picked)
    maps: dict[str, NDArray[np.float32]] = {}
    states: dict[str, list[State]] = {}
    with torch.no_grad():
        for method in methods:
            if isinstance(method, str) and method in PERTURBATION_METHODS:
                perturb = PERTURBATION_METHODS[method]
                raw = [
                    perturb(cam, index, images, features, picked)
                    for index, features in enumerate(activations)
                ]
            else:
                raw = list(map(_arithmetic(method), activations, gradients))
            name = name_of(method)
            maps[name], states[name] = _settle(_add(raw))
    return Cams(_to_numpy(scores.probabilities), picked.cpu().numpy(), maps, states)


def _arithmetic(method: Method) -> Arithmetic:
    """Returns what makes a map of activations and gradients, in effcam's methods or the user's."""
    if isinstance(method, str):
        return (GRADIENT_METHODS | ACTIVATION_METHODS)[method]
    return partial(apply_own, method)


def _add(maps: Sequence[Tensor]) -> Tensor:
    """Returns the sum of several layers' maps at the finest one's resolution.

    A cell holds evidence for the part of the image that it covers, so that a coarse map is
    spread as a density: its sum over the image stays what it was.
    """
    finest = max(maps, key=lambda each: each[0].numel())
    if len(maps) == 1:
        return finest
    total = finest.new_zeros(finest.shape)
    for each in maps:
        share = each[0].numel() / finest[0].numel()
        total += share * nn.functional.interpolate(
            each[:, None], size=finest.shape[1:], mode="bilinear"
        ).squeeze(1)
    return total


def _settle(raw: Tensor) -> tuple[NDArray[np.float32], list[State]]:
    """Returns (B, h, w) maps without negative evidence, and the state of each."""
    finite = raw.isfinite().flatten(1).all(1)
    heat = raw.float().clamp(min=0)
    heat[~finite] = 0
    flat = heat.flatten(1)
    spread = flat.amax(1) - flat.amin(1)
    stands_out = (spread > FLAT * flat.amax(1)).tolist()
    states: list[State] = [
        "nan" if not sound else "ok" if out else "flat"
        for sound, out in zip(finite.tolist(), stands_out, strict=True)
    ]
    return heat.cpu().numpy(), states


def _to_numpy(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.cpu().numpy()
    return array


def _scorecam(
    cam: HeadCAM, _index: int, images: Tensor, activations: Tensor, targets: Tensor
) -> Tensor:
    """Wang et al. 2020, arXiv:1910.01279: channels weighted by the score of the image they mask."""
    weights = []
    for image, features, target in zip(images, activations, targets, strict=True):
        scores = []
        for chunk in features.split(PERTURBED_AT_ONCE):
            masks = nn.functional.interpolate(
                chunk[:, None], size=image.shape[1:], mode="bilinear", align_corners=True
            )
            low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
            masks = (masks - low) / (high - low + 1e-8)
            masked = (image * masks).to(image.dtype)
            scores.append(cam.run(masked).values[:, target].float())
        weights.append(torch.cat(scores).softmax(0))
    return (torch.stack(weights)[:, :, None, None] * activations).sum(1)


def _ablationcam(
    cam: HeadCAM, index: int, images: Tensor, activations: Tensor, targets: Tensor
) -> Tensor:
    """Desai and Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360: channels set to zero in turn.

    A channel's weight is the share of the score that is lost without it. The body runs once an
    image and chunk of channels: its output is replaced by the whole chunk's.
    """
    outputs, dimension = cam.leaves[index], cam.layers[index].channel_dimension
    if outputs is None:
        raise LayerError(f"layer {cam.layers[index].name!r} did not run in this forward pass")
    weights = []
    for image, output, target in zip(images, outputs.detach(), targets, strict=True):
        whole = _head(cam, index, image, output[None])[:, target]
        without = []
        for channels in torch.arange(activations.shape[1], device=output.device).split(
            PERTURBED_AT_ONCE
        ):
            ablated = output.repeat(len(channels), *(1,) * output.ndim)
            ablated.movedim(dimension, 1)[torch.arange(len(channels)), channels] = 0
            without.append(_head(cam, index, image, ablated)[:, target])
        weights.append((whole - torch.cat(without)) / whole)
    return (torch.stack(weights)[:, :, None, None] * activations).sum(1)


def _head(cam: HeadCAM, index: int, image: Tensor, outputs: Tensor) -> Tensor:
    """Returns the (n, classes) scores for n outputs of a target layer."""
    # A network that goes round the layer, as every transformer does, needs as many images.
    alone = len(cam.layers) == 1 and cam.layers[0].layout == "NCHW"
    images = image[None] if alone else image.repeat(len(outputs), 1, 1, 1)
    # The layer after may work in place.
    cam.substitute = index, outputs.clone()
    try:
        return cam.run(images, len(outputs)).values.float()
    finally:
        cam.substitute = None


PERTURBATION_METHODS: dict[str, Callable[[HeadCAM, int, Tensor, Tensor, Tensor], Tensor]] = {
    "scorecam": _scorecam,
    "ablationcam": _ablationcam,
}
METHODS: tuple[str, ...] = (*GRADIENT_METHODS, *ACTIVATION_METHODS, *PERTURBATION_METHODS)
"""The names of all methods, those of one shared pass first."""
