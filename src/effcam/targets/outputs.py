"""Targets of a network's output: a value, a similarity, a text, or a function of the output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from effcam.errors import TargetError
from effcam.targets.checks import Corners, as_corners, as_index
from effcam.targets.classes import Kind

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, repr=False)
class Value:
    """One of the values that a network returns, as of a regression: no probability is shown.

    Attributes:
        output: Which of the values, from 0.
        unit: Its unit, for captions; empty for none.
        lowers: Whether heat is what lowers the value; else it is what raises it.
        name: What the value is, for captions; empty for the name that the model has for it.

    Raises:
        TargetError: If a value is impossible.

    >>> print(Value(), Value(2, name="age", unit="years", lowers=True), sep="; ")
    output 0; age, lowered
    """

    output: int = 0
    unit: str = ""
    lowers: bool = False
    name: str = ""
    kind: ClassVar[Kind] = "value"

    def __post_init__(self) -> None:
        """Check the values."""
        object.__setattr__(self, "output", as_index("output", self.output))
        for field_name in ("unit", "name"):
            if not isinstance(getattr(self, field_name), str):
                raise TargetError(f"{field_name} must be a text, not {getattr(self, field_name)!r}")
        if not isinstance(self.lowers, bool):
            raise TargetError(f"lowers must be True or False, not {self.lowers!r}")

    def __str__(self) -> str:
        return self.named(f"output {self.output}")

    def __repr__(self) -> str:
        given = {name: getattr(self, name) for name in ("unit", "lowers", "name")}
        shown = "".join(f", {name}={value!r}" for name, value in given.items() if value)
        return f"effcam.targets.Value({self.output}{shown})"

    @property
    def stored(self) -> dict[str, object]:
        """It in the types of JSON."""
        given = {"unit": self.unit, "lowers": self.lowers, "name": self.name}
        return {"value": self.output, **given}

    def named(self, name: str) -> str:
        """Return what is explained, given the model's name for the value."""
        return f"{self.name or name}{', lowered' if self.lowers else ''}"


@dataclass(frozen=True, slots=True, repr=False)
class Text:
    """How well an image fits a text: the cosine of the angle between their embeddings.

    For models with a text tower, as CLIP and SigLIP. A model whose classes are texts, with a
    probability for each, is made with ``effcam.load_model(..., labels=["a dog", "a cat"])``.
    Source: Radford et al. 2021, arXiv:2103.00020.

    Attributes:
        text: The text, used as it is.

    Raises:
        TargetError: If it is no text, or an empty one.
    """

    text: str
    kind: ClassVar[Kind] = "text"

    def __post_init__(self) -> None:
        """Check the text."""
        given: object = self.text
        if not isinstance(given, str) or not given.strip():
            raise TargetError(f"Text takes a text with at least one word, not {given!r}")

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"effcam.targets.Text({self.text!r})"

    @property
    def stored(self) -> dict[str, object]:
        """It in the types of JSON."""
        return {"text": self.text}


@dataclass(frozen=True, slots=True, repr=False, init=False, eq=False)
class Similar:
    """How like another image an image is: the cosine of the angle between their embeddings.

    For models that return an embedding: networks without a classifier, and image towers. Of several
    images the mean of their embeddings, each of length 1, counts (a prototype). An image whose
    embedding is turned to another one's by a change of few places has its heat there: so it shows
    where an image has what the other one has.

    Attributes:
        images: The images that it is compared with, each as `effcam.compare` takes one, or lists of
            them; empty for the image itself, of which ``region`` is a part.
        region: The part of each of these images that counts: left, top, right and bottom in px;
            ``None`` for all. The model sees this part alone, by its own transform.
        name: What the images show, for captions; by default the first one's file.

    Raises:
        TargetError: If there is neither an image nor a region, or a value is impossible.

    >>> print(Similar("query.jpg"), Similar(region=(10, 20, 60, 90)), sep="; ")
    like query.jpg; like its part (10, 20, 60, 90)
    """

    images: tuple[Any, ...]
    region: Corners | None = None
    name: str = ""
    kind: ClassVar[Kind] = "similarity"

    def __init__(
        self, *images: object, region: Sequence[float] | None = None, name: str = ""
    ) -> None:
        """Take the images, and the part of them that counts."""
        if not images and region is None:
            raise TargetError("Similar needs an image to compare with, or a region= of each image")
        if not isinstance(name, str):
            raise TargetError(f"name must be a text, not {name!r}")
        object.__setattr__(self, "images", tuple(_one_by_one(images)))
        if not self.images and region is None:
            raise TargetError("there are no images to compare with")
        object.__setattr__(self, "region", None if region is None else as_corners(region))
        object.__setattr__(self, "name", name)

    def __str__(self) -> str:
        if self.name:
            return f"like {self.name}"
        part = "" if self.region is None else f"part ({', '.join(f'{e:g}' for e in self.region)})"
        if not self.images:
            return f"like its {part}"
        more = f" and {len(self.images) - 1} more" if len(self.images) > 1 else ""
        return f"like {f'{part} of ' if part else ''}{_name_of(self.images[0])}{more}"

    def __repr__(self) -> str:
        given = [repr(str(path)) if path else "..." for path in self.files]
        given += [] if self.region is None else [f"region={self.region}"]
        given += [f"name={self.name!r}"] if self.name else []
        return f"effcam.targets.Similar({', '.join(given)})"

    @property
    def files(self) -> tuple[Path | None, ...]:
        """The image files; ``None`` for an image in memory."""
        return tuple(
            Path(each) if isinstance(each, str | PathLike) else None for each in self.images
        )

    @property
    def stored(self) -> dict[str, object]:
        """It in the types of JSON, without images in memory."""
        files = [None if path is None else str(path) for path in self.files]
        region = None if self.region is None else list(self.region)
        return {"similar": files, "region": region, "name": self.name}


@dataclass(frozen=True, slots=True, repr=False)
class Function:
    """A value that a function of the caller's own computes from a network's output.

    Attributes:
        compute: Returns a (B,) tensor, given the output for B images.
        name: Its name, for captions.
    """

    compute: Callable[[Any], torch.Tensor]
    name: str
    kind: ClassVar[Kind] = "function"

    @classmethod
    def of(cls, compute: Callable[[Any], torch.Tensor]) -> Function:
        """Return a function under its own name."""
        own = getattr(compute, "name", None) or getattr(compute, "__name__", None)
        return cls(compute, own if isinstance(own, str) else type(compute).__name__)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        """Return code, in which a function of the caller's own stands by name."""
        own = repr(self.compute)
        if own.startswith("effcam.targets."):
            return own
        return self.name if self.name.isidentifier() else "your_function"

    @property
    def stored(self) -> dict[str, object]:
        """Its name alone, in the types of JSON."""
        return {"function": self.name}


OutputTarget: TypeAlias = Value | Text | Similar | Function
"""A target that is no class."""


def _one_by_one(images: Iterable[object]) -> Iterator[object]:
    """Yield the images in lists, which may be read only once, one by one."""
    for each in images:
        if isinstance(each, list | tuple | Iterator):
            yield from _one_by_one(each)
        else:
            yield each


def _name_of(image: object) -> str:
    name = Path(image).name if isinstance(image, str | PathLike) else getattr(image, "name", "")
    return name if isinstance(name, str) and name else "an image"
