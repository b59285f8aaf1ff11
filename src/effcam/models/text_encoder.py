"""The text tower of a model of images and texts: from words to unit embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from effcam.errors import ArgumentError, ModelError
from effcam.models.tracing.logits import Link
from effcam.models.tracing.zero_shot import ZeroShotHead

if TYPE_CHECKING:
    from torch import Tensor

TEMPLATES = ("a photo of a {}",)
"""How the name of a class becomes a text, if nothing else is said."""
BATCH = 64
"""The most texts that are encoded at once."""

Labels: TypeAlias = Sequence[str] | Mapping[str, str | Sequence[str]]
"""Class names; or a mapping from each class name to its text, or to several texts."""
Embed: TypeAlias = Callable[[list[str]], "Tensor"]


@dataclass(frozen=True, slots=True, eq=False)
class TextEncoder:
    """The text tower of a model, with its tokenizer, and how texts are compared with images.

    Attributes:
        embed: Returns the (n, D) embeddings of texts; refuses texts that the model would cut.
        scale: The number that the cosine of an image and a text is multiplied with.
        bias: The number that is added then; 0 for models that were trained with a softmax.
        link: The function from these scores to probabilities: ``"softmax"`` over the texts, as
            for CLIP, or ``"sigmoid"`` of each text, as for SigLIP.
        templates: How the name of a class becomes texts; each has ``{}`` for the name.
    """

    embed: Embed = field(repr=False)
    scale: float = 1.0
    bias: float = 0.0
    link: Link = "softmax"
    templates: tuple[str, ...] = TEMPLATES

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Return the embeddings of texts.

        Args:
            texts: The texts, in the words in which they are to be encoded.

        Returns:
            (n, D) float32 of unit length, on the device of the model.

        Raises:
            ArgumentError: If there is no text, one is empty or too long for the model, or the
                model has no tokenizer.
            WeightsError: If the tokenizer's files can be neither found nor fetched.
            ModelError: If the text tower fails, or its embedding of a text has no direction.
        """
        import torch

        from effcam.models.tracing.torch_state import plain_torch

        listed = _check_texts(texts)
        parts = [listed[at : at + BATCH] for at in range(0, len(listed), BATCH)]
        with plain_torch():
            found = torch.cat([self.embed(part).detach().float() for part in parts])
            lengths = found.norm(dim=1, keepdim=True)
            units: Tensor = found / lengths
        wrong = ~(lengths.isfinite() & (lengths > 0)).squeeze(1)
        if not found.is_meta and wrong.any():
            raise ModelError(
                f"the embedding of the text {listed[int(wrong.nonzero()[0])]!r} is zero or not a "
                "number, so it has no direction to compare images with"
            )
        return units


def zero_shot(encoder: TextEncoder, labels: Labels) -> ZeroShotHead:
    """Return the classifier that the texts of some classes make.

    The unit embeddings of the texts of a class are averaged, and the mean is made a unit again, as
    in Radford et al. 2021 (arXiv:2103.00020), section 3.1.4.

    Args:
        encoder: The text tower.
        labels: The names of the classes, which become texts by the encoder's templates; or a
            mapping from each name to its text or texts, which are used as they are.

    Raises:
        ArgumentError: If there are no classes, a name occurs twice, or a text cannot be encoded.
        WeightsError: As in `TextEncoder.encode`.
        ModelError: As in `TextEncoder.encode`.
    """
    import torch

    from effcam.models.tracing.torch_state import plain_torch

    texts = class_texts(labels, encoder.templates)
    every = encoder.encode([text for of_class in texts.values() for text in of_class])
    with plain_torch():
        parts = every.split([len(of_class) for of_class in texts.values()])
        means = torch.stack([part.mean(0) for part in parts])
        weights = means / means.norm(dim=1, keepdim=True)
    own = tuple(map(tuple, texts.values()))
    return ZeroShotHead(weights, encoder.scale, encoder.bias, own)


def class_names(labels: Labels) -> tuple[str, ...]:
    """Return the names of the classes."""
    return tuple(str(name) for name in labels)


def class_texts(labels: Labels, templates: Sequence[str]) -> dict[str, list[str]]:
    """Return the texts of each class.

    Args:
        labels: As in `zero_shot`.
        templates: How a name becomes texts.

    Raises:
        ArgumentError: If there are no classes, a name occurs twice, or a class has no text.

    >>> class_texts(["dog", "cat"], ["a photo of a {}", "a drawing of a {}"])["cat"]
    ['a photo of a cat', 'a drawing of a cat']
    >>> class_texts({"dog": "a dog on grass"}, ["a photo of a {}"])
    {'dog': ['a dog on grass']}
    """
    if isinstance(labels, str) or not isinstance(labels, Mapping | Sequence):
        raise ArgumentError(
            "labels must be names of classes, or a mapping from each name to its texts, not "
            f"{labels!r}"
        )
    names = class_names(labels)
    if not names:
        raise ArgumentError("labels is empty: give a name for each class")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ArgumentError(f"labels has {twice[0]!r} twice: each class needs a name of its own")
    if isinstance(labels, Mapping):
        return {str(name): _own_texts(str(name), given) for name, given in labels.items()}
    return {name: [template.replace("{}", name) for template in templates] for name in names}


def _own_texts(name: str, given: object) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, Sequence) or not texts:
        raise ArgumentError(
            f"class {name!r} needs a text or a list of texts, not {given!r}; to have texts made of "
            "the names, give labels as a list"
        )
    return _check_texts(texts)


def _check_texts(texts: Sequence[object]) -> list[str]:
    if isinstance(texts, str) or not texts:
        raise ArgumentError(f"expected a list of texts, not {texts!r}")
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise ArgumentError(f"a text must have words, not {text!r}")
    return [str(text) for text in texts]
