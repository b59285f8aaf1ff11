"""Targets of classes: contrasts, sums, labels above a threshold, and ranks in each image."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar, Literal, TypeAlias, cast, get_args

from effcam.errors import TargetError, _index

Kind: TypeAlias = Literal["class", "contrast", "sum", "value", "similarity", "text", "function"]
"""What a target is: one class, several together, or a value of the network's output."""
Weights: TypeAlias = Literal["mean", "softmax"]
"""How the other classes of a contrast count."""
ClassLike: TypeAlias = int | str
"""A class: its index, one of its names, or its rank in each image, as ``"top2"``."""
Terms: TypeAlias = tuple[tuple[ClassLike, float], ...]
"""Classes whose scores are added, each with its factor."""
CONSENSUS = "consensus"
"""The class with the highest mean probability over the models."""
MOST_NAMED = 5
"""The most labels that the name of labels above a threshold lists."""
RANK = re.compile(r"top([1-9][0-9]*)")


@dataclass(frozen=True, slots=True, repr=False)
class Contrast:
    """The evidence for one class rather than others.

    Explains the score y_of - strength * m, where m is the score of the other class, or the mean of
    the scores of several. So heat is where the image speaks for the first class more than for the
    others. With Grad-CAM before a linear head, the map is the difference of the classes' maps
    before negative values are removed. Source: Finer-CAM, Zhang et al. 2025, arXiv:2501.11309.

    Attributes:
        of: The class explained.
        against: The class that it is told from, or several; a tuple.
        strength: The factor of m, above 0.
        weights: How the other classes count in m: ``"mean"``, all alike, or ``"softmax"``, by the
            softmax of their own scores.

    Raises:
        TargetError: If a value is impossible, or a class is given twice.

    >>> print(Contrast("top1", "top2", strength=0.6))
    top1 - 0.6 * top2
    >>> print(Contrast("tabby", ["lynx", "tiger cat"]))
    tabby - mean(lynx, tiger cat)
    """

    of: ClassLike
    against: ClassLike | Sequence[ClassLike]
    strength: float = 1.0
    weights: Weights = "mean"
    kind: ClassVar[Kind] = "contrast"

    def __post_init__(self) -> None:
        """Check the values."""
        given: object = self.against
        is_one = isinstance(given, str) or not isinstance(given, Sequence)
        several = [given] if is_one else cast("Sequence[object]", given)
        object.__setattr__(self, "of", plain_class(self.of))
        object.__setattr__(self, "against", tuple(map(plain_class, several)))
        if not self.others:
            raise TargetError("a contrast needs a class to tell the first one from")
        check_once("a contrast", (self.of, *self.others))
        number: object = self.strength
        is_number = isinstance(number, Real) and not isinstance(number, bool)
        if not (is_number and math.isfinite(self.strength) and self.strength > 0):
            raise TargetError(f"strength must be a number above 0, not {number!r}")
        object.__setattr__(self, "strength", float(self.strength))
        if self.weights not in get_args(Weights):
            raise TargetError(f"weights must be 'mean' or 'softmax', not {self.weights!r}")

    def __str__(self) -> str:
        return named(self, [self.of, *self.others])

    def __repr__(self) -> str:
        against = self.others[0] if len(self.others) == 1 else list(self.others)
        strength = "" if self.strength == 1 else f", strength={self.strength!r}"
        weights = "" if self.weights == "mean" else f", weights={self.weights!r}"
        return f"effcam.targets.Contrast({self.of!r}, {against!r}{strength}{weights})"

    @property
    def others(self) -> tuple[ClassLike, ...]:
        """The classes that the first one is told from."""
        return cast("tuple[ClassLike, ...]", self.against)

    @property
    def stored(self) -> dict[str, object]:
        """It in the types of JSON."""
        classes = [self.of, *self.others]
        return {"contrast": classes, "strength": self.strength, "weights": self.weights}

    @property
    def terms(self) -> Terms:
        """The classes, each with the factor of its score; with softmax, to be shared anew."""
        share = -self.strength / len(self.others)
        return (self.of, 1.0), *((each, share) for each in self.others)


