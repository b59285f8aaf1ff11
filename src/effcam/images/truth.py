"""The annotations of an image: its class, and where its objects are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from effcam.images.geometry import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class NamedClass:
    """A class that is given by its index and by its name; a model must agree with both.

    A class of a dataset has no index here: that in the dataset's own list of classes means nothing
    to a model of other classes. Its name, also one of digits, is a name and never an index.

    Attributes:
        index: The index, from 0; ``None`` for a class of a dataset.
        name: The name. One that a model does not know is ignored beside an index; alone, it leaves
            unknown whether that model is right.
    """

    index: int | None
    name: str

    def __str__(self) -> str:
        """Return the name, for messages."""
        return self.name


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The annotations of an image.

    Attributes:
        label: Its class, an index, a name, or both; ``None`` if unknown, or if there may be
            several.
        labels: All of its classes, for models of several labels an image; empty if it is known to
            have none, ``None`` if they are unknown.
        boxes: Boxes around its objects, px; empty if unknown.
        mask: (height, width) bool, true on its objects; ``None`` if unknown.
        ignored: (height, width) bool, true where the mask is undefined; ``None`` for nowhere.
        rescaled: Whether the boxes were recognised as shares of the image's width and height by
            their values alone, and multiplied by these.
    """

    label: int | str | NamedClass | None = None
    labels: tuple[int | str | NamedClass, ...] | None = None
    boxes: tuple[Box, ...] = ()
    mask: NDArray[np.bool_] | None = field(default=None, repr=False)
    ignored: NDArray[np.bool_] | None = field(default=None, repr=False)
    rescaled: bool = False

    @property
    def classes(self) -> tuple[int | str | NamedClass, ...] | None:
        """All classes that are known of it: `labels`, or `label` alone; ``None`` if unknown."""
        if self.labels is not None:
            return self.labels
        return None if self.label is None else (self.label,)
