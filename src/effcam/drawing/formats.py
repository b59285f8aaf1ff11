"""Output formats: one table, read by the encoders, by saving and by the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

Writer: TypeAlias = Literal[
    "picture", "figure", "animation", "report", "csv", "json", "npz", "parquet"
]
Encoding: TypeAlias = Mapping[str, int | str]

REPORT = ("alpha", "colormap")
PAGE = (*REPORT, "boxes", "rows", "original", "title", "caption", "font", "theme", "marks")
PRINT = ("inches", "fontsize", "dpi", "lossless")


@dataclass(frozen=True, slots=True)
class Format:
    """One output format.

    Attributes:
        suffix: The suffix of its files.
        writer: What writes it, a key of `effcam.comparison.export.WRITERS`.
        options: The arguments of `Comparison.save` that it understands.
        help: What such a file holds, for the command line.
        is_alias: Whether it is another suffix of the format before it.
        picture: How the encoder writes a picture; ``None`` if the format is not for that.
        animation: How the encoder writes frames; ``None`` if the format is not for that.
        longest_side: The most px a side that the format holds; ``None`` for no limit.
        extra: The extra of effcam that has to be installed to write it; empty for none.
    """

    suffix: str
    writer: Writer
    options: tuple[str, ...] = ()
    help: str = ""
    is_alias: bool = False
    picture: Encoding | None = None
    animation: Encoding | None = None
    longest_side: int | None = None
    extra: Literal["", "video", "dataset"] = ""


# Chroma is not subsampled in JPEG: small coloured text would blur.
_JPEG = {"quality": 93, "subsampling": 0}
# `bits` makes imageio quantise each frame at once, and RGBA frames by Pillow's fast octree. On
# photos under heat that is over ten times faster than the default median cut, as true and smaller,
# and heat keeps all its hues; on frames of few hues, such as a single grey photo, it is coarser.
_GIF = {"bits": 8}
# "veryfast" takes half as long as "medium" and, for repeated stills, is as true and small.
_MP4 = {"preset": "veryfast", "crf": "20"}
_PICTURE = (*PAGE, "width", "layout")
_ANIMATION = (*PAGE, "width", "seconds")
_FIGURE = (*PAGE, *PRINT, "layout")
_FRAMES = "one frame for each image"

_FORMATS = (
    Format(".png", "picture", _PICTURE, "one grid", picture={}),
    Format(".jpg", "picture", _PICTURE, "one grid", picture=_JPEG, longest_side=65500),
    Format(".jpeg", "picture", _PICTURE, is_alias=True, picture=_JPEG, longest_side=65500),
    Format(".pdf", "figure", _FIGURE, "the grid for print"),
    Format(".svg", "figure", _FIGURE, "the grid for print"),
    Format(".gif", "animation", _ANIMATION, _FRAMES, animation=_GIF, longest_side=65535),
    Format(
        ".webp",
        "animation",
        _ANIMATION,
        _FRAMES,
        picture={"quality": 90, "method": 4},
        animation={"quality": 90, "method": 2},
        longest_side=16383,
    ),
    Format(
        ".mp4", "animation", _ANIMATION, _FRAMES, animation=_MP4, longest_side=16384, extra="video"
    ),
    Format(".html", "report", REPORT, "a report for the browser"),
    Format(".htm", "report", REPORT, is_alias=True),
    Format(".csv", "csv"),
    Format(".json", "json"),
    Format(".npz", "npz"),
    Format(".parquet", "parquet", extra="dataset"),
)
FORMATS: Mapping[str, Format] = MappingProxyType({each.suffix: each for each in _FORMATS})
"""The formats by suffix."""

IMAGE_SUFFIXES = tuple(each.suffix for each in _FORMATS if each.picture is not None)
ANIMATION_SUFFIXES = tuple(each.suffix for each in _FORMATS if each.animation is not None)
REPORT_SUFFIXES = tuple(each.suffix for each in _FORMATS if each.writer == "report")


def describe_formats() -> str:
    """Return the suffixes with what their files hold, for a help text.

    >>> describe_formats().partition(",")[0]
    '.png .jpg (one grid)'
    """
    groups: dict[str, list[str]] = {}
    for each in _FORMATS:
        if not each.is_alias:
            groups.setdefault(each.help, []).append(each.suffix)
    return ", ".join(
        " ".join(suffixes) + (f" ({text})" if text else "") for text, suffixes in groups.items()
    )
