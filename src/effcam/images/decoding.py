"""Decode a file, a PIL image, an array or a tensor to an upright RGB image."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from effcam.errors import ImageError
from effcam.images.channels import (
    PLAIN,
    bands_of_image,
    note_on_channels,
    note_on_pages,
    read_many_channels,
    refuse_channels,
    samples_of,
    shown_as_grey,
    values_of,
    wants_bands,
)
from effcam.images.deferred import Deferred, FileBytes
from effcam.images.notes import Note, pillow_silenced
from effcam.images.other_formats import check_raw, describe_format
from effcam.images.sixteen_bits import (
    combine,
    decode_low_bytes,
    fix_planes,
    is_sixteen_bit,
    needs_low_bytes,
)
from effcam.images.value_range import WIDEST, Range, find_range, stated_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMATS = (
    *("PNG", "JPEG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF"),
    *("HEIF", "JXL", "TGA"),
)
"""The formats that are read, whatever a file's name; HEIF and JXL need plugins of Pillow.

Pillow's other formats are left out: some start other programs (EPS, Ghostscript), and the bounds of
rare ones are the least tested.
"""
CHANNELS = (1, 3, 4)
MOST_OF_PILLOW = 4
"""The most channels of a TIFF that Pillow may read."""
WHITE = (255, 255, 255)
REDUCED_MARGIN = 3
"""A reduced copy is at least this many times as large as the size it is resized to."""
TRANSPOSED = (5, 6, 7, 8)
"""Exif's orientations whose rows are the picture's columns."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transformation that turns a picture upright, by Exif's orientation."""
STRIP_PIXELS = 2**20
"""How many pixels are converted at once, to limit the memory beside the image itself."""


class Photo(NamedTuple):
    """A decoded image.

    Attributes:
        picture: The image in RGB and upright.
        size: The full width and height in px, even if the picture is a reduced copy.
        notes: What a user should know about how it was read.
        bands: (height, width, channels) all channels, uint8 or float32 in [0, 255], if a model
            takes other than one or three; else ``None``.
    """

    picture: Image.Image
    size: tuple[int, int]
    notes: tuple[Note, ...] = ()
    bands: NDArray[Any] | None = None


Needed: TypeAlias = Callable[[int, int], tuple[int, int]]


def read(source: object, needed: Needed | None = None, channels: int | None = None) -> Photo:
    """Decode an image to upright RGB, perhaps reduced; see `effcam.images.ImageRef.photo`.

    Args:
        source: A path, the bytes of a file, a PIL image, an array, a tensor, or what gives one of
            these.
        needed: Returns the width and height in px to which it will be resized.
        channels: How many channels the model takes that it is read for; ``None`` to draw it.

    Raises:
        ImageError: If it is missing, empty, truncated, not an image, too large or ambiguous, or
            has not the channels that the model takes.
    """
    if isinstance(source, Deferred):
        return read(source.load(), needed, channels)
    if isinstance(source, Path | FileBytes):
        return _read_file(source, needed, channels)
    if isinstance(source, Image.Image):
        picture, notes = decode_with_notes(source)
        bands = bands_of_image(source, channels or 0, upright) if wants_bands(channels) else None
        return Photo(picture, picture.size, notes, bands)
    array = source if isinstance(source, np.ndarray) else _to_numpy(source)
    return _read_array(array, channels)


def _read_array(array: NDArray[Any], channels: int | None) -> Photo:
    shape = " x ".join(map(str, array.shape)) or "()"
    if array.size == 0:
        raise ImageError(f"the array has no pixels, its shape is {shape}")
    placed = _channels_last(array, shape, channels)
    count = placed.shape[2]
    if wants_bands(channels) and count != channels:
        raise refuse_channels(
            f"{count} channel{'s' * (count != 1)}, as its shape is {shape}", channels or 0
        )
    bands = _check_values(placed) if count not in CHANNELS or wants_bands(channels) else None
    if bands is None or count in CHANNELS:
        picture = Image.fromarray(_to_pixels(placed))
        note = None if bands is None else note_on_channels(bands)
    else:
        picture, note = shown_as_grey(bands)
    return Photo(picture, picture.size, (note,) if note else (), bands)


