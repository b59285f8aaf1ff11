"""Checks of what targets are given: an index, and a region of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias, cast

from effcam.errors import TargetError, check_number

Corners: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom in px."""


def as_corners(region: object) -> Corners:
    """Return left, top, right and bottom of a region with an area.

    Raises:
        TargetError: If it has none.
    """
    found = getattr(region, "as_tuple", lambda: region)()
    try:
        left, top, right, bottom = (float(each) for each in cast("Sequence[float]", found))
    except (TypeError, ValueError):
        raise TargetError(
            f"a region is left, top, right and bottom in px, not {region!r}"
        ) from None
    if not (math.isfinite(left + top + right + bottom) and left < right and top < bottom):
        raise TargetError(f"a region needs an area: left < right and top < bottom, not {region!r}")
    return left, top, right, bottom


def as_index(name: str, value: object) -> int:
    """Return a whole number from 0, of any type, as an int.

    Args:
        name: What it is, for the message.
        value: The number.

    Raises:
        TargetError: If it is none.
    """
    try:
        return check_number(name, value, least=0)
    except ValueError as error:
        raise TargetError(str(error)) from None
