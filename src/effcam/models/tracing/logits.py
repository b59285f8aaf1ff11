"""Read a network's output, in any of its usual forms, as one row of values per image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from effcam.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

Link: TypeAlias = Literal["softmax", "sigmoid"]
"""The function from scores to probabilities."""
Outputs: TypeAlias = Literal["classes", "embedding", "other"]
"""What a network returns for each image: class scores, an embedding, or values of another form."""

LOGITS, LOSS = "logits", "loss"
FEATURES = ("embed", "feature", "hidden", "pooler")
"""Words in the keys of outputs that are features and no class scores."""


@dataclass(frozen=True, slots=True, eq=False)
class Logits:
    """What a network returns for a batch: class scores before any softmax or sigmoid, or others.

    Attributes:
        values: (batch, classes). For a model that returns a single logit z per image, -z for
            class 0, absence, and z for class 1, presence. Without classes, (batch, n): the
            embedding, or all values of the output side by side.
        binary: Whether the model returns a single logit.
        link: The function from the scores to probabilities. ``"sigmoid"`` is for classes that do
            not exclude each other; a single logit needs no choice.
        outputs: What the values are.
        embedding: (batch, n), the embedding, if there is one.
        output: The network's own output.
    """

    values: Tensor
    binary: bool = False
    link: Link = "softmax"
    outputs: Outputs = "classes"
    embedding: Tensor | None = None
    output: object = None

    @property
    def raw(self) -> Tensor:
        """The scores as the model returns them: (batch, 1) for a single logit."""
        return self.values[:, 1:] if self.binary else self.values

    @property
    def probabilities(self) -> Tensor:
        """The (batch, classes) float32 probabilities: the softmax or the sigmoid of the scores.

        For a single logit they are the sigmoid of -z and of z. Without classes there are none.
        """
        values = self.values.detach()
        if self.outputs != "classes":
            return values[:, :0].float()
        values = values.float()
        if self.binary:
            # The sigmoid of z is the softmax of -z / 2 and z / 2.
            return (values / 2).softmax(1)
        return values.sigmoid() if self.link == "sigmoid" else values.softmax(1)


def read_logits(
    output: object,
    batch: int,
    *,
    classes: int | None = None,
    link: Link = "softmax",
    outputs: Outputs = "classes",
) -> Logits:
    """Return the class scores in a network's output, or its embedding, or all of its values.

    Class scores and embeddings are the tensor itself; or the ``logits`` of an object or a mapping;
    or the only tensor of a tuple, list or mapping that has one row per image, apart from those with
    a key such as ``features``. Of several such tensors of one width (as with an auxiliary head)
    they are the first. A single value per image is the logit of a binary classifier. Where all
    such tensors have a key such as ``features``, they are an embedding.

    Args:
        output: The model's output.
        batch: The number of images.
        classes: The number of classes, if it is known; it decides between tensors of different
            widths.
        link: The function from the scores to probabilities.
        outputs: What it returns, if that is known.

    Raises:
        ModelError: If there is no row for each image, or if tensors of different widths may be it;
            except for other outputs.
    """
    import torch

    if outputs == "other":
        return Logits(_all_values(output, batch), outputs=outputs, output=output)
    rows, is_feature = _find_rows(output, batch, classes)
    if outputs == "embedding" or is_feature:
        return Logits(rows, outputs="embedding", embedding=rows, output=output)
    if rows.shape[1] > 1:
        return Logits(rows, link=link, output=output)
    return Logits(torch.cat([-rows, rows], dim=1), binary=True, output=output)


def _all_values(output: object, batch: int) -> Tensor:
    """Return all floats of an output that has a row for each image, side by side.

    A list of a mapping for each image, as detectors return it, has no rows.
    """
    import torch

    found = [each for each in tensors(output) if each.ndim and each.is_floating_point()]
    is_listed = isinstance(output, list | tuple) and all(isinstance(e, Mapping) for e in output)
    rows = [each.reshape(batch, -1) for each in found if len(each) == batch and not is_listed]
    if rows:
        return torch.cat(rows, dim=1)
    device = found[0].device if found else None
    return torch.empty((batch, 0), device=device)


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


def _find_rows(output: object, batch: int, classes: int | None) -> tuple[Tensor, bool]:
    """Return the (batch, values) rows in an output, and whether their name says features."""
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
        return (exact or single)[0], False
    named_otherwise = [(name, rows) for name, rows in found if not _is_feature(name)]
    chosen = named_otherwise or found
    _check_width(chosen)
    return chosen[0][1], not named_otherwise


def _is_feature(name: str) -> bool:
    return any(word in name.casefold() for word in FEATURES)


def _check_width(found: list[tuple[str, Tensor]]) -> None:
    """Refuse tensors of several widths."""
    if len({rows.shape[1] for _, rows in found}) > 1:
        shown = " and ".join(f"{name} of shape {tuple(rows.shape)}" for name, rows in found)
        raise ModelError(
            f"the model returns {len(found)} tensors that may be its class scores: {shown}. Give "
            "labels= with a name for each class, whose number decides, or give a module that "
            "returns the scores alone"
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
