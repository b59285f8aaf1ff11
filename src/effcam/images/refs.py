"""References to images, which are opened when they are needed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union

from PIL import Image

from effcam.errors import ImageError
from effcam.images.channels import wants_bands
from effcam.images.decoding import Needed, Photo, read
from effcam.images.frames import FilmFrame, read_frame
from effcam.images.notes import warn
from effcam.images.truth import Truth

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


CACHE_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class ImageRef:
    """An image by name, whose pixels are read on demand.

    Attributes:
        name: Its name in tables and pictures, unique in a comparison.
        source: A path, a PIL image, an array, a tensor, a `effcam.images.frames.FilmFrame`, or what
            takes one of these out of a dataset.
        truth: Its annotation: class, boxes around its objects, mask.
    """

    name: str
    source: Any = field(repr=False)
    truth: Truth | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    @property
    def path(self) -> Path | None:
        """The file, ``None`` if the image came from memory or is a frame of a video."""
        return self.source if isinstance(self.source, Path) else None

    @property
    def frame(self) -> FilmFrame | None:
        """The frame of a video or an animated picture that it is, ``None`` for other images."""
        return self.source if isinstance(self.source, FilmFrame) else None

    def open(self) -> Image.Image:
        """Return the image in RGB and upright, the first frame of an animated file.

        Transparent parts are put on white; 16-bit and floating-point pixels are scaled to 8 bits.
        Few formats state how many of 16 bits are used. An image whose largest value is below 4096
        is taken for one of 8, 10 or 12 bits, and one whose largest value is just below 16384 for
        one of 14; values outside of [0, 65535] are stretched from their minimum to their maximum.
        An image of two, or of more than four, channels is shown as their mean in grey.
        An `effcam.errors.ImageWarning` says so. Metadata other than the orientation are ignored,
        even if they are damaged.

        Files are read as one of the raster formats that effcam allows, whatever their names. The
        largest size is Pillow's ``PIL.Image.MAX_IMAGE_PIXELS``, by default 89 million: a file that
        declares more is read with Pillow's ``DecompressionBombWarning``; one that declares more
        than twice as many is refused before it is decoded, and so is the former if that warning is
        an error. Reading takes up to 13 bytes of memory per pixel.

        Raises:
            ImageError: If it is missing, empty, truncated, no image, too large or ambiguous.
        """
        photo = self.photo()
        for note in photo.notes:
            warn(note, [self.name])
        return photo.picture

    def photo(self, needed: Needed | None = None, channels: int | None = None) -> Photo:
        """Return the image as `open` does, or a reduced copy, together with its full size.

        Args:
            needed: Returns the width and height in px to which an image of a given width and
                height will be resized. A JPEG file is then decoded at a half, a quarter or an
                eighth of its size, if that divides its sides and leaves three times the size.
            channels: How many channels the model takes that it is read for; ``None`` to draw it.

        Raises:
            ImageError: As `open`, or if it has not the channels that the model takes.
        """
        try:
            if self.frame is not None:
                picture = read_frame(self.frame)
                if wants_bands(channels):
                    return read(picture, channels=channels)
                return Photo(picture, picture.size)
            return read(self.source, needed, channels)
        except ImageError as error:
            raise ImageError(f"image {self.name!r}: {error}") from error.__cause__


class HoldsImage(Protocol):
    """An object with an image, as a demo scene."""

    @property
    def ref(self) -> ImageRef:
        """The image."""


class HasPositions(Protocol):
    """A dataset with a length and positions, as those of torchvision and Hugging Face."""

    def __len__(self) -> int:
        """Return the number of items."""

    def __getitem__(self, index: int, /) -> Any:
        """Return an item, an image or an image and its class."""


ImageLike: TypeAlias = Union[
    str,
    "PathLike[str]",
    Image.Image,
    "NDArray[Any]",
    "torch.Tensor",
    ImageRef,
    HoldsImage,
    HasPositions,
]


def cached_opener(most_bytes: int = CACHE_BYTES) -> Callable[[ImageRef], Image.Image]:
    """Return a function that opens images, and caches the latest up to a number of bytes.

    Args:
        most_bytes: The memory for all decoded images together.
    """
    kept: OrderedDict[ImageRef, Image.Image] = OrderedDict()
    size = 0

    def open_once(ref: ImageRef) -> Image.Image:
        nonlocal size
        if ref in kept:
            kept.move_to_end(ref)
            return kept[ref]
        image = ref.photo().picture
        kept[ref] = image
        size += _bytes(image)
        while size > most_bytes:
            size -= _bytes(kept.popitem(last=False)[1])
        return image

    return open_once


def _bytes(image: Image.Image) -> int:
    # Pillow stores an RGB pixel in four bytes.
    return 4 * image.width * image.height
