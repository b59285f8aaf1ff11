"""References to images in folders, globs, videos and memory, opened when needed.

>>> import effcam
>>> effcam.images.from_folders("photos", categories=["bear"], per_category=5)
Traceback (most recent call last):
effcam.errors.ImageError: folder 'photos' does not exist
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from effcam.lazy import lazy_names

if TYPE_CHECKING:
    from effcam.images.discovery import from_folders, iter_images
    from effcam.images.refs import HoldsImage, ImageLike, ImageRef

__all__ = ["HoldsImage", "ImageLike", "ImageRef", "from_folders", "iter_images"]

# Load names on first use, so that the geometry of images is available without Pillow.
_HOMES = {
    "HoldsImage": "effcam.images.refs",
    "ImageLike": "effcam.images.refs",
    "ImageRef": "effcam.images.refs",
    "from_folders": "effcam.images.discovery",
    "iter_images": "effcam.images.discovery",
}

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
