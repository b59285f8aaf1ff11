"""Run a network on many changed copies of the images of a batch.

Copies of several images share a batch of the network, and the number in one batch is bounded: the
memory does not grow with the number of copies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from effcam.cam.batching import Portions
from effcam.cam.gradient_stops import GradientStops, has_unknown_derivative
from effcam.cam.methods.own_function import check_gradient
from effcam.cam.methods.subject import Subject
from effcam.cam.methods.table import default_samples
from effcam.errors import ModelError
from effcam.models.tracing.logits import Logits

COPIES_AT_ONCE = 64
"""The most copies in a batch without gradients."""
GRADIENTS_AT_ONCE = 16
"""The most copies in a batch whose whole graph is kept."""
CACHED = 8 * 224 * 224
"""The most pixels in a batch on a CPU: larger ones leave its caches, and take a third longer."""
ROUNDING = 1e-6
"""Two float32 scores of equal inputs differ by no more than this share."""

Change: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Returns (n, channels, height, width) inputs, given (n,) positions of images and of copies."""
Read: TypeAlias = Callable[[Tensor, Logits], Tensor]
"""Returns (n,) values, given (n,) positions of images and the network's output for the copies."""

Prepare: TypeAlias = Callable[[Tensor], None]
"""Changes the graph of (n,) scores before it is differentiated."""


def samples_of(subject: Subject, method: str) -> int:
    """Return how many changed copies of an image a method makes."""
    return subject.options.samples or default_samples(method)


def portions_of(subject: Subject, most: int) -> Portions:
    """Return what runs copies in batches of at most some number, or what memory allows."""
    height, width = subject.images.shape[2:]
    if subject.images.device.type == "cpu":
        most = min(most, max(CACHED // (height * width), torch.get_num_threads()))
    advice = "it does so by itself, and nothing is lost but time"
    return Portions(subject.model.name, most, "changed copies of images", advice)


def score_copies(
    subject: Subject,
    copies: int,
    change: Change,
    portions: Portions,
    read: Read | None = None,
) -> Tensor:
    """Return the score of changed copies of each image, (B, copies) float32, without gradients.

    Args:
        subject: The images, and the score.
        copies: How many copies of each image there are.
        change: Makes them.
        portions: Runs them in batches.
        read: Reads a value from the output; ``None`` for the score.
    """
    count = len(subject.images)
    rows, _ = pairs(subject, copies, slice(0, count * copies))
    values = score_each(
        subject, rows, lambda part: change(*pairs(subject, copies, part)), portions, read
    )
    return values.reshape(count, copies)


def score_each(
    subject: Subject,
    rows: Tensor,
    make: Callable[[slice], Tensor],
    portions: Portions,
    read: Read | None = None,
) -> Tensor:
    """Return the score of changed images, (n,) float32, without gradients.

    Args:
        subject: The images, and the score.
        rows: (n,) the position of the image that each is a copy of.
        make: Makes some of the inputs.
        portions: Runs them in batches.
        read: As in `score_copies`.
    """
    read = read or subject.score.of_copies

    def compute(part: slice) -> Tensor:
        found = subject.cam.run(as_input(subject, make(part)))
        return read(rows[part], found).float()

    with torch.no_grad():
        values = portions.run(len(rows), compute)
    return torch.cat(values) if values else torch.empty(0, device=subject.images.device)


def sum_gradients(
    subject: Subject,
    weights: Tensor,
    change: Change,
    prepare: Prepare | None = None,
) -> Tensor:
    """Return a weighted sum of gradients of the score at changed copies of each image.

    Args:
        subject: The images, and the score.
        weights: (copies,) the weight of each copy's gradient.
        change: Makes the copies.
        prepare: Changes the graph before it is differentiated.

    Returns:
        (B, channels, height, width) float32, shaped as the images.

    Raises:
        ModelError: If no gradient gets from the score to the network's input.
        TargetError: If a function of the caller's own cuts its gradient.
    """
    images, copies = subject.images, len(weights)
    weights = weights.to(images.device, torch.float32)
    kind = torch.promote_types(images.dtype, torch.float32)
    total = torch.zeros(images.shape, dtype=kind, device=images.device)

    def compute(part: slice) -> None:
        rows, at = pairs(subject, copies, part)
        gradients = _differentiate(subject, rows, as_input(subject, change(rows, at)), prepare)
        total.index_add_(0, rows, gradients.to(kind) * weights[at][:, None, None, None].to(kind))

    portions_of(subject, GRADIENTS_AT_ONCE).run(len(images) * copies, compute)
    return total


def pairs(subject: Subject, copies: int, part: slice) -> tuple[Tensor, Tensor]:
    """Return the positions of images and of copies in a part of all pairs."""
    pairs = torch.arange(part.start, part.stop, device=subject.images.device)
    return pairs // copies, pairs % copies


def as_input(subject: Subject, inputs: Tensor) -> Tensor:
    """Return inputs in the dtype and memory format of the images."""
    dense = torch.channels_last if subject.model.channels_last else torch.contiguous_format
    return inputs.to(subject.images.dtype).contiguous(memory_format=dense)


def _differentiate(
    subject: Subject, rows: Tensor, inputs: Tensor, prepare: Prepare | None
) -> Tensor:
    """Return the gradients of n scores at n inputs."""
    scale = subject.cam.gradient_scale
    with torch.enable_grad():
        leaf = inputs.detach().requires_grad_()
        # A copy: the first layer may work in place.
        found = subject.cam.run(leaf.clone())
        values = subject.score.of_copies(rows, found)
    check_gradient(values, found)
    lost = subject.cam.loses_gradients or has_unknown_derivative(values)
    if lost or not values.requires_grad:
        raise _no_gradient(subject, leaf)
    if prepare is not None:
        prepare(values)
    (gradient,) = torch.autograd.grad(subject.cam.total(values), leaf, allow_unused=True)
    if gradient is None:
        raise _no_gradient(subject, leaf)
    # What is no number has no gradient, though a linear network computes one.
    gradient = gradient.masked_fill(~values.isfinite()[:, None, None, None], torch.nan)
    return gradient if scale == 1 else gradient.float() / scale


def without_rounding(differences: Tensor, values: Tensor) -> Tensor:
    """Return differences of the scores of copies, 0 where they are no more than rounding.

    Args:
        differences: (B, n), with NaN for what is no number.
        values: (B, n) or (B, 1), scores of their size.
    """
    largest = values.abs().amax(1, keepdim=True)
    return differences.masked_fill(differences.abs() <= ROUNDING * largest, 0)


def _no_gradient(subject: Subject, leaf: Tensor) -> ModelError:
    """Return an error that names what ends the gradient."""
    stops = GradientStops()
    with torch.enable_grad(), stops:
        subject.cam.run(leaf.clone())
    if stops.found:
        reason = f"the forward pass {' and '.join(stops.found)}"
    elif subject.cam.quantised:
        reason = f"the model is quantised, as at {subject.cam.quantised[0]!r}"
    else:
        reason = "an operation in between has none"
    return ModelError(
        f"no gradient gets from the score to the network's input: {reason}. "
        'method="rise" and "occlusion" need no gradients'
    )