def _read_file(path: Path | FileBytes, needed: Needed | None, channels: int | None) -> Photo:
    try:
        check_file(path)
        with pillow_silenced():
            samples = samples_of(path)
        if samples > MOST_OF_PILLOW:
            return _read_bands(path, channels, samples)
        try:
            return _read_picture(path, needed, channels, samples)
        except UnidentifiedImageError:
            if samples <= 1:
                raise
            return _read_bands(path, channels, samples)
    except FileNotFoundError as error:
        raise ImageError("the file does not exist") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"the file is not an image that can be read{describe_format(path)}"
        ) from error
    # The warning is raised only if the caller's filters make it an error.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"the image is too large: {message_of(error)}") from error
    except OSError as error:
        raise ImageError(f"the file cannot be read: {message_of(error)}") from error
    except ImageError:
        raise
    except Exception as error:  # a broken header can make a plugin raise anything
        raise ImageError(f"the file cannot be read as an image: {message_of(error)}") from error


def _read_picture(
    path: Path | FileBytes, needed: Needed | None, channels: int | None, samples: int
) -> Photo:
    """Return a file that Pillow reads."""
    with pillow_silenced(sizes=True), open_file(path) as image:
        if raw := check_raw(path, image):
            raise ImageError(raw)
        if samples > 1 and len(image.getbands()) == 1 and image.mode != "P":
            # Pillow has only the first of separate channels.
            return _read_bands(path, channels, samples)
        large = _large(image)
        if not wants_bands(channels):
            large += note_on_pages(image)
        scale = 1 if needed is None else _reduce(image, needed)
        wide = is_sixteen_bit(image)
        if wide:
            fix_planes(image)
        picture, notes = decode_with_notes(image, path if wide else None)
        size = scale * picture.width, scale * picture.height
        bands = None
        if wants_bands(channels):
            bands = bands_of_image(image, channels or 0, upright)
            notes = (note_on_channels(bands, image),)
        return Photo(picture, size, (*large, *notes), bands)


def _read_bands(path: Path | FileBytes, channels: int | None, samples: int) -> Photo:
    """Return a TIFF of many channels, which Pillow does not read."""
    if channels is not None and samples != channels:
        raise refuse_channels(f"{samples} channels", channels)
    bands = values_of(read_many_channels(path))
    picture, note = shown_as_grey(bands)
    return Photo(picture, picture.size, (note,), bands)


def upright(image: Image.Image) -> Image.Image:
    """Return an image turned as its Exif says."""
    turn = TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return the width and height of an image in px, once it is turned as its Exif says."""
    return image.size[::-1] if _orientation(image) in TRANSPOSED else image.size


@contextmanager
def open_file(
    path: Path | FileBytes, formats: Sequence[str] = FORMATS
) -> Iterator[ImageFile.ImageFile]:
    """Open a file as an image in one of some formats, without decoding it.

    Raises:
        ImageError: If it is not a regular file, or empty.
        OSError: If it cannot be read; Pillow's errors are not wrapped.
    """
    check_file(path)
    # Pass the open file, not the path: Pillow would map the latter into memory if possible, which
    # garbles transposed grey TIFF files, and crashes the process if a file shrinks.
    with (
        pillow_silenced(),
        path.open("rb") as file,
        Image.open(file, formats=readable(formats)) as image,
    ):
        yield image


def check_file(path: Path | FileBytes) -> None:
    """Check that a path is a file with content; opening a pipe could wait for ever.

    Raises:
        ImageError: If it is not a regular file, or empty.
        OSError: If it cannot be reached.
    """
    if isinstance(path, FileBytes):
        if not path.data:
            raise ImageError("the file is empty")
        return
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("it is not a regular file, but a folder, a pipe, a socket or a device")
    if status.st_size == 0:
        raise ImageError("the file is empty")


def check_pixels(width: int, height: int) -> None:
    """Check a size in px as `PIL.Image.open` does.

    Raises:
        ImageError: If there are no pixels, or more than twice ``PIL.Image.MAX_IMAGE_PIXELS``; or
            more than that, if Pillow's warning is an error.
    """
    most = Image.MAX_IMAGE_PIXELS
    if width < 1 or height < 1:
        raise ImageError(f"the image has no pixels, its size is {width} x {height}")
    if most is None or width * height <= most:
        return
    message = f"{width} x {height} px exceed the limit of {most} px (PIL.Image.MAX_IMAGE_PIXELS)"
    if width * height > 2 * most:
        raise ImageError(f"the image is too large: {message}")
    try:
        warnings.warn(message, Image.DecompressionBombWarning, stacklevel=2)
    except Image.DecompressionBombWarning as error:
        raise ImageError(f"the image is too large: {message}") from error


def readable(formats: Sequence[str]) -> list[str]:
    """Return those of some formats that the installed Pillow and its plugins read."""
    Image.init()
    return [each for each in formats if each in Image.OPEN]


def message_of(error: Exception) -> str:
    """Return the message of an error in one printable line: Pillow may quote a file's bytes."""
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    message = " ".join(str(error).split()) or type(error).__name__
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in message)


