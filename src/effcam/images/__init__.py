"""References to images in folders, globs, videos and memory, opened when needed.

>>> import effcam
>>> effcam.images.from_folders("photos", categories=["bear"], per_category=5)
Traceback (most recent call last):
effcam.errors.ImageError: folder 'photos' does not exist
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from effcam.images.discovery import from_folders, iter_images
    from effcam.images.refs import HoldsImage, ImageLike, ImageRef

__all__ = ["HoldsImage", "ImageLike", "ImageRef", "from_folders", "iter_images"]

# Load names on first use, so that the geometry of images is available without Pillow.
_HOMES = {
    "HoldsImage": "refs",
    "ImageLike": "refs",
    "ImageRef": "refs",
    "from_folders": "discovery",
    "iter_images": "discovery",
}


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'effcam.images' has no attribute {name!r}")
    value = getattr(import_module(f"effcam.images.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
