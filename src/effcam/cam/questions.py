"""What is asked of each image of a model: a score computed from its class scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from effcam.cam.methods import Method
from effcam.errors import TargetError
from effcam.models.model import Model
from effcam.targets import (
    RANK,
    ClassLike,
    Combination,
    Contrast,
    Kind,
    PerImage,
    PlainTarget,
    Single,
    by_name,
    check_once,
    named,
    terms_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNSIGNED = ("eigengradcam",)
"""Methods whose map is the same if the score is turned around: a component has no sign."""
Asked: TypeAlias = Mapping[str, Sequence[Single] | None]
"""What is asked of each image, by the name of the target, "" for one alone; ``None`` is the
model's own top-1."""


@dataclass(frozen=True, slots=True, eq=False)
class Questions:
    """What is asked of each of n images.

    Attributes:
        classes: (n, k) int64: indices of classes, or -r for the class with the r-th highest score.
        factors: (n, k) float32: the factor of each class's score; 0 for a place that is not used.
        softmax: (n,) bool: whether the sum of the factors below 0 is shared anew by the softmax
            of their classes' scores.
    """

    classes: NDArray[np.int64]
    factors: NDArray[np.float32]
    softmax: NDArray[np.bool_]

    @classmethod
    def of_classes(cls, classes: Sequence[int]) -> Questions:
        """Return the question for one class in each image.

        Args:
            classes: Their indices, or ranks as in `classes`.
        """
        asked = np.array(classes, np.int64)[:, None]
        return cls(asked, np.ones(asked.shape, np.float32), np.zeros(len(asked), bool))

    def __getitem__(self, part: slice | Sequence[int]) -> Questions:
        return Questions(self.classes[part], self.factors[part], self.softmax[part])

    def on(self, scores: Tensor) -> Score:
        """Return the score to explain, given the (n, classes) scores."""
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
        return Score(classes, factors, torch.from_numpy(self.softmax).to(scores.device))


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """The score that is explained in each of B images.

    Attributes:
        classes: (B, k) int64 indices of classes.
        factors: (B, k) float32: the factor of each class's score.
        softmax: (B,) bool, as in `Questions`.
    """

    classes: Tensor
    factors: Tensor
    softmax: Tensor

    @property
    def is_class(self) -> bool:
        """Whether it is that of one class in each image."""
        return self.classes.shape[1] == 1

    def __call__(self, scores: Tensor) -> Tensor:
        """Return (B,) values, given the (B, classes) scores of the same images."""
        found = scores.gather(1, self.classes)
        return (found * self._factors(found, self.factors, self.softmax)).sum(1)

    def of_image(self, row: int, scores: Tensor) -> Tensor:
        """Return (n,) values of one image's score, given n rows of (n, classes) scores."""
        found = scores[:, self.classes[row]]
        return (found * self._factors(found, self.factors[row], self.softmax[row])).sum(1)

    def _factors(self, found: Tensor, factors: Tensor, softmax: Tensor) -> Tensor:
        """Return the factors for (n, k) scores of the classes."""
        if self.is_class or not softmax.any():
            return factors
        others = factors < 0
        shares = found.float().masked_fill(~others, -torch.inf).softmax(-1).nan_to_num()
        total = factors.where(others, 0).sum(-1, keepdim=True)
        return torch.where(softmax[..., None] & others, shares * total, factors)


def per_image(target: PlainTarget, images: int) -> Asked:
    """Return what is asked of each image, by the name of the target.

    Raises:
        TargetError: If the number of targets is not that of the images.
    """
    return {name: _per_image(each, images) for name, each in by_name(target).items()}


def _per_image(target: PerImage, images: int) -> Sequence[Single] | None:
    if target is None:
        return None
    if not isinstance(target, tuple):
        return (target,) * images
    if len(target) != images:
        raise TargetError(f"there are {len(target)} targets for {images} images: give one for each")
    return target


def ask(model: Model, targets: Sequence[Single] | None, images: int) -> Questions:
    """Return what is asked of a model.

    Args:
        model: The model.
        targets: The target of each image; ``None`` is the model's own top-1.
        images: The number of images.

    Raises:
        TargetError: If a class is unknown, ambiguous or out of range, or a contrast is between a
            class and itself.
    """
    if not targets:
        return Questions.of_classes([-1] * images)
    # Look each target up once, not once an image.
    found = {target: _resolve(model, target) for target in dict.fromkeys(targets)}
    width = max(len(terms) for terms in found.values())
    unused = [(0, 0.0)]
    filled = {target: terms + unused * (width - len(terms)) for target, terms in found.items()}
    rows = np.array([filled[target] for target in targets])
    softmax = [isinstance(each, Contrast) and each.weights == "softmax" for each in targets]
    return Questions(
        rows[..., 0].astype(np.int64), rows[..., 1].astype(np.float32), np.array(softmax)
    )


def check_target(model: Model, target: PlainTarget) -> None:
    """Check that a model has the classes of a target.

    Raises:
        TargetError: As `ask`.
    """
    for each in by_name(target).values():
        ask(model, each if isinstance(each, tuple) or each is None else (each,), 1)


def check_methods_of(target: PlainTarget, methods: Sequence[Method]) -> None:
    """Check that methods can explain a target.

    Raises:
        TargetError: If one cannot tell a contrast from the opposite one.
    """
    several = by_name(target).values()
    singles = [one for each in several for one in (each if isinstance(each, tuple) else (each,))]
    contrast = next((each for each in singles if isinstance(each, Contrast)), None)
    unsigned = next((each for each in methods if each in UNSIGNED), None)
    if contrast is not None and unsigned is not None:
        raise TargetError(
            f"{unsigned} cannot explain a contrast ({contrast}): its map is the same for the "
            "opposite one"
        )


def kind_of(target: Single | None) -> Kind:
    """Return what kind of target it is."""
    return target.kind if isinstance(target, Combination) else "class"


def name_target(model: Model, target: Single | None, classes: Sequence[int]) -> str:
    """Return the name of what is explained in one image, such as "tabby - tiger cat".

    Args:
        model: The model.
        target: What was asked.
        classes: The indices of its classes in this image.
    """
    if not isinstance(target, Combination):
        return model.labels[classes[0]]
    used = len(terms_of(target))
    return named(target, [model.labels[index] for index in classes[:used]])


def _resolve(model: Model, target: Single) -> list[tuple[int, float]]:
    terms = [(_find(model, each), factor) for each, factor in terms_of(target)]
    check_once(
        f"{model.name}: {target}",
        [model.labels[index] if index >= 0 else f"top{-index}" for index, _ in terms],
    )
    return terms


def _find(model: Model, target: ClassLike) -> int:
    """Return the index of a class, or its rank, negative."""
    ranked = RANK.fullmatch(target) if isinstance(target, str) else None
    if ranked is None:
        return model.find_class(target)
    try:
        return model.find_class(target)
    except TargetError:
        rank = int(ranked[1])
    if rank > model.num_classes:
        raise TargetError(f"{target} is out of range: {model.name} has {model.num_classes} classes")
    return -rank
