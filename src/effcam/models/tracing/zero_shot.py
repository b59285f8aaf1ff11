"""Class scores from an embedding: how near it is to the text of each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class ZeroShotHead:
    """A linear classifier on unit embeddings, whose weights are embeddings of texts.

    As in Radford et al. 2021 (arXiv:2103.00020), section 3.1.4.

    Attributes:
        weights: (classes, D) float32, of unit length: the embedding of each class's texts.
        scale: The number that cosines are multiplied with: the inverse of the temperature.
        bias: The number that is added then; 0 for models that were trained with a softmax.
        texts: The texts of each class.
    """

    weights: Tensor
    scale: float = 1.0
    bias: float = 0.0
    texts: tuple[tuple[str, ...], ...] = ()

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.weights.shape[0])

    def __call__(self, embedding: Tensor) -> Tensor:
        """Return the class scores of a batch: scale * cosine + bias.

        Args:
            embedding: (batch, D), of any length.

        Returns:
            (batch, classes) logits, in the type of the embedding.

        >>> import torch
        >>> head = ZeroShotHead(torch.eye(2), scale=10.0)
        >>> head(torch.tensor([[3.0, 4.0]]))
        tensor([[6., 8.]])
        """
        unit = embedding / embedding.norm(dim=-1, keepdim=True)
        scores: Tensor = self.scale * unit @ self.weights.to(embedding).T + self.bias
        return scores
