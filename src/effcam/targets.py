"""Targets: what is asked of a model, beyond one class.

They go wherever `effcam.compare` takes ``target=``, beside the index and the name of a class.
Wherever a class is named, ``"top1"``, ``"top2"``, ... are the classes with the highest scores in
each image, unless the model has classes of these names.

>>> from effcam.targets import Contrast, Sum
>>> print(Contrast("tabby", "tiger cat"), Sum("tabby", "tiger cat"), sep="; ")
tabby - tiger cat; tabby + tiger cat
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, cast, get_args

from effcam.errors import TargetError, _index

__all__ = ["Contrast", "Sum", "TopK", "parse"]

Kind: TypeAlias = Literal["class", "contrast", "sum"]
"""What a target is: one class, or a combination of several."""
Weights: TypeAlias = Literal["mean", "softmax"]
"""How the other classes of a contrast count."""
ClassLike: TypeAlias = int | str
"""A class: its index, one of its names, or its rank in each image, as ``"top2"``."""
Terms: TypeAlias = tuple[tuple[ClassLike, float], ...]
"""Classes whose scores are added, each with its factor."""
CONSENSUS = "consensus"
"""The class with the highest mean probability over the models."""
RANK = re.compile(r"top([1-9][0-9]*)")
WEIGHTED = re.compile(r"(?P<strength>[0-9]*\.?[0-9]+)\s*\*\s*(?P<name>.+)")


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
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if not (is_number and math.isfinite(self.strength) and self.strength > 0):
            raise TargetError(f"strength must be a number above 0, not {number!r}")
        object.__setattr__(self, "strength", float(self.strength))
        if self.weights not in get_args(Weights):
            raise TargetError(f"weights must be 'mean' or 'softmax', not {self.weights!r}")

    def __str__(self) -> str:
        return named(self, [self.of, *self.others])

    def __repr__(self) -> str:
        against = self.others[0] if len(self.others) == 1 else list(self.others)
        strength = "" if self.strength == 1 else f", strength={self.strength:g}"
        weights = "" if self.weights == "mean" else f", weights={self.weights!r}"
        return f"effcam.targets.Contrast({self.of!r}, {against!r}{strength}{weights})"

    @property
    def others(self) -> tuple[ClassLike, ...]:
        """The classes that the first one is told from."""
        return cast("tuple[ClassLike, ...]", self.against)

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
    def terms(self) -> Terms:
        """The classes whose scores are added, each with its factor."""
        return tuple((each, 1.0) for each in self.classes)


@dataclass(frozen=True, slots=True)
class TopK:
    """The k classes with the highest scores in each image, one column each.

    It is short for ``{"top1": "top1", "top2": "top2", ...}``.

    Attributes:
        k: Their number, from 1.

    Raises:
        TargetError: If ``k`` is no whole number from 1.
    """

    k: int

    def __post_init__(self) -> None:
        """Check the number."""
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise TargetError(f"TopK takes a whole number from 1, not {self.k!r}")

    @property
    def columns(self) -> dict[str, str]:
        """The target of each column, by name."""
        return {f"top{rank}": f"top{rank}" for rank in range(1, self.k + 1)}


Combination: TypeAlias = Contrast | Sum
"""A target of several classes."""
Single: TypeAlias = ClassLike | Combination
"""What is asked of one image."""
PerImage: TypeAlias = Single | tuple[Single, ...] | None
"""What is asked of all images, or of each; ``None`` is each model's own top-1."""
PlainTarget: TypeAlias = PerImage | Mapping[str, PerImage]
"""A target as `plain` returns it."""
Several: TypeAlias = TopK | Mapping[str, Single | Sequence[Single] | None]
"""Targets with a column each."""
Target: TypeAlias = Single | Sequence[Single] | Several | None
"""A target as users give it."""


def plain(target: object) -> PlainTarget:
    """Return a target in its own types, whatever array or tensor it came in.

    Raises:
        TargetError: If it is not a target.
    """
    if isinstance(target, TopK):
        return plain(target.columns)
    if not isinstance(target, Mapping):
        return _per_image(target)
    if not target:
        raise TargetError("a mapping of targets needs at least one")
    found = {str(name): _per_image(each) for name, each in target.items()}
    if "" in found:
        raise TargetError("a target in a mapping needs a name")
    if CONSENSUS in found.values():
        raise TargetError(f"{CONSENSUS!r} is a target by itself, not one of several")
    return found


def by_name(target: PlainTarget) -> Mapping[str, PerImage]:
    """Return several targets by name, and one alone under the name "".

    >>> by_name("ant"), by_name({"a": "ant", "b": 3})
    ({'': 'ant'}, {'a': 'ant', 'b': 3})
    """
    return target if isinstance(target, Mapping) else {"": target}


def _per_image(target: object) -> PerImage:
    if target is None or isinstance(target, str | Contrast | Sum):
        return target
    listed: Any = target.tolist() if hasattr(target, "tolist") else target
    if isinstance(listed, Sequence):
        return tuple(
            each if isinstance(each, Contrast | Sum) else plain_class(each) for each in listed
        )
    return plain_class(listed)


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
            f"{CONSENSUS!r}, a target of effcam.targets, a mapping of column names to any of "
            f"these, or None, not {target!r}"
        )
    return index


def parse(text: str) -> Single:
    """Return the target that a text of the command line stands for.

    Args:
        text: A class; ``A - B`` or ``A - 0.6 * B`` for a `Contrast`; ``A + B + C`` for a `Sum`.
            There are spaces around the signs.

    Raises:
        TargetError: If the text is no target.

    >>> parse("tabby - 0.6 * tiger cat")
    effcam.targets.Contrast('tabby', 'tiger cat', strength=0.6)
    >>> parse("tiger cat")
    'tiger cat'
    """
    added = [each.strip() for each in text.split(" + ")]
    of, *against = (each.strip() for each in text.split(" - "))
    if len(added) > 1 and against:
        raise TargetError(f"target {text!r} has both + and -: give a sum or a contrast")
    if len(added) > 1:
        return Sum(*added)
    if len(against) > 1:
        raise TargetError(f"target {text!r} has more than one -: a contrast here has two classes")
    if not against:
        return text
    weighted = WEIGHTED.fullmatch(against[0])
    if weighted is None:
        return Contrast(of, against[0])
    return Contrast(of, weighted["name"], strength=float(weighted["strength"]))


def terms_of(target: Single | None) -> Terms:
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


def to_json(target: PlainTarget) -> object:
    """Return a target in the types of JSON."""
    match target:
        case Contrast():
            classes = [target.of, *target.others]
            return {"contrast": classes, "strength": target.strength, "weights": target.weights}
        case Sum():
            return {"sum": list(target.classes)}
        case Mapping():
            return {"columns": {name: to_json(each) for name, each in target.items()}}
        case tuple():
            return [to_json(each) for each in target]
    return target


def from_json(found: object) -> PlainTarget:
    """Return the target that `to_json` returned.

    Raises:
        TargetError: If it is none.
    """
    match found:
        case {"contrast": [of, *against], "strength": strength, "weights": weights}:
            return Contrast(of, against, strength, weights)
        case {"sum": list(classes)}:
            return Sum(*classes)
        case {"columns": dict(columns)}:
            return plain({name: from_json(each) for name, each in columns.items()})
        case list():
            return plain([from_json(each) for each in found])
    return plain(found)
