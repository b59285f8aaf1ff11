"""The score that is explained in each image, computed from what a network returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from effcam.cam.methods.own_function import check_independent, compute
from effcam.errors import TargetError
from effcam.models.tracing.logits import Logits
from effcam.targets.outputs import Function

if TYPE_CHECKING:
    from numpy.typing import NDArray

Rows: TypeAlias = slice | Sequence[int]
"""Positions of images."""


EQUAL = 1 - 1e-6
"""The cosine of embeddings that are equal but for rounding."""


class Score(Protocol):
    """The score that is explained in each of B images."""

    @property
    def classes(self) -> Tensor:
        """(B, k) int64, the indices of its classes; k = 0 for other scores."""

    @property
    def is_class(self) -> bool:
        """Whether it is that of one class in each image."""

    def __call__(self, found: Logits) -> Tensor:
        """Return (B,) values, given what the network returned for the same images."""

    def of_image(self, row: int, found: Logits) -> Tensor:
        """Return (n,) float32 values of one image's score, for n changed copies of that image."""

    def of_copies(self, rows: Tensor, found: Logits) -> Tensor:
        """Return (n,) float32 values, for n changed copies of images.

        Args:
            rows: (n,) int64, the position of the image that each is a copy of.
            found: What the network returned for the copies.
        """


class Questions(Protocol):
    """What is asked of each of n images."""

    def __getitem__(self, part: Rows) -> Questions:
        """Return what is asked of some of them."""

    def on(self, found: Logits) -> Score:
        """Return the score to explain, given what the network returned for these images."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassQuestions:
    """Scores of classes, or values of the output, each with a factor.

    Attributes:
        classes: (n, k) int64: indices of classes, or -r for the class with the r-th highest score.
        factors: (n, k) float32: the factor of each class's score; 0 for a place that is not used.
        softmax: (n,) bool: whether the sum of the factors below 0 is shared anew by the softmax
            of their classes' scores.
        raw: Whether the indices are those of values as the network returns them.
    """

    classes: NDArray[np.int64]
    factors: NDArray[np.float32]
    softmax: NDArray[np.bool_]
    raw: bool = False

    @classmethod
    def of_classes(cls, classes: Sequence[int]) -> ClassQuestions:
        """Return the question for one class in each image.

        Args:
            classes: Their indices, or ranks as in `classes`.
        """
        asked = np.array(classes, np.int64)[:, None]
        return cls(asked, np.ones(asked.shape, np.float32), np.zeros(len(asked), bool))

    def __getitem__(self, part: Rows) -> ClassQuestions:
        return ClassQuestions(self.classes[part], self.factors[part], self.softmax[part], self.raw)

    def on(self, found: Logits) -> ClassScore:
        """Return the score to explain, given the network's class scores."""
        scores = found.values
        classes = torch.from_numpy(self.classes).to(scores.device)
        if (self.classes < 0).any():
            # Of equal scores, the one of the lower index is first. Most ask for the top one only.
            order = (
                scores.argmax(1, keepdim=True)
                if self.classes.min() == -1
                else scores.detach().float().argsort(dim=1, descending=True, stable=True)
            )
            ranked = order.gather(1, (-classes - 1).clamp(min=0))
            classes = torch.where(classes < 0, ranked, classes)
        factors = torch.from_numpy(self.factors).to(scores.device)
        softmax = torch.from_numpy(self.softmax).to(scores.device)
        return ClassScore(classes, factors, softmax, self.raw)


