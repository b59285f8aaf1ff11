"""Colours of 16 bits per channel, of which Pillow keeps the upper 8 only.

The lower 8 are read by decoding a file a second time in the other byte order. They are needed where
the upper ones do not suffice: for the transparent colour of a PNG, and for values of 12 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image, ImageFile

from effcam.images.value_range import DARK, WIDEST, Range, find_range, stated_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

Box: TypeAlias = tuple[int, int, int, int]

GREY_PAIRS = "LA;16B"
OTHER_ORDER = {"B": "L", "L": "B", "N": "B"}
"""Pillow's letters of byte orders. N is the machine's own: L wherever torch runs."""
PLANES, PLANAR, SEPARATE = ("R", "G", "B", "A"), 284, 2


def is_sixteen_bit(image: Image.Image) -> bool:
    """Return whether an image that is not decoded yet has colours of 16 bits per channel."""
    tiles: Any = getattr(image, "tile", None)
    return image.mode in ("RGB", "RGBA") and bool(tiles) and _is_wide(image, _raw(tiles[0]))


def fix_planes(image: ImageFile.ImageFile) -> None:
    """Correct how 16-bit planes of a TIFF are decoded: Pillow takes each byte for a value."""
    if _raw(image.tile[0]) in PLANES:
        order = "B" if _big_endian(image) else "L"
        image.tile = [_with_raw(each, f"{_raw(each)};16{order}") for each in image.tile]


def needs_low_bytes(image: Image.Image) -> bool:
    """Return whether the upper bytes of a decoded image do not suffice."""
    if "transparency" in image.info:
        return True
    highs = [high for _, high in image.getextrema()[:3]]  # type: ignore[misc]
    return max(highs) < DARK >> 8 or stated_bits(image) is not None


def decode_low_bytes(image: ImageFile.ImageFile) -> Image.Image | None:
    """Return the lower bytes of a file that was opened again; ``None`` if they cannot be read."""
    fix_planes(image)
    raw = _raw(image.tile[0])
    tags: Any = getattr(image, "tag_v2", {})
    if image.tile[0][0] == "libtiff" and tags.get(PLANAR) == SEPARATE:
        return None  # Pillow's decoder of compressed planes knows one byte order only
    if raw == GREY_PAIRS:
        # As four channels of 8 bits: both bytes of the grey value, then those of the opacity.
        image.tile = [_with_raw(each, "RGBA") for each in image.tile]
        _, low, _, opacity = image.split()
        return Image.merge("RGBA", [low, low, low, opacity])
    image.tile = [
        _with_raw(each, _raw(each)[:-1] + OTHER_ORDER[_raw(each)[-1]]) for each in image.tile
    ]
    image.load()
    return image


def combine(high: Image.Image, low: Image.Image, boxes: Sequence[Box]) -> tuple[Image.Image, Range]:
    """Return an image in RGB or RGBA with 8 bits per channel, and the range of its values.

    Args:
        high: The image with the upper bytes, and what the file states of it.
        low: The image with the lower bytes.
        boxes: The parts to convert at once, as Pillow's `crop` takes them.
    """
    most = max(int(_values(high.crop(each), low.crop(each))[:, :, :3].max()) for each in boxes)
    found = find_range(0, most, floats=False, bits=stated_bits(high))
    key = high.info.get("transparency")
    has_alpha = high.mode == "RGBA" or key is not None
    made = Image.new("RGBA" if has_alpha else "RGB", high.size)
    opaque = _opaque(high, low, boxes, found) if high.mode == "RGBA" else 0
    for each in boxes:
        values = _values(high.crop(each), low.crop(each))
        pixels = values[:, :, :3] * (255 / found.high)
        if key is not None:
            alpha = 255.0 * (values != np.asarray(key, np.uint16)).any(2)
        elif opaque:
            alpha = values[:, :, 3] * (255 / opaque)
        layers = [pixels, alpha] if has_alpha else [pixels]
        made.paste(Image.fromarray(np.dstack(layers).round().astype(np.uint8)), each[:2])
    return made, found


def _opaque(high: Image.Image, low: Image.Image, boxes: Sequence[Box], found: Range) -> float:
    """Return the value that is opaque: that of white, if no opacity is above it."""
    most = max(int(_values(high.crop(each), low.crop(each))[:, :, 3].max()) for each in boxes)
    return found.high if most <= found.high else WIDEST


def _values(high: Image.Image, low: Image.Image) -> NDArray[np.uint16]:
    """Return (height, width, channels) uint16 values from their upper and lower bytes."""
    upper: NDArray[np.uint16] = np.asarray(high).astype(np.uint16)
    return np.asarray(upper << 8 | np.asarray(low), np.uint16)


def _is_wide(image: Image.Image, raw: str) -> bool:
    if raw in PLANES:
        tags: Any = getattr(image, "tag_v2", {})
        return 16 in tuple(tags.get(258, ()))
    return raw == GREY_PAIRS or (raw.partition(";")[0] in ("RGB", "RGBA") and ";16" in raw)


def _big_endian(image: Image.Image) -> bool:
    return bool(getattr(image, "tag_v2", None) and image.tag_v2.prefix == b"MM")  # type: ignore[attr-defined]


def _raw(tile: Any) -> str:
    args = tile[3]
    raw = args if isinstance(args, str) else args[0] if args else ""
    return raw if isinstance(raw, str) else ""


def _with_raw(tile: Any, raw: str) -> Any:
    args = raw if isinstance(tile[3], str) else (raw, *tile[3][1:])
    return (*tile[:3], args) if type(tile) is tuple else tile._replace(args=args)
