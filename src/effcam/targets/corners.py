"""A region of an image, given as a box or as its corners."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias, cast

from effcam.errors import TargetError

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