@dataclass(frozen=True, slots=True, eq=False)
class ClassScore:
    """A weighted sum of class scores, or a value of the output.

    Attributes:
        terms: (B, k) int64 indices of classes, or of values.
        factors: (B, k) float32: the factor of each class's score.
        softmax: (B,) bool, as in `ClassQuestions`.
        raw: As in `ClassQuestions`.
    """

    terms: Tensor
    factors: Tensor
    softmax: Tensor
    raw: bool = False

    @property
    def classes(self) -> Tensor:
        """(B, k) int64 indices of classes; none for values."""
        return self.terms[:, :0] if self.raw else self.terms

    @property
    def is_class(self) -> bool:
        """Whether it is that of one class in each image."""
        return self.terms.shape[1] == 1 and not self.raw

    def __call__(self, found: Logits) -> Tensor:
        """Return (B,) values, given the scores of the same images."""
        scores = self._of(found).gather(1, self.terms)
        return (scores * self._factors(scores, self.factors, self.softmax)).sum(1)

    def of_image(self, row: int, found: Logits) -> Tensor:
        """Return (n,) values of one image's score, given n rows of scores."""
        scores = self._of(found)[:, self.terms[row]].float()
        return (scores * self._factors(scores, self.factors[row], self.softmax[row])).sum(1)

    def of_copies(self, rows: Tensor, found: Logits) -> Tensor:
        """Return (n,) values of the scores of images, given n rows of scores."""
        rows = rows.to(self.terms.device)
        scores = self._of(found).gather(1, self.terms[rows]).float()
        return (scores * self._factors(scores, self.factors[rows], self.softmax[rows])).sum(1)

    def probabilities_of_copies(self, rows: Tensor, found: Logits) -> Tensor:
        """Return the same, but the class's probability where the score is that of one class."""
        values = self.of_copies(rows, found)
        if self.raw:
            return values
        rows = rows.to(self.terms.device)
        used = self.factors[rows] != 0
        single = (used.sum(1) == 1) & (self.factors[rows, 0] == 1)
        probabilities = found.probabilities.gather(1, self.terms[rows, :1])[:, 0]
        return torch.where(single, probabilities, values)

    def _of(self, found: Logits) -> Tensor:
        """Return the scores that the indices are those of."""
        return found.raw if self.raw else found.values

    def _factors(self, found: Tensor, factors: Tensor, softmax: Tensor) -> Tensor:
        """Return the factors for (n, k) scores of the classes."""
        if not softmax.any():
            return factors
        others = factors < 0
        shares = found.float().masked_fill(~others, -torch.inf).softmax(-1).nan_to_num()
        total = factors.where(others, 0).sum(-1, keepdim=True)
        return torch.where(softmax[..., None] & others, shares * total, factors)


@dataclass(frozen=True, slots=True, eq=False)
class AboveQuestions:
    """The scores of all labels whose probability is at least a threshold, added.

    Attributes:
        thresholds: (n,) float32, in [0, 1].
    """

    thresholds: NDArray[np.float32]

    def __getitem__(self, part: Rows) -> AboveQuestions:
        return AboveQuestions(self.thresholds[part])

    def on(self, found: Logits) -> AboveScore:
        """Return the score to explain, given the network's scores of labels."""
        probabilities = found.probabilities
        thresholds = torch.from_numpy(self.thresholds).to(probabilities.device)
        order = probabilities.argsort(dim=1, descending=True, stable=True)
        above = probabilities >= thresholds[:, None]
        return AboveScore(above, order.masked_fill(~above.gather(1, order), -1))


@dataclass(frozen=True, slots=True, eq=False)
class AboveScore:
    """The scores of some labels of each image, added.

    Attributes:
        above: (B, labels) bool, which labels.
        classes: (B, labels) int64, their indices, the most probable first; -1 after the last.
    """

    above: Tensor
    classes: Tensor
    is_class: bool = False

    def __call__(self, found: Logits) -> Tensor:
        """Return (B,) values, 0 where there is no label."""
        return found.values.where(self.above, 0).sum(1)

    def of_image(self, row: int, found: Logits) -> Tensor:
        """Return (n,) values of the labels of one image, given n rows of scores."""
        return found.values.float().where(self.above[row], 0).sum(1)

    def of_copies(self, rows: Tensor, found: Logits) -> Tensor:
        """Return (n,) values of the labels of images, given n rows of scores."""
        return found.values.float().where(self.above[rows.to(self.above.device)], 0).sum(1)


@dataclass(frozen=True, slots=True, eq=False)
class CosineQuestions:
    """The cosine of the angle between an image's embedding and a direction.

    Attributes:
        directions: (n, D) float32, one for each image.
    """

    directions: NDArray[np.float32]

    def __getitem__(self, part: Rows) -> CosineQuestions:
        return CosineQuestions(self.directions[part])

    def on(self, found: Logits) -> CosineScore:
        """Return the score to explain, given the network's embedding."""
        return CosineScore(torch.from_numpy(self.directions).to(found.values.device))


