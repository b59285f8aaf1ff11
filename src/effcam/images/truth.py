"""The annotations of an image: its class, and where its objects are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from effcam.images.geometry import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The annotations of an image.

    Attributes:
        label: Its class, an index or a name; ``None`` if unknown.
        boxes: Boxes around its objects, px; empty if unknown.
        mask: (height, width) bool, true on its objects; ``None`` if unknown.
        ignored: (height, width) bool, true where the mask is undefined; ``None`` for nowhere.
    """

    label: int | str | None = None
    boxes: tuple[Box, ...] = ()
    mask: NDArray[np.bool_] | None = field(default=None, repr=False)
    ignored: NDArray[np.bool_] | None = field(default=None, repr=False)

    def class_name(self, labels: Sequence[str]) -> str | None:
        """Return the name of its class, ``None`` if unknown.

        Args:
            labels: The names of a model's classes, by index.
        """
        if self.label is None or isinstance(self.label, str):
            return self.label
        known = 0 <= self.label < len(labels)
        return labels[self.label] if known else f"class {self.label}"
