"""Read a classifier's output, in any of its usual forms, as one row of class scores per image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from effcam.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

LOGITS, LOSS = "logits", "loss"


@dataclass(frozen=True, slots=True, eq=False)
class Logits:
    """The class scores of a batch, before softmax.

    Attributes:
        values: (batch, classes). For a model that returns a single logit z per image, -z for
            class 0, absence, and z for class 1, presence.
        binary: Whether the model returns a single logit.
    """

    values: Tensor
    binary: bool = False

    @property
    def probabilities(self) -> Tensor:
        """The (batch, classes) float32 softmax of the scores; the sigmoid of a single logit."""
        values = self.values.detach().float()
        # The sigmoid of z is the softmax of -z / 2 and z / 2.
        return (values / 2 if self.binary else values).softmax(1)


def read_logits(output: object, batch: int) -> Logits:
    """Return the class scores in a classifier's output.

    They are the tensor itself; or the ``logits`` of an object or a mapping; or the first tensor
    of a tuple, list or mapping that is not a single number, as a loss is. A single value per
    image is the logit of a binary classifier.

    Args:
        output: The model's output.
        batch: The number of images.

    Raises:
        ModelError: If there is no row of class scores for each image.
    """
    import torch

    found = _logits(output)
    if found is not None and batch == 1 and found.ndim < 2:
        # A model that ends in squeeze() drops the batch of one image with it.
        found = found.reshape(1, -1)
    if found is not None and found.shape[:1] == (batch,) and found.numel() > 0:
        rows = found[:, None] if found.ndim == 1 else found
        if rows.is_floating_point() and rows.shape[2:].numel() == 1:
            values = rows.flatten(1)
            if values.shape[1] > 1:
                return Logits(values)
            return Logits(torch.cat([-values, values], dim=1), binary=True)
    raise ModelError(
        "expected a classifier, which returns one row of class scores per image, (batch, "
        "classes), by itself, first in a tuple or a mapping, or as its logits; for "
        f"{batch} images this model returns {describe(output)}"
    )


def tensors(value: object) -> Iterator[Tensor]:
    """Yield the tensors in nested mappings, lists and tuples, in order."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from tensors(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors(each)


def first_tensor(value: object) -> Tensor | None:
    """Return a tensor itself, or the one that is first in a tuple or list, else ``None``."""
    import torch

    if isinstance(value, list | tuple) and value:
        value = value[0]
    return value if isinstance(value, torch.Tensor) else None


def describe(value: object) -> str:
    """Return a description of a value: ``a tensor of shape (2, 5)``, ``a tuple of 2``."""
    import torch

    if isinstance(value, torch.Tensor):
        kind = "" if value.is_floating_point() else f" of {value.dtype}".replace("torch.", "")
        return f"a tensor of shape {tuple(value.shape)}{kind}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


def _logits(output: object) -> Tensor | None:
    if isinstance(output, Mapping):
        output = {key: value for key, value in output.items() if key != LOSS}
    named = output.get(LOGITS) if isinstance(output, Mapping) else getattr(output, LOGITS, None)
    several = list(tensors(output if named is None else named))
    return next((each for each in several if each.ndim > 0), several[0] if several else None)
