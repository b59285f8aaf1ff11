"""A network as grad-cam's classes expect it: it returns rows, and its layers return NCHW maps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from effcam.cam.methods.subject import Subject
from effcam.cam.quantised import to_floats
from effcam.cam.scores import AboveScore, ClassScore, CosineScore, FunctionScore
from effcam.models.tracing.layer_outputs import visiting
from effcam.models.tracing.logits import Logits


class Network(nn.Module):
    """A subject's network, whose target layers are `taps` and whose output is one row an image.

    A tap returns a target layer's map, (batch, channels, rows, columns) float32, whatever the
    layer's own format. The next layer gets a copy, which it may overwrite. The graph begins at the
    first tap, unless the images require gradients.

    Attributes:
        taps: A module for each target layer.
        module: The network itself.
        row: The position in the batch of the image that is explained.
    """

    def __init__(self, subject: Subject) -> None:
        """Register nothing on the network yet."""
        super().__init__()
        # grad-cam takes the device of the first parameter.
        self._place = nn.Parameter(torch.empty(0, device=subject.images.device))
        self._place.requires_grad_(False)
        self.taps = nn.ModuleList(nn.Identity() for _ in subject.cam.layers)
        self.module = subject.model.module
        self.row = 0
        self._subject = subject
        self._scale = subject.cam.gradient_scale
        self._differentiable = False

    def forward(self, images: Tensor) -> Tensor:
        """Return (n, k) float32: what `target` computes the score from, for n images."""
        subject = self._subject
        self._differentiable = torch.is_grad_enabled()
        with visiting(self.module, subject.cam.layers, self._tap):
            found = subject.cam.run(images)
        if isinstance(subject.score, FunctionScore):
            # A function reads an output of any form, which has no rows.
            return subject.score.of_image(self.row, found)[:, None]
        rows = found.embedding if isinstance(subject.score, CosineScore) else found.values
        return found.values.float() if rows is None else rows.float()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Keep the gradients that the caller's parameters have."""

    @property
    def is_softmax(self) -> bool:
        """Whether the softmax of its rows are the probabilities that the score is about."""
        score, found = self._subject.score, self._subject.found
        of_classes = isinstance(score, AboveScore | ClassScore) and not getattr(score, "raw", False)
        return of_classes and found.link == "softmax" and not found.binary

    def target(self, row: int) -> Target:
        """Return what computes the score of one image of the batch from rows of the output."""
        return Target(self._subject, row, self._scale)

    def _tap(self, index: int, output: Tensor) -> Tensor | None:
        """Pass a layer's map through its tap, and return the layer's output with what it gave."""
        layer = self._subject.cam.layers[index]
        if output.is_inference() or not output.is_floating_point():
            # As of a quantised layer: it can be read, and no gradient gets there.
            self.taps[index](layer.to_map(to_floats(output)).float().clone())
            return None
        # A frozen body may run under torch.no_grad(), which ends with its own block.
        torch.set_grad_enabled(self._differentiable)
        if not output.requires_grad:
            output = output.detach().requires_grad_(self._differentiable)
        # Gradients are scaled in half precision, and not at the tap.
        cells = _times(layer.to_map(output).float(), self._scale).clone()
        cells = _times(self.taps[index](cells).clone(), 1 / self._scale)
        return layer.with_map(output, cells.to(output.dtype))


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """The score of one image of a batch, as grad-cam's classes call it."""

    subject: Subject
    row: int
    scale: float

    def __call__(self, output: Tensor) -> Tensor:
        """Return the score, or n of them.

        Args:
            output: A row, (k,), or n rows, (n, k), of what `Network` returns.
        """
        rows = output if output.ndim == 2 else output[None]
        values = self._score(rows)
        if values.requires_grad and self.scale != 1:
            values = values * self.scale
        return values if output.ndim == 2 else values[0]

    def _score(self, rows: Tensor) -> Tensor:
        score = self.subject.score
        if isinstance(score, FunctionScore):
            return rows[:, 0]
        found: Logits = replace(self.subject.found, values=rows, embedding=rows, output=None)
        return score.of_image(self.row, found)


def _times(values: Tensor, factor: float) -> Tensor:
    """Return values whose gradient, further back, is multiplied by a factor."""
    if factor != 1 and values.requires_grad:
        values = values.clone()
        values.register_hook(lambda gradient: gradient * factor)
    return values
