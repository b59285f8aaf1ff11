"""What was drawn independently: an image, or a video with all frames of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from effcam.images.refs import ImageRef

if TYPE_CHECKING:
    from numpy.typing import NDArray


class UnitCounter:
    """Numbers images as they come; all frames of a video have the number of its first one."""

    def __init__(self) -> None:
        self.videos: dict[object, int] = {}
        self._count = 0

    def number(self, images: Sequence[ImageRef]) -> NDArray[np.int64]:
        """Return the unit of each of the next images."""
        return np.array([self._of(image) for image in images], np.int64)

    def _of(self, image: ImageRef) -> int:
        if image.frame is not None and image.frame.path in self.videos:
            return self.videos[image.frame.path]
        unit, self._count = self._count, self._count + 1
        if image.frame is not None:
            self.videos[image.frame.path] = unit
        return unit
