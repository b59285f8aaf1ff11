"""Passes of which only the head of a network is recorded and differentiated.

grad-cam's `GradCAM` records a graph of the whole network and differentiates it. `HeadCAM` runs the
body without a graph, makes the target layer's output a leaf, and differentiates the head. The maps
are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from effcam.cam.forward import run_network
from effcam.cam.gradient_stops import GradientStops, has_unknown_derivative
from effcam.cam.precision import Precision
from effcam.cam.quantised import quantise_like, to_floats
from effcam.errors import LayerError, ModelError, reason_of
from effcam.models.model import Model
from effcam.models.tracing.layer_outputs import put_first
from effcam.models.tracing.linked_graph import WAYS_OUT
from effcam.models.tracing.logits import Logits, describe, first_tensor, tensors
from effcam.models.tracing.memory import is_out_of_memory
from effcam.models.tracing.module_kinds import quantised_layers
from effcam.models.tracing.rng import IsolatedRandomness
from effcam.models.tracing.target_layer import TargetLayer

GRADIENT_SCALES = {"fp16": 1024}
"""The factor for gradients during the backward pass: below 6e-8 they are 0 in float16."""


class HeadCAM:
    """Run a network with a graph that begins at its target layers, and differentiate that."""

    def __init__(self, model: Model, precision: Precision = "fp32") -> None:
        """Register hooks on the target layers, until `release`."""
        self.model = model.module.eval()
        self.precision = precision
        self.source = model.scores
        self.layers = model.target_layers
        found = [model.module.get_submodule(layer.name) for layer in self.layers]
        self._handles = [
            # TorchScript's own method refuses, and yet the hooks of its outermost module run.
            nn.Module.register_forward_hook(module, partial(self._cut, index))
            for index, module in enumerate(found)
        ]
        self._quantised = quantised_layers(self.model)
        self._handles += [
            nn.Module.register_forward_hook(module, self._watch)
            for module in self._quantised.values()
        ]
        self._turns = [0] * len(found)
        self._cuts = self._differentiable = False
        self.leaves: list[Tensor | None] = [None] * len(found)
        self._images: Tensor | None = None
        self._derivable: bool | None = None
        self.substitute: tuple[int, Tensor] | None = None
        self._draws = IsolatedRandomness()

    def run(self, images: Tensor, batch: int | None = None) -> Logits:
        """Return what the network returns for a batch, or ``batch`` substituted outputs."""
        self._turns = [0] * len(self.layers)
        with (
            self._draws.if_needed(),
            torch.set_grad_enabled(torch.is_grad_enabled()),  # the module may change it
        ):
            return run_network(self.model, images, self.precision, self.source, batch)

    def _cut(self, index: int, _module: nn.Module, _args: object, output: Any) -> Any:
        """Replace a layer's output by a leaf of a new graph, or by a substitute."""
        turn, self._turns[index] = self._turns[index], self._turns[index] + 1
        layer = self.layers[index]
        if turn != layer.turn:
            # A module, such as an activation, may run in several places; one of them was chosen.
            return output
        if not self._cuts:
            put, outputs = self.substitute or (None, output)
            return put_first(output, outputs) if put == index else output
        found = first_tensor(output)
        if found is None or not layer.fits(found):
            raise LayerError(
                f"layer {layer.name!r} returned {describe(output)}, which differs from the map "
                f"that it returned when the model was loaded, {layer}"
            )
        leaf = found
        if found.is_floating_point() and not found.is_inference():
            # A frozen body may run under torch.no_grad(), which ends with its own block.
            torch.set_grad_enabled(self._differentiable)
            if not found.requires_grad:  # otherwise it comes after another target layer
                leaf = found.detach().requires_grad_(self._differentiable)
        self.leaves[index] = leaf
        # The next layer may work in place, as DenseNet's ReLU does, so it gets a copy.
        return put_first(output, leaf.clone())

    def _watch(self, _module: nn.Module, args: object, output: object) -> None:
        """Note a quantised layer that ends gradients: those of other paths would be a part."""
        if any(each.requires_grad for each in tensors(args)) and not any(
            each.requires_grad for each in tensors(output)
        ):
            self._derivable = False

    @property
    def gradient_scale(self) -> int:
        """The factor of gradients during the backward pass."""
        return GRADIENT_SCALES.get(self.precision, 1)

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of values to differentiate, multiplied by `gradient_scale`."""
        kind = torch.promote_types(values.dtype, torch.float32)
        return values.sum(dtype=kind) * self.gradient_scale

    @property
    def loses_gradients(self) -> bool:
        """Whether a quantised layer was seen to end gradients, or an operation has none."""
        return self._derivable is False

    @property
    def quantised(self) -> tuple[str, ...]:
        """The names of its quantised layers."""
        return tuple(self._quantised)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Let `scores` run on other images in a context, and keep what is known of the batch."""
        kept = self.leaves, self._images
        try:
            yield
        finally:
            self.leaves, self._images = kept

    def scores(self, images: Tensor) -> Logits:
        """Return the scores of a batch; `leaves` then holds the layers' outputs."""
        self.leaves, self._images = [None] * len(self.layers), images
        self._cuts, self._differentiable = True, torch.is_grad_enabled()
        try:
            scores = self.run(images)
        finally:
            self._cuts = False
        for layer, leaf in zip(self.layers, self.leaves, strict=True):
            if leaf is None:
                raise LayerError(f"layer {layer.name!r} did not run in this forward pass")
        return scores

    def maps(self, outputs: Sequence[Tensor | None]) -> list[Tensor]:
        """Return tensors in the layers' own formats as (B, C, h, w) maps.

        Half precision becomes float32: sums over channels would lose too much.
        """
        floats = [to_floats(each) for each in outputs if each is not None]
        return [
            layer.to_map(each).to(torch.promote_types(each.dtype, torch.float32))
            for layer, each in zip(self.layers, floats, strict=True)
        ]

    def gradients(self, scores: Tensor, explained: Tensor) -> list[Tensor]:
        """Return the gradients of each image's explained score at the layers, (B, C, h, w) each.

        Args:
            scores: (B, n) scores, or other values that it returns.
            explained: (B,) values computed from them.

        Raises:
            LayerError: If the scores do not depend on a layer, or only on one position of it.
        """
        found = self._differentiate(explained)
        for position, layer in enumerate(self.layers):
            # A single class may depend on one cell. If all classes together do, the head reads
            # only that cell: the layer is the wrong one.
            # A function of the caller's own may read what is no row of values.
            if _count_nonzero(layer, found[position])[0] <= 1 and scores.numel():
                _check_support(layer, self._differentiate(scores)[position])
        return self.maps(found)

    def _differentiate(self, scores: Tensor) -> list[Tensor]:
        """Return the gradients of the sum of scores at the layers, shaped as their outputs.

        Raises:
            LayerError: If no gradient gets to a layer.
            ModelError: If an operation in between has no derivative.
        """
        leaves = [leaf for leaf in self.leaves if leaf is not None]
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        scale = self.gradient_scale
        found: dict[int, Tensor | None] = {}
        if scores.requires_grad and wanted and self._is_derivable(scores):
            gradients_found = self._grad(self.total(scores), wanted)
            found = dict(zip(map(id, wanted), gradients_found, strict=True))
        gradients: list[Tensor] = []
        for index, leaf in enumerate(leaves):
            gradient = found.get(id(leaf))
            if gradient is None:
                raise self._no_gradient(index)
            gradients.append(gradient if scale == 1 else gradient.float() / scale)
        return gradients

    def _is_derivable(self, scores: Tensor) -> bool:
        """Return whether every operation behind the layers has a derivative, found once."""
        if self._derivable is None:
            self._derivable = not has_unknown_derivative(scores)
        return self._derivable

    def _grad(self, total: Tensor, leaves: Sequence[Tensor]) -> Sequence[Tensor | None]:
        try:
            return torch.autograd.grad(total, leaves, allow_unused=True, retain_graph=True)
        except Exception as error:  # the module's own code may raise anything
            if is_out_of_memory(error):
                raise
            raise ModelError(
                f"no gradient can be computed back to layer {self.layers[0].name!r}: "
                f"{reason_of(error)}. {WAYS_OUT}"
            ) from error

    def _no_gradient(self, index: int) -> LayerError:
        """Return an error that names why no gradient gets to a layer."""
        name = self.layers[index].name
        if not self._matters(index):
            return LayerError(
                f"the class scores do not depend on layer {name!r}: choose another layer"
            )
        return LayerError(
            f"no gradient gets from the class scores to layer {name!r}: {self._reason(index)}. "
            f"{WAYS_OUT}"
        )

    def _matters(self, index: int) -> bool:
        """Return whether the scores change with the output of a layer."""
        output = self.leaves[index]
        if output is None or self._images is None:
            return False
        zero = quantise_like(torch.zeros_like(to_floats(output)), output)
        scores = []
        with torch.no_grad():
            for substitute in (None, (index, zero)):
                self.substitute = substitute
                self._draws = IsolatedRandomness()  # both draw the same
                scores.append(self.run(self._images).values)
        self.substitute = None
        return not torch.equal(*scores)

    def _reason(self, index: int) -> str:
        output = self.leaves[index]
        if output is not None and output.is_inference():
            return "it runs under torch.inference_mode()"
        if output is not None and not output.is_floating_point():
            return f"it is quantised ({output.dtype})"
        stops = GradientStops()
        if self._images is not None:
            with stops:
                self.scores(self._images)
        if stops.found:
            return f"in between, the forward pass {' and '.join(stops.found)}"
        if self._quantised:
            return f"the model is quantised, as at {next(iter(self._quantised))!r}"
        return "an operation in between has none"

    def forget(self) -> None:
        """Free the last batch and its graph."""
        self.leaves, self._images, self.substitute = [], None, None

    def release(self) -> None:
        """Remove the hooks and free the graph."""
        for handle in self._handles:
            handle.remove()
        self.forget()


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
