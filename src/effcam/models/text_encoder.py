"""The text tower of a two-tower model, as CLIP and SigLIP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from effcam.models.tracing.logits import Link

if TYPE_CHECKING:
    from torch import Tensor

TEMPLATES = ("a photo of a {}",)
"""How the name of a class becomes a text, unless a model says otherwise."""


@dataclass(frozen=True, slots=True, eq=False)
class TextEncoder:
    """The text tower of a two-tower model, with its tokenizer.

    Attributes:
        encode: Returns the (n, D) float32 embeddings of n texts, each of length 1.
        scale: What a cosine is multiplied by before the softmax or sigmoid.
        bias: What is added to that.
        link: The function from there to probabilities: ``"softmax"`` over the texts, or
            ``"sigmoid"`` for each text by itself.
        templates: The texts that stand for a class, with {} for its name.
    """

    encode: Callable[[Sequence[str]], Tensor]
    scale: float = 1.0
    bias: float = 0.0
    link: Link = "softmax"
    templates: tuple[str, ...] = TEMPLATES
