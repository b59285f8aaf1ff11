"""Read a classifier's output, in any of its usual forms, as one row of class scores per image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from effcam.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

Link: TypeAlias = Literal["softmax", "sigmoid"]
"""The function from scores to probabilities."""

LOGITS, LOSS = "logits", "loss"
FEATURES = ("embed", "feature", "hidden", "pooler")
"""Words in the keys of outputs that are features and no class scores."""


@dataclass(frozen=True, slots=True, eq=False)
class Logits:
    """The class scores of a batch, before any softmax or sigmoid.

    Attributes:
        values: (batch, classes). For a model that returns a single logit z per image, -z for
            class 0, absence, and z for class 1, presence.
        binary: Whether the model returns a single logit.
        link: The function from the scores to probabilities. ``"sigmoid"`` is for classes that do
            not exclude each other; a single logit needs no choice.
    """

    values: Tensor
    binary: bool = False
    link: Link = "softmax"

    @property
    def raw(self) -> Tensor:
        """The scores as the model returns them: (batch, 1) for a single logit."""
        return self.values[:, 1:] if self.binary else self.values

    @property
    def probabilities(self) -> Tensor:
        """The (batch, classes) float32 probabilities: the softmax or the sigmoid of the scores.

        For a single logit they are the sigmoid of -z and of z.
        """
        values = self.values.detach().float()
        if self.binary:
            # The sigmoid of z is the softmax of -z / 2 and z / 2.
            return (values / 2).softmax(1)
        return values.sigmoid() if self.link == "sigmoid" else values.softmax(1)


def read_logits(
    output: object, batch: int, *, classes: int | None = None, link: Link = "softmax"
) -> Logits:
    """Return the class scores in a classifier's output.

    They are the tensor itself; or the ``logits`` of an object or a mapping; or the only tensor of
    a tuple, list or mapping that has one row per image, apart from those with a key such as
    ``features``. Of several such tensors of one width (as with an auxiliary head) they are the
    first. A single value per image is the logit of a binary classifier.

    Args:
        output: The model's output.
        batch: The number of images.
        classes: The number of classes, if it is known; it decides between tensors of different
            widths.
        link: The function from the scores to probabilities.

    Raises:
        ModelError: If there is no row of class scores for each image, or if tensors of different
            widths may be the scores.
    """
    import torch

    rows = _find_rows(output, batch, classes)
    if rows.shape[1] > 1:
        return Logits(rows, link=link)
    return Logits(torch.cat([-rows, rows], dim=1), binary=True)


def tensors(value: object) -> Iterator[Tensor]:
    """Yield the tensors in nested mappings, lists and tuples, in order."""
    yield from (tensor for _, tensor in _named(value))


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


def _find_rows(output: object, batch: int, classes: int | None) -> Tensor:
    """Return the (batch, values) class scores in an output."""
    named = list(_named(_logits(output)))
    # A scalar is a loss, or the single logit of a batch of one image.
    named = [each for each in named if each[1].ndim > 0] or named
    found = [(name, rows) for name, each in named if (rows := _as_rows(each, batch)) is not None]
    if not found:
        raise ModelError(
            "expected a classifier, which returns one row of class scores per image, (batch, "
            "classes), by itself, in a tuple or a mapping, or as its logits; for "
            f"{batch} images this model returns {describe(output)}"
        )
    exact = [rows for _, rows in found if rows.shape[1] == classes]
    single = [rows for _, rows in found if classes == 2 and rows.shape[1] == 1]
    if exact or single:
        return (exact or single)[0]
    named_otherwise = [(name, rows) for name, rows in found if not _is_feature(name)]
    _check_names(named_otherwise or found)
    return (named_otherwise or found)[0][1]


def _is_feature(name: str) -> bool:
    return any(word in name.casefold() for word in FEATURES)


def _check_names(found: list[tuple[str, Tensor]]) -> None:
    """Refuse tensors of several widths, and those whose names say that they are features."""
    shown = " and ".join(f"{name} of shape {tuple(rows.shape)}" for name, rows in found)
    if len({rows.shape[1] for _, rows in found}) > 1:
        raise ModelError(
            f"the model returns {len(found)} tensors that may be its class scores: {shown}. Give "
            "labels= with a name for each class, whose number decides, or give a module that "
            "returns the scores alone"
        )
    if all(_is_feature(name) for name, _ in found):
        raise ModelError(
            f"the model returns no class scores but {shown}: give a module that has a classifier "
            "on top of it"
        )


def _as_rows(value: Tensor, batch: int) -> Tensor | None:
    """Return a tensor as (batch, values), ``None`` if it has no single row per image."""
    if batch == 1 and value.ndim < 2:
        # A model that ends in squeeze() drops the batch of one image with it.
        value = value.reshape(1, -1)
    if not value.is_floating_point() or value.shape[:1] != (batch,) or value.numel() == 0:
        return None
    rows = value[:, None] if value.ndim == 1 else value
    return rows.flatten(1) if rows.shape[2:].numel() == 1 else None


def _logits(output: object) -> object:
    """Return the part of an output that is called its logits, else the output without losses."""
    if isinstance(output, Mapping):
        output = {key: value for key, value in output.items() if key != LOSS}
    named = output.get(LOGITS) if isinstance(output, Mapping) else getattr(output, LOGITS, None)
    return output if named is None else named


def _named(value: object, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in nested mappings, lists and tuples, each with its place: ``[0]``."""
    import torch

    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _named(each, f"{name}[{key!r}]")
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from _named(each, f"{name}[{index}]")
