"""The range of an image's values: which value is black, and which is white.

A file of 16 bits may hold values of fewer: cameras, microscopes and scanners often store 10, 12 or
14 bits in the low bits, and few formats can state that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from effcam.images.notes import Note

if TYPE_CHECKING:
    from PIL import Image

WIDEST = 2**16 - 1
DEPTHS = (8, 10, 12, 14)
"""The bits that values in a file of 16 bits are likely to have, if not 16."""
NEAR = 0.95
"""Values with so large a share of a depth's white are likely to be of that depth."""
USUAL_DEPTH = 12
DARK = 2**14
"""A maximum of 16-bit values below this is suspicious: a quarter of white."""
MAX_SAMPLE_VALUE = 281
"""TIFF's tag for the largest value that is used."""
PACKED = 12
"""Bits of the packed values that Pillow reads from TIFF."""


class Range(NamedTuple):
    """The values that become black and white, and a note if they are not certain."""

    low: float
    high: float
    note: Note | None = None


def find_range(low: float, high: float, *, floats: bool, bits: int | None = None) -> Range:
    """Return the range of values from their minimum and maximum.

    Floats are in [0, 1] or [0, 255] if those contain them. Others, and integers, are taken for
    values of 16 bits, or of fewer bits: those that the file states, or a guess.

    Args:
        low: The minimum.
        high: The maximum.
        floats: Whether the values are floats.
        bits: How many bits the file states; ``None`` if it does not.
    """
    if low < 0 or high > WIDEST:
        text = (
            f"its values, from {low:g} to {high:g}, were stretched from black to white, because "
            "their range is unknown. To choose it, pass an array of floats in [0, 1]"
        )
        return Range(low, high, Note("stretched", text))
    if floats and high <= 255:
        return Range(0, 1 if high <= 1 else 255)
    if bits is not None and high < 2**bits:
        return Range(0, 2**bits - 1)
    return _guess(high)


def stated_bits(image: Image.Image) -> int | None:
    """Return how many bits a file says its values have, if fewer than it stores; else ``None``.

    TIFF has packed values of 12 bits. Its tag `MaxSampleValue` is meant for statistics, so it
    counts only where it is the maximum of a depth, such as 4095.
    """
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return None
    if PACKED in tuple(tags.get(258, ())):
        return PACKED
    most = tags.get(MAX_SAMPLE_VALUE)
    most = most[0] if isinstance(most, tuple) and most else most
    depths = {2**bits - 1: bits for bits in range(9, 16)}
    return depths.get(most) if isinstance(most, int) else None


def _guess(high: float) -> Range:
    """Return the range of non-negative 16-bit values from their maximum."""
    if high == 0 or high >= DARK:
        return Range(0, WIDEST)
    near = [bits for bits in DEPTHS if NEAR * (2**bits - 1) <= high <= 2**bits - 1]
    bits = near[0] if near else USUAL_DEPTH
    if high >= 2**bits:
        text = (
            f"its largest value is {high:g} of {WIDEST}, so it is dark. If its values have fewer "
            "than 16 bits, pass an array of floats in [0, 1]: for 14 bits, pixels / 16383"
        )
        return Range(0, WIDEST, Note("dark", text))
    text = (
        f"its largest value is {high:g} of {WIDEST}, so its values were taken for {bits}-bit ones, "
        f"of which {2**bits - 1} is white. If they have 16 bits, pass an array of floats in "
        f"[0, 1]: pixels / {WIDEST}"
    )
    return Range(0, 2**bits - 1, Note(f"{bits} bits", text))
