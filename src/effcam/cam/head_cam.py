"""GradCAM that records and differentiates the head of a network alone.

grad-cam's `GradCAM` differentiates the whole network and keeps that graph; `HeadCAM` runs the body
without one, makes the target layer's output a leaf, and differentiates the head. The maps are the
same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from pytorch_grad_cam import GradCAM
from torch import Tensor, nn

from effcam.cam.batching import is_out_of_memory
from effcam.cam.precision import Precision, computing
from effcam.errors import LayerError, ModelError
from effcam.models.model import Model
from effcam.models.tracing.logits import Logits, describe, read_logits
from effcam.models.tracing.rng import IsolatedRandomness
from effcam.models.tracing.target_layer import TargetLayer

GRADIENT_SCALES = {"fp16": 1024}
"""By how much gradients are enlarged on their way: those below 6e-8 would be lost in float16."""


class HeadCAM(GradCAM):  # type: ignore[misc]  # grad-cam is untyped
    """GradCAM whose graph begins at the target layers, and whose maps keep their resolution."""

    def __init__(self, model: Model, precision: Precision = "fp32") -> None:
        """Register hooks on the target layers; they stay until `release`."""
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
        self._draws = IsolatedRandomness()

    def run(self, images: Tensor, batch: int | None = None) -> Logits:
        """Return the scores of a batch, or of the ``batch`` outputs put in a layer's place."""
        self._turns = [0] * len(self.layers)
        with self._draws.if_needed(), computing(images.device, self.precision):
            return read_logits(self.model(images), batch or len(images))

    def _cut(self, index: int, _module: nn.Module, _args: object, output: Tensor) -> Tensor:
        """Replace a layer's output by a leaf of a new graph, or by a substitute for it."""
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

    def scores(self, images: Tensor) -> Logits:
        """Return the scores of a batch; `leaves` then holds the layers' outputs."""
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
        """Return tensors that lie as the layers' outputs do as (B, C, h, w) maps.

        Half precision is brought to float32: sums over channels would lose too much.
        """
        return [
            layer.to_map(each.detach()).to(torch.promote_types(each.dtype, torch.float32))
            for layer, each in zip(self.layers, tensors, strict=True)
            if each is not None
        ]

    def gradients(self, scores: Tensor, targets: Tensor) -> list[Tensor]:
        """Return the gradients of each image's target score at the layers, (B, C, h, w) each.

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
        """Return the gradients of the sum of scores at the layers, shaped as their outputs."""
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
        """Unhook the layers and lets the graph go."""
        for handle in self._handles:
            handle.remove()
        self.leaves = []
        self.substitute = None


def _read_at(layer: TargetLayer, gradient: Tensor) -> tuple[int, int]:
    """Return at how many cells a gradient is not zero, and whether it is not at a prefix token."""
    cells = layer.to_map(gradient).abs().sum((0, 1))
    prefix = gradient[:, : layer.prefix].abs().sum()
    return int((cells != 0).sum()), int(prefix != 0)


def _check_support(layer: TargetLayer, gradient: Tensor) -> None:
    """Refuse a layer of which one position alone has a part in any of the scores.

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
