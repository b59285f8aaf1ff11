"""GradCAM that records and differentiates only the head of a network.

grad-cam's `GradCAM` records a graph of the whole network and differentiates it. `HeadCAM` runs the
body without a graph, makes the target layer's output a leaf, and differentiates the head. The maps
are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from pytorch_grad_cam import GradCAM
from torch import Tensor, nn

from effcam.cam.precision import Precision, computing
from effcam.errors import LayerError, ModelError
from effcam.models.model import Model
from effcam.models.tracing.logits import Logits, describe
from effcam.models.tracing.memory import is_out_of_memory
from effcam.models.tracing.rng import IsolatedRandomness
from effcam.models.tracing.score_source import run_scores
from effcam.models.tracing.target_layer import TargetLayer

GRADIENT_SCALES = {"fp16": 1024}
"""The factor for gradients during the backward pass: below 6e-8 they are 0 in float16."""


class HeadCAM(GradCAM):  # type: ignore[misc]  # grad-cam is untyped
    """GradCAM with a graph that begins at the target layers, and maps at their resolution."""

    def __init__(self, model: Model, precision: Precision = "fp32") -> None:
        """Register hooks on the target layers, until `release`."""
        self.precision = precision
        self.source = model.scores
        self.layers = model.target_layers
        found = [model.module.get_submodule(layer.name) for layer in self.layers]
        super().__init__(model.module, found)
        # The base class's hooks would copy every activation to the host before the head runs.
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
        """Return the scores of a batch, or of ``batch`` substituted outputs of a layer."""
        self._turns = [0] * len(self.layers)
        with self._draws.if_needed(), computing(images.device, self.precision):
            return run_scores(self.model, images, self.source, batch)

    def _cut(self, index: int, _module: nn.Module, _args: object, output: Tensor) -> Tensor:
        """Replace a layer's output by a leaf of a new graph, or by a substitute."""
        turn, self._turns[index] = self._turns[index], self._turns[index] + 1
        layer = self.layers[index]
        if turn != layer.turn:
            # A module, such as an activation, may run in several places; one of them was chosen.
            return output
        if not self._cuts:
            put, outputs = self.substitute or (None, output)
            return outputs if put == index else output
        if not isinstance(output, Tensor) or not layer.fits(output):
            raise LayerError(
                f"layer {layer.name!r} returned {describe(output)}, which differs from the map "
                f"that it returned when the model was loaded, {layer}"
            )
        leaf = output
        if not output.requires_grad:  # otherwise it comes after another target layer
            leaf = output.detach().requires_grad_(torch.is_grad_enabled())
        self.leaves[index] = leaf
        # The next layer may work in place, as DenseNet's ReLU does, so it gets a copy.
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
        """Return tensors in the layers' own formats as (B, C, h, w) maps.

        Half precision becomes float32: sums over channels would lose too much.
        """
        return [
            layer.to_map(each.detach()).to(torch.promote_types(each.dtype, torch.float32))
            for layer, each in zip(self.layers, tensors, strict=True)
            if each is not None
        ]

    def gradients(self, scores: Tensor, targets: Tensor) -> list[Tensor]:
        """Return the gradients of each image's target score at the layers, (B, C, h, w) each.

        Raises:
            LayerError: If the scores do not depend on a layer, or only on one position of it.
        """
        found = self._differentiate(scores.gather(1, targets[:, None]))
        for position, layer in enumerate(self.layers):
            # A single class may depend on one cell. If all classes together do, the head reads
            # only that cell: the layer is the wrong one.
            if _count_nonzero(layer, found[position])[0] <= 1:
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
                    f"the class scores do not depend on layer {layer.name!r}: choose another layer"
                )
        return [gradient for gradient in found if gradient is not None]

    def release(self) -> None:
        """Remove the hooks and free the graph."""
        for handle in self._handles:
            handle.remove()
        self.leaves = []
        self.substitute = None


def _count_nonzero(layer: TargetLayer, gradient: Tensor) -> tuple[int, int]:
    """Return at how many cells a gradient is not 0, and 1 if it is not 0 at a prefix token."""
    cells = layer.to_map(gradient).abs().sum((0, 1))
    prefix = gradient[:, : layer.prefix].abs().sum()
    return int((cells != 0).sum()), int(prefix != 0)


def _check_support(layer: TargetLayer, gradient: Tensor) -> None:
    """Refuse a layer if the scores depend on only one position of it.

    A gradient that is 0 everywhere is accepted: the score itself is flat, as behind a dead
    activation, and the layer may be the right one.
    """
    cells, prefix = _count_nonzero(layer, gradient)
    if cells > 1 or cells + prefix == 0:
        return
    where = "only one cell" if cells else "only the prefix tokens"
    raise LayerError(
        f"the class scores depend on {where} of layer {layer.name!r}, so its map of "
        f"{layer.grid[0]} x {layer.grid[1]} cells would mean nothing. "
        "effcam.load_model(...).layers() lists the layers that can be used"
    )