@dataclass(frozen=True, slots=True, repr=False, init=False)
class Sum:
    """The evidence for several classes together: the sum of their scores.

    Attributes:
        classes: The classes, at least two.

    Raises:
        TargetError: If a class is impossible, there are fewer than two, or one is given twice.

    >>> Sum("tabby", "tiger cat", 283)
    effcam.targets.Sum('tabby', 'tiger cat', 283)
    """

    classes: tuple[ClassLike, ...]
    kind: ClassVar[Kind] = "sum"

    def __init__(self, *classes: ClassLike) -> None:
        """Take the classes, each by index, name or rank."""
        object.__setattr__(self, "classes", tuple(map(plain_class, classes)))
        if len(self.classes) < 2:
            raise TargetError(f"a sum needs at least two classes, not {len(self.classes)}")
        check_once("a sum", self.classes)

    def __str__(self) -> str:
        return named(self, self.classes)

    def __repr__(self) -> str:
        return f"effcam.targets.Sum({', '.join(map(repr, self.classes))})"

    @property
    def stored(self) -> dict[str, object]:
        """It in the types of JSON."""
        return {"sum": list(self.classes)}

    @property
    def terms(self) -> Terms:
        """The classes whose scores are added, each with its factor."""
        return tuple((each, 1.0) for each in self.classes)


@dataclass(frozen=True, slots=True, repr=False)
class Above:
    """The evidence for all labels whose probability is at least a threshold, together.

    Explains the sum of their scores. It is for models of labels that do not exclude each other
    (`effcam.Model.multi_label`). In an image where no label is as probable, the map is flat.

    Attributes:
        threshold: The least probability, between 0 and 1.

    Raises:
        TargetError: If it is impossible.

    >>> print(Above(0.25))
    above 25 %
    """

    threshold: float = 0.5
    kind: ClassVar[Kind] = "sum"

    def __post_init__(self) -> None:
        """Check the threshold."""
        given: object = self.threshold
        is_number = isinstance(given, Real) and not isinstance(given, bool)
        if not (is_number and 0 < self.threshold < 1):
            raise TargetError(f"Above takes a probability between 0 and 1, not {given!r}")
        object.__setattr__(self, "threshold", float(self.threshold))

    def __str__(self) -> str:
        return f"above {100 * self.threshold:g} %"

    def __repr__(self) -> str:
        return f"effcam.targets.Above({self.threshold!r})"

    def named(self, labels: Sequence[str]) -> str:
        """Return what is explained in one image.

        Args:
            labels: The names of the labels above the threshold, the most probable first.

        >>> Above().named(["cat", "dog"]), Above().named([])
        ('cat + dog', 'no label above 50 %')
        """
        if not labels:
            return f"no label {self}"
        more = len(labels) - MOST_NAMED
        named = [*labels[:MOST_NAMED], *([f"{more} more"] if more > 0 else [])]
        return " + ".join(named)

    @property
    def stored(self) -> dict[str, object]:
        """It in the types of JSON."""
        return {"above": self.threshold}


Combination: TypeAlias = Contrast | Sum
"""A target of several classes."""
ClassTarget: TypeAlias = ClassLike | Combination | Above
"""A target of one class or several."""


def plain_class(target: object) -> ClassLike:
    """Return a class in Python's own types.

    Raises:
        TargetError: If it is neither an index nor a name.
    """
    if isinstance(target, str):
        return target
    index = _index(target)
    if index is None:
        raise TargetError(
            "a target is a class index, a label, a sequence with one of these for each image, "
            f"{CONSENSUS!r}, a target of effcam.targets, a function of the model's output, a "
            f"mapping of column names to any of these, or None, not {target!r}"
        )
    return index


def terms_of(target: ClassLike | Combination | None) -> Terms:
    """Return the classes whose scores are added, each with its factor."""
    if isinstance(target, Contrast | Sum):
        return target.terms
    return (("top1" if target is None else target, 1.0),)


def named(target: Combination, classes: Sequence[object]) -> str:
    """Return a target with these names for its classes as text.

    >>> named(Contrast(3, 7, strength=0.5), ["ant", "bee"])
    'ant - 0.5 * bee'
    """
    if isinstance(target, Sum):
        return " + ".join(map(str, classes))
    of, *others = classes
    strength = "" if target.strength == 1 else f"{target.strength:g} * "
    together = ", ".join(map(str, others))
    against = together if len(others) == 1 else f"{target.weights}({together})"
    return f"{of} - {strength}{against}"


def check_once(owner: str, classes: Sequence[object]) -> None:
    """Check that no class is given twice.

    Args:
        owner: What has the classes.
        classes: The classes.

    Raises:
        TargetError: If one is.
    """
    twice = next((each for each in classes if classes.count(each) > 1), None)
    if twice is not None:
        raise TargetError(f"{owner} has class {twice!r} twice")