@dataclass(frozen=True, slots=True, eq=False)
class CosineScore:
    """The cosine of the angle between an embedding and a direction.

    Attributes:
        directions: (B, D) float32.
    """

    directions: Tensor
    is_class: bool = False

    @property
    def classes(self) -> Tensor:
        """(B, 0): it is of no classes."""
        return self.directions[:, :0].long()

    def __call__(self, found: Logits) -> Tensor:
        """Return (B,) values, given the embeddings of the same images."""
        return _cosines(found, self.directions, undefined=torch.nan)

    def of_image(self, row: int, found: Logits) -> Tensor:
        """Return (n,) values of one image's score, given n embeddings."""
        # A changed copy may be black, which has no direction in a network without biases.
        return _cosines(found, self.directions[row : row + 1], undefined=0.0)

    def of_copies(self, rows: Tensor, found: Logits) -> Tensor:
        """Return (n,) values of the cosines of images, given n embeddings."""
        return _cosines(found, self.directions[rows.to(self.directions.device)], undefined=0.0)


def _cosines(found: Logits, directions: Tensor, *, undefined: float) -> Tensor:
    """Return the cosines of embeddings and directions, and a value for embeddings that are 0."""
    if found.embedding is None:
        raise TargetError("there is no embedding to compare: the network returned class scores")
    embedding = found.embedding.float()
    # The cosine is that of any length, and squares of small or large values leave float32.
    largest = embedding.detach().abs().amax(1, keepdim=True)
    scaled = embedding / largest.clamp(min=torch.finfo(torch.float32).tiny)
    cosines = nn.functional.cosine_similarity(scaled, directions)
    cosines = cosines.where(largest[:, 0] != 0, undefined)
    # Where the two are equal, as for an image and itself, nothing raises the cosine: its gradient
    # is 0, and what is computed for it is rounding.
    return torch.where(cosines > EQUAL, cosines.detach(), cosines)


@dataclass(frozen=True, slots=True, eq=False)
class FunctionQuestions:
    """Values that functions of the caller's own compute from the output.

    Attributes:
        functions: The function of each image.
    """

    functions: tuple[Function, ...]

    def __getitem__(self, part: Rows) -> FunctionQuestions:
        if isinstance(part, slice):
            return FunctionQuestions(self.functions[part])
        return FunctionQuestions(tuple(self.functions[at] for at in part))

    def on(self, found: Logits) -> FunctionScore:
        """Return the score to explain."""
        return FunctionScore(self.functions, found.values.device)


@dataclass(frozen=True, slots=True, eq=False)
class FunctionScore:
    """A value that a function of the caller's own computes from the output.

    Attributes:
        functions: The function of each image.
        device: Where the network's output is.
    """

    functions: tuple[Function, ...]
    device: torch.device
    is_class: bool = False

    @property
    def classes(self) -> Tensor:
        """(B, 0): it is of no classes."""
        return torch.empty((len(self.functions), 0), dtype=torch.long, device=self.device)

    def __call__(self, found: Logits) -> Tensor:
        """Return (B,) values, given the output for the same images."""
        images = len(self.functions)
        # A function of the caller's own may have no hash.
        different = {id(each.compute): each for each in self.functions}
        values = {key: compute(each, found, images) for key, each in different.items()}
        for key, each in different.items():
            check_independent(each, values[key], found)
        if len(values) == 1:
            return next(iter(values.values()))
        return torch.stack([values[id(each.compute)][at] for at, each in enumerate(self.functions)])

    def of_image(self, row: int, found: Logits) -> Tensor:
        """Return (n,) values of one image's function, given the output for n images."""
        return compute(self.functions[row], found, len(found.values)).float()

    def of_copies(self, rows: Tensor, found: Logits) -> Tensor:
        """Return (n,) values of the functions of images, given the output for n copies."""
        wanted = [self.functions[row] for row in rows.tolist()]
        different = {id(each.compute): each for each in wanted}
        values = {key: compute(each, found, len(wanted)) for key, each in different.items()}
        return torch.stack([values[id(each.compute)][at] for at, each in enumerate(wanted)]).float()
