"""What is known of an image, to measure against: its class, and where its object is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from effcam.images.geometry import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is known of an image.

    Attributes:
        label: Its class, by index or by name; ``None`` if it is not known.
        boxes: Boxes around its objects, px; none if they are not known.
        mask: (height, width) bool, true where its object is; ``None`` if it is not known.
        ignored: (height, width) bool, true where the mask does not say; ``None`` is nowhere.
    """

    label: int | str | None = None
    boxes: tuple[Box, ...] = ()
    mask: NDArray[np.bool_] | None = field(default=None, repr=False)
    ignored: NDArray[np.bool_] | None = field(default=None, repr=False)
