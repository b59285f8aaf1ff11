"""Targets as users give them, made plain: what is asked of all images, or of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from effcam.errors import TargetError, _index
from effcam.targets.classes import CONSENSUS, Above, ClassTarget, Contrast, Sum, plain_class
from effcam.targets.outputs import Function, OutputTarget, Similar, Text, Value

ABOVE = re.compile(r"above (?P<percent>[0-9]*\.?[0-9]+) ?%")
WEIGHTED = re.compile(r"(?P<strength>[0-9]*\.?[0-9]+)\s*\*\s*(?P<name>.+)")


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
        given = _index(self.k)
        if given is None or given < 1:
            raise TargetError(f"TopK takes a whole number from 1, not {self.k!r}")
        object.__setattr__(self, "k", given)

    @property
    def columns(self) -> dict[str, str]:
        """The target of each column, by name."""
        return {f"top{rank}": f"top{rank}" for rank in range(1, self.k + 1)}


Single: TypeAlias = ClassTarget | OutputTarget
"""What is asked of one image."""
PerImage: TypeAlias = Single | tuple[Single, ...] | None
"""What is asked of all images, or of each; ``None`` is each model's own top-1."""
PlainTarget: TypeAlias = PerImage | Mapping[str, PerImage]
"""A target as `plain` returns it."""
Given: TypeAlias = Single | Callable[[Any], Any]
"""What users ask of one image; a function is called with the model's output."""
Several: TypeAlias = TopK | Mapping[str, Given | Sequence[Given] | None]
"""Targets with a column each."""
Target: TypeAlias = Given | Sequence[Given] | Several | None
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
    if len(found) < len(target):
        raise TargetError(
            f"the names of the targets must differ as text too, not {', '.join(map(repr, target))}"
        )
    if CONSENSUS in found.values():
        raise TargetError(f"{CONSENSUS!r} is a target by itself, not one of several")
    return found


def by_name(target: PlainTarget) -> Mapping[str, PerImage]:
    """Return several targets by name, and one alone under the name "".

    >>> by_name("ant"), by_name({"a": "ant", "b": 3})
    ({'': 'ant'}, {'a': 'ant', 'b': 3})
    """
    return target if isinstance(target, Mapping) else {"": target}


def singles(target: PlainTarget) -> Iterator[Single]:
    """Yield everything that is asked, column by column, without each model's own top-1."""
    for each in by_name(target).values():
        if each is not None:
            yield from each if isinstance(each, tuple) else (each,)


def _per_image(target: object) -> PerImage:
    if target is None:
        return None
    found = _single(target)
    if found is not None:
        return found
    listed: Any = target.tolist() if hasattr(target, "tolist") else target
    if isinstance(listed, Sequence):
        several = tuple(
            plain_class(each) if (own := _single(each)) is None else own for each in listed
        )
        _check_one_kind(several)
        return several
    return plain_class(listed)


def _single(target: object) -> Single | None:
    """Return a target that is neither an index nor a sequence, ``None`` for these."""
    if isinstance(target, str | Contrast | Sum | Above | Value | Text | Similar | Function):
        return target
    return Function.of(target) if callable(target) else None


def _check_one_kind(targets: Sequence[Single]) -> None:
    """Check that targets of one column can be compared: classes, or targets of one other kind."""
    kinds = {
        "above"
        if isinstance(each, Above)
        else each.kind
        if isinstance(each, OutputTarget)
        else "class"
        for each in targets
    }
    if len(kinds) > 1:
        raise TargetError(
            "the targets of the images of one column must be of one kind, not "
            f"{' and '.join(sorted(kinds))}: give a mapping with a column for each"
        )


def parse(text: str) -> Single:
    """Return the target that a text of the command line stands for.

    Args:
        text: A class; ``A - B`` or ``A - 0.6 * B`` for a `Contrast`; ``A + B + C`` for a `Sum`;
            ``above 50 %`` for `Above`. There are spaces around the signs.

    Raises:
        TargetError: If the text is no target.

    >>> parse("tabby - 0.6 * tiger cat")
    effcam.targets.Contrast('tabby', 'tiger cat', strength=0.6)
    >>> parse("tiger cat")
    'tiger cat'
    """
    above = ABOVE.fullmatch(text.strip())
    if above is not None:
        return Above(float(above["percent"]) / 100)
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