def _reduce(image: Image.Image, needed: Needed) -> int:
    """Set a JPEG to be decoded at a fraction of its size if that suffices; return the factor."""
    if image.format != "JPEG":
        return 1
    width, height = image.size
    transposed = _orientation(image) in TRANSPOSED
    wide, tall = needed(height, width)[::-1] if transposed else needed(width, height)
    for scale in (8, 4, 2):
        fits = width % scale == height % scale == 0
        if fits and min(width / wide, height / tall) >= REDUCED_MARGIN * scale:
            image.draft(None, (width // scale, height // scale))
            return width // image.width
    return 1


def _large(image: Image.Image) -> list[Note]:
    """Return a note on an image of more pixels than Pillow expects."""
    most = Image.MAX_IMAGE_PIXELS
    if most is None or image.width * image.height <= most:
        return []
    text = (
        f"it has {image.width * image.height} pixels, more than {most} "
        "(PIL.Image.MAX_IMAGE_PIXELS), and could be made to exhaust the memory"
    )
    return [Note("large", text, Image.DecompressionBombWarning)]


def decode(image: Image.Image) -> Image.Image:
    """Return an upright RGB copy of a PIL image, which is not changed.

    Raises:
        ImageError: If it has no pixels, or they cannot be decoded.
    """
    return decode_with_notes(image)[0]


def decode_with_notes(
    image: Image.Image, path: Path | FileBytes | None = None
) -> tuple[Image.Image, tuple[Note, ...]]:
    """Return an upright RGB copy of a PIL image, and notes on how it was read.

    Args:
        image: The image, which is not changed.
        path: The file that it was opened from, if it has colours of 16 bits per channel.

    Raises:
        ImageError: If it has no pixels, or they cannot be decoded.
    """
    if 0 in image.size:
        raise ImageError(f"the image has no pixels, its size is {image.width} x {image.height}")
    try:
        with pillow_silenced():
            image.load()
            turn = TURNS.get(_orientation(image))
            if path is not None and needs_low_bytes(image):
                plain, note = _from_sixteen_bits(image, path)
            else:
                plain, note = image, None
            picture, own = _to_rgb(plain if turn is None else plain.transpose(turn))
        return picture, tuple(each for each in (note, own) if each is not None)
    except ImageError:
        raise
    except Exception as error:  # a broken file can make a decoder raise anything
        raise ImageError(f"the image cannot be decoded: {message_of(error)}") from error


def _from_sixteen_bits(
    image: Image.Image, path: Path | FileBytes
) -> tuple[Image.Image, Note | None]:
    """Return an image with colours of 16 bits per channel in RGB or RGBA, and a note on it."""
    boxes = [(0, top, strip.width, top + strip.height) for top, strip in _strips(image)]
    with open_file(path, [image.format or ""]) as again:
        low = decode_low_bytes(again)
        if low is not None:
            made, found = combine(image, low, boxes)
            return made, found.note
    upper = max(high for _, high in image.getextrema()[:3])  # type: ignore[misc]
    found = find_range(0, upper << 8 | 255, floats=False)
    if found.high < WIDEST:
        raise ImageError(
            "its planes of 16 bits are compressed, and hold fewer bits than that, which Pillow "
            "cannot decode: store the channels of each pixel together, or uncompressed"
        )
    return image, found.note


def _orientation(image: Image.Image) -> int:
    """Return the orientation in an image's Exif; 1, upright, if there is no valid one.

    `PIL.ImageOps.exif_transpose` rewrites all metadata and fails if it cannot.
    """
    try:
        found = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001  # broken metadata can raise anything
        return 1
    return found if isinstance(found, int) and found in TURNS else 1


def _to_rgb(image: Image.Image) -> tuple[Image.Image, Note | None]:
    """Return a copy in RGB without metadata, converted in strips to save memory, and a note."""
    if image.mode == "RGB" and not image.has_transparency_data:
        copy = image.copy()
        copy.info = {}
        return copy, None
    note = None
    convert: Callable[[Image.Image], Image.Image] = _strip_to_rgb
    if image.mode.startswith("I") or image.mode == "F":
        found = _range_of(image)
        convert, note = _scaling(found, image.info.get("transparency")), found.note
    rgb = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        rgb.paste(convert(strip), (0, top))
    return rgb, note


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Yield an image in strips from top to bottom, each with its first row."""
    width, height = image.size
    rows = max(STRIP_PIXELS // width, 1)
    if rows >= height:
        yield 0, image
        return
    for top in range(0, height, rows):
        yield top, image.crop((0, top, width, min(top + rows, height)))


def _strip_to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBa", "La"):
        image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (*WHITE, 255))
        return Image.alpha_composite(ground, image).convert("RGB")
    if image.mode == "LAB":
        return _from_lab(image)
    return image.convert("RGB")


def _from_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.applyTransform(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB"))
    if converted is None:
        raise ImageError("the image's CIELAB colours could not be converted")
    return converted


def _range_of(image: Image.Image) -> Range:
    """Return the range of an image of integers or floats of more than 8 bits."""
    lows, highs = zip(*(_extent(np.asarray(strip)) for _, strip in _strips(image)), strict=True)
    return find_range(min(lows), max(highs), floats=image.mode == "F", bits=stated_bits(image))


def _scaling(found: Range, transparent: object) -> Callable[[Image.Image], Image.Image]:
    """Return a function that scales values of a range to 8 bits.

    Args:
        found: The range.
        transparent: The value of transparent pixels, which become white; ``None`` if none are.
    """
    low, high, _ = found

    def scale(strip: Image.Image) -> Image.Image:
        values = np.asarray(strip)
        scaled = (values.astype(np.float64) - low) / max(high - low, 1e-300) * 255
        if isinstance(transparent, int):
            scaled[values == transparent] = 255
        return Image.fromarray(scaled.round().astype(np.uint8))

    return scale


def _extent(values: NDArray[Any]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if not np.isfinite((low, high)).all():  # NaN is both
        raise ImageError("the image has pixels that are not finite numbers")
    return low, high


def _to_numpy(tensor: Any) -> NDArray[Any]:
    try:
        values = tensor.detach().cpu()
        if values.is_floating_point():
            values = values.float()
        array: NDArray[Any] = values.numpy()
    except (RuntimeError, TypeError) as error:  # sparse, quantised, or on the meta device
        raise ImageError(f"the tensor's values cannot be read: {message_of(error)}") from error
    return array


def _to_pixels(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return (height, width, 3) uint8 pixels of (height, width, 1, 3 or 4) values."""
    pixels = _to_uint8(array)
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    if pixels.shape[2] == 4:
        return np.asarray(_to_rgb(Image.fromarray(pixels))[0])
    return np.ascontiguousarray(pixels)


def _channels_last(array: NDArray[Any], shape: str, channels: int | None) -> NDArray[Any]:
    """Return an array as (height, width, channels).

    One, three or four channels are recognised by their number. Others, which no model of photos
    takes, are the smaller of the first and the last dimension.
    """
    if array.ndim == 2:
        return array[:, :, None]
    if array.ndim != 3:
        raise ImageError(f"the array's shape is {shape}: expected height x width, or with channels")
    known = CHANNELS if not wants_bands(channels) or channels in CHANNELS else (channels,)
    first, last = array.shape[0] in known, array.shape[2] in known
    if not first and not last:
        if channels in PLAIN:
            raise ImageError(
                f"the array's shape is {shape}: expected 1, 3 or 4 channels, first or last, "
                "because the model takes photos: choose some of the channels"
            )
        first, last = array.shape[0] <= array.shape[2], array.shape[2] <= array.shape[0]
    if first and last:
        raise ImageError(
            f"the array's shape is {shape}, so its channels may come first or last: "
            "pass a PIL image instead"
        )
    return array.transpose(1, 2, 0) if first else array


def _to_uint8(array: NDArray[Any]) -> NDArray[np.uint8]:
    values = _check_values(array)
    return values if values.dtype == np.uint8 else values.round().astype(np.uint8)


def _check_values(array: NDArray[Any]) -> NDArray[Any]:
    """Return values as uint8, or as floats in [0, 255]."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind != "f":
        raise ImageError(f"the array is of {array.dtype}: expected uint8, or floats in [0, 1]")
    if not np.isfinite(array).all():
        raise ImageError("the array has NaN or infinite values")
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        raise ImageError(
            f"the array has floats from {low:g} to {high:g}: expected [0, 1]; undo a model's "
            "normalisation, or divide by 255, first"
        )
    return np.asarray(array * 255)
