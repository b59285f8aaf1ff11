"""Annotations of images from files, by image name: boxes of objects, classes, and masks.

The format of a file is detected from its content, not its name. All boxes are converted to one
convention: edges in px of the image, where pixel (0, 0) covers the square from (0, 0) to (1, 1), so
that the box of that pixel is ``Box(0, 0, 1, 1)``.
"""

from __future__ import annotations

from effcam.images.annotations.boxes import read_boxes
from effcam.images.annotations.labels import read_image_labels
from effcam.images.annotations.masks import Mask, read_masks
from effcam.images.annotations.name_matching import ByName

__all__ = ["ByName", "Mask", "read_boxes", "read_image_labels", "read_masks"]
