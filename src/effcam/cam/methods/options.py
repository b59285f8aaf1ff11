"""Options of methods: what their maps depend on beside the model, the image and the target."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, TypeAlias, cast, get_args

from effcam.errors import check_choice, check_flag, check_number

Fuse: TypeAlias = Literal["sum", "product", "winsor"]
"""How the maps of several target layers become one: `effcam.cam.methods.fusion`."""
FUSE: Fuse = "sum"
"""How they do unless told."""

RESOLUTION = 56
"""Rows and columns of maps of the input's pixels: 12 KB as float32, 1 KB as a compressed cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodOptions:
    """Options of methods.

    Attributes:
        resolution: The most rows and columns of a map of the input's pixels, as of ``rise``.
        samples: How many changed copies of an image a method uses that samples them, as ``rise``
            and ``smoothgrad``; ``None`` for each method's own number.
        channels: How many channels, those of the highest activations, ``scorecam`` and its kin
            use; ``None`` for all.
        fuse: How the maps of several target layers become one: ``"sum"`` of densities,
            ``"product"`` of scaled maps, or ``"winsor"``, a weighted mean of scaled maps.
        aug_smooth: Whether a map is the mean over an image's mirrored and dimmed copies.
        eigen_smooth: Whether a map is the first principal component of what would be added over
            the channels.
    """

    resolution: int = RESOLUTION
    samples: int | None = None
    channels: int | None = None
    fuse: Fuse = FUSE
    aug_smooth: bool = False
    eigen_smooth: bool = False


OPTIONS = tuple(each.name for each in fields(MethodOptions))
"""The names of all options."""


def make_options(
    *,
    resolution: int = RESOLUTION,
    samples: int | None = None,
    channels: int | None = None,
    fuse: str = FUSE,
    aug_smooth: bool = False,
    eigen_smooth: bool = False,
) -> MethodOptions:
    """Return options, after checking what a caller gave.

    Raises:
        ArgumentError: If a value is impossible.
    """
    return MethodOptions(
        resolution=check_number("resolution", resolution),
        samples=None if samples is None else check_number("samples", samples),
        channels=None if channels is None else check_number("channels", channels),
        fuse=cast("Fuse", check_choice("fuse", fuse, get_args(Fuse))),
        aug_smooth=check_flag("aug_smooth", aug_smooth),
        eigen_smooth=check_flag("eigen_smooth", eigen_smooth),
    )
