"""Images of other than one or three channels, for models that take all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, TiffImagePlugin

from effcam.errors import ImageError
from effcam.images.deferred import FileBytes
from effcam.images.notes import Note

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLES_PER_PIXEL = 277
PLAIN = (1, 3)
"""The numbers of channels of models that take photos."""
TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
BIG_TIFF = 43
MOST_CHANNELS = 4096
"""The most channels or pages of a file that is taken for an image."""


def wants_bands(channels: int | None) -> bool:
    """Return whether a model of so many channels takes all channels as they are stored."""
    return channels is not None and channels not in PLAIN


def shown_as_grey(bands: NDArray[Any]) -> tuple[Image.Image, Note]:
    """Return a picture of an image of many channels in RGB, and a note on it.

    The picture is the mean of the channels, in grey, with its largest value white.

    Args:
        bands: (height, width, channels), >= 0.
    """
    grey = bands.mean(axis=2, dtype=np.float64)
    grey = np.rint(grey * (255 / max(grey.max(), 1e-300))).astype(np.uint8)
    return Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2)), Note(
        f"{bands.shape[2]} channels, grey",
        f"it has {bands.shape[2]} channels; pictures show the mean of these in grey, with its "
        "largest value white",
    )


def note_on_channels(bands: NDArray[Any], image: Image.Image | None = None) -> Note:
    """Return a note on how an image whose channels a model takes as they are is drawn.

    Args:
        bands: (height, width, channels) the channels.
        image: The image from which they were read, if Pillow reads it.
    """
    count = bands.shape[2]
    shown = "the first as grey, and the second as opacity"
    if image is not None and count > len(image.getbands()):
        shown = "its first page"
    elif count == 4:
        shown = "the first three as red, green and blue, and the fourth as opacity"
    return Note(f"{count} channels, {shown}", f"it has {count} channels; pictures show {shown}")


def note_on_pages(image: Image.Image) -> list[Note]:
    """Return a note on a TIFF of several pages of one size, of which the first is read.

    A second page of another size is a small copy, or a large one.
    """
    if image.format != "TIFF":
        return []
    size = image.size
    try:
        image.seek(1)
        several = image.size == size
    except Exception:  # noqa: BLE001  # there is none, or it is broken
        several = False
    image.seek(0)
    return [Note("pages", "it has several pages, of which only the first is read")] * several


def refuse_channels(found: str, wanted: int) -> ImageError:
    """Return the error for an image whose channels are not those of a model."""
    takes = {1: "grey images", 3: "RGB images"}.get(wanted, f"images of {wanted} channels")
    remedy = (
        "pass an array with one, three or four of them"
        if wanted in PLAIN
        else f"pass an array of height x width x {wanted}, uint8 or floats in [0, 1]"
    )
    return ImageError(f"it has {found}, but the model takes {takes}: {remedy}")


def values_of(array: NDArray[Any]) -> NDArray[Any]:
    """Return the values of a file as uint8, or float32 in [0, 255].

    Integers of 16 bits are in [0, 65535], without a guess: a model's means are in that unit.

    Raises:
        ImageError: If they are of another type, or are floats outside of [0, 1].
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return array.astype(np.float32) * np.float32(255 / 65535)
    if array.dtype.kind == "f" and float(array.min()) >= 0 and float(array.max()) <= 1:
        return array.astype(np.float32) * np.float32(255)
    raise ImageError(
        f"its channels are of {array.dtype}, from {float(array.min()):g} to "
        f"{float(array.max()):g}: expected 8 or 16 bits, or floats in [0, 1]. Pass an array of "
        "floats in [0, 1]"
    )


def samples_of(path: Path | FileBytes) -> int:
    """Return how many channels a TIFF states for each pixel; 0 for other files.

    Pillow reads the first of several separate grey channels as the whole image, and reports others
    through the log.
    """
    with path.open("rb") as file:
        head = file.read(8)
        if head[:4] not in TIFF_MARKS:
            return 0
        try:
            head += file.read(8) if BIG_TIFF in head[2:4] else b""
            tags = TiffImagePlugin.ImageFileDirectory_v2(head)
            file.seek(tags.next)
            tags.load(file)
        except Exception:  # noqa: BLE001  # a broken file, of which Pillow will say more
            return 0
    found = tags.get(SAMPLES_PER_PIXEL, 1)
    return found if isinstance(found, int) and found <= MOST_CHANNELS else 0


def bands_of_image(
    image: Image.Image, wanted: int, upright: Callable[[Image.Image], Image.Image]
) -> NDArray[Any]:
    """Return the channels of an image, those of all its pages if it is a TIFF of several.

    Args:
        image: The image, or the first page of a TIFF.
        wanted: How many channels the model takes.
        upright: Returns an image, or a page, turned as its metadata say.

    Returns:
        (height, width, channels) uint8, or float32 in [0, 255].

    Raises:
        ImageError: If it has another number of channels.
    """
    pages = [_bands(upright(image))]
    if image.format == "TIFF" and pages[0].shape[2] < wanted:
        pages += _next_pages(image, wanted, upright)
    found = sum(page.shape[2] for page in pages)
    if found != wanted:
        several = f" in {len(pages)} pages" if len(pages) > 1 else ""
        raise refuse_channels(f"{found} channel{'s' * (found != 1)}{several}", wanted)
    if len({page.shape[:2] for page in pages}) > 1:
        raise ImageError("its pages differ in size, so they are not the channels of one image")
    if len({page.dtype for page in pages}) > 1:
        raise ImageError("its pages differ in type, so they are not the channels of one image")
    return values_of(np.concatenate(pages, axis=2))


def _next_pages(
    image: Image.Image, wanted: int, upright: Callable[[Image.Image], Image.Image]
) -> list[NDArray[Any]]:
    pages = []
    for number in range(
        1, min(wanted + 1, MOST_CHANNELS)
    ):  # one more shows that there are too many
        try:
            image.seek(number)
        except EOFError:
            break
        pages.append(_bands(upright(image)))
    image.seek(0)
    return pages


def _bands(image: Image.Image) -> NDArray[Any]:
    if image.mode in ("P", "1", "CMYK", "LAB", "YCbCr", "HSV", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    values = np.asarray(image)
    return values[:, :, None] if values.ndim == 2 else values


def read_many_channels(path: Path | FileBytes) -> NDArray[Any]:
    """Return the channels of a TIFF that Pillow does not read.

    Returns:
        (height, width, channels), of the file's own type.

    Raises:
        ImageError: If tifffile, which reads it, is not installed, or it cannot be read.
    """
    try:
        import tifffile
    except ImportError as error:
        raise ImageError(
            f"it is a TIFF of {samples_of(path)} channels, which Pillow does not read: "
            "pip install tifffile, or pass its pixels as an array"
        ) from error
    from effcam.images.decoding import check_pixels

    with path.open("rb") as opened, tifffile.TiffFile(opened) as file:
        page: Any = file.pages[0]
        check_pixels(page.imagewidth, page.imagelength * page.samplesperpixel)
        array: NDArray[Any] = page.asarray()
    separate = page.planarconfig == 2
    if array.ndim != 3 or array.shape[0 if separate else 2] != page.samplesperpixel:
        raise ImageError(f"its pixels have the shape {array.shape}, not that of one image")
    return array.transpose(1, 2, 0) if separate else array
