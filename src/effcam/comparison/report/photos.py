"""The photos of the page: as good as a limit of their bytes allows."""

from __future__ import annotations

import base64
import io
import math
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from effcam.cam.cells import Cells
from effcam.drawing import overlay
from effcam.images.refs import ImageRef

if TYPE_CHECKING:
    from PIL import Image

SIDE = 240
"""The most width of a photo in px: about that of a cell on a screen."""
TALLEST = 300
"""The most height of a photo in px."""
QUALITIES = ((1.0, 75), (1.0, 60), (1.0, 50), (1.0, 40), (1.0, 30), (5 / 6, 30))
"""Sizes, as shares of the most, and WebP's qualities, of which the best are taken that keep the
photos within `MOST_BYTES`."""
MOST_BYTES = 2_600_000
"""The size of all photos on the page beyond which they get a lower quality: 500 of good quality
would take 5 MB, too much for a mail."""
TRIED = 24
"""The number of photos from which the size of all is estimated."""


def photos(content: Cells) -> list[tuple[str, tuple[int, int]]]:
    """Return each image as a data URL, with its width and height in px.

    Raises:
        ImageError: If an image's file is gone.
    """
    images = content.images
    share, quality = choose_quality(images)
    return [_photo(small_photo(image, share), quality) for image in images]


def choose_quality(images: tuple[ImageRef, ...]) -> tuple[float, int]:
    """Return the best of `QUALITIES` with which the photos take `MOST_BYTES`, else the lowest.

    Args:
        images: The images, at least one.

    Raises:
        ImageError: If an image's file is gone.
    """
    step = math.ceil(len(images) / TRIED)
    for share, same in groupby(QUALITIES, itemgetter(0)):
        tried = [small_photo(image, share) for image in images[::step]]
        for _, quality in same:
            size = sum(len(_photo(picture, quality)[0]) for picture in tried)
            if size * len(images) <= MOST_BYTES * len(tried):
                return share, quality
    return QUALITIES[-1]


def small_photo(image: ImageRef, share: float = 1.0) -> Image.Image:
    """Return an image in the size of the page, or in a share of it.

    Raises:
        ImageError: If the image's file is gone.
    """
    side, tallest = round(share * SIDE), round(share * TALLEST)

    def needed(width: int, height: int) -> tuple[int, int]:
        scale = min(side / width, tallest / height)
        return math.ceil(width * scale), math.ceil(height * scale)

    return overlay.fit(image.photo(needed).picture, side, tallest)


def _photo(picture: Image.Image, quality: int) -> tuple[str, tuple[int, int]]:
    stream = io.BytesIO()
    picture.save(stream, format="WEBP", quality=quality, method=6)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    return f"data:image/webp;base64,{data}", picture.size
