"""Matplotlib figures without pyplot, whose files hold real text and no date."""

from __future__ import annotations

import io
import warnings
from os import PathLike
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

from effcam.errors import OutputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SETTINGS: Any = {
    # Embed TrueType fonts: journals refuse Type 3 fonts, whose text cannot be searched.
    "pdf.fonttype": 42,
    "pdf.use14corefonts": False,
    "pdf.inheritcolor": False,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "effcam",
    "svg.image_inline": True,
    "savefig.bbox": None,
    "savefig.dpi": "figure",
    "savefig.facecolor": "auto",
    "savefig.transparent": False,
}
"""The settings for files, in place of the user's own."""
DATES = {".pdf": "CreationDate", ".svg": "Date"}
"""The name of the date in each format; with a date, two files of one figure would differ."""


CANVAS = "module://effcam.drawing.mpl_canvas"
"""The backend that stores photos as JPEG, by the name that ``savefig`` takes."""
PHOTO_FORMATS = (".pdf", ".svg")
"""The formats that it writes."""


def new_figure(
    size: tuple[float, float],
    *,
    dpi: float,
    layout: Literal["constrained"] | None = None,
    lossless: bool = True,
) -> Figure:
    """Return an empty figure that notebooks can show, without pyplot.

    Args:
        size: Its width and height in inches.
        dpi: The resolution in px an inch.
        layout: The name of matplotlib's layout engine, if any.
        lossless: Whether PDF and SVG files hold pictures without loss, or photos as JPEG.

    Raises:
        OutputError: If matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OutputError("figures need matplotlib: pip install matplotlib") from error

    class PlainFigure(Figure):
        def savefig(self, fname: Any, **options: Any) -> None:
            suffix = _suffix(fname, options)
            metadata = _metadata(suffix, options)
            with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
                # A missing glyph shows as a box, as in pictures.
                warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
                backend = {} if lossless or suffix not in PHOTO_FORMATS else {"backend": CANVAS}
                super().savefig(fname, **{**backend, **options, "metadata": metadata})

        # Without this and without pyplot, a notebook would only print the object's name.
        def _repr_png_(self) -> bytes:
            stream = io.BytesIO()
            self.savefig(stream, format="png")
            return stream.getvalue()

    figure = PlainFigure(figsize=size, dpi=dpi, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _suffix(file: object, options: dict[str, Any]) -> str:
    """Return the suffix of a file's format, in lower case, empty if only matplotlib knows."""
    suffix = f".{options['format']}" if options.get("format") else ""
    if not suffix and isinstance(file, str | PathLike):
        suffix = PurePath(file).suffix
    return suffix.lower()


def _metadata(suffix: str, options: dict[str, Any]) -> dict[str, Any] | None:
    """Return the metadata of a file: what the caller gave, and no date unless given."""
    date = DATES.get(suffix)
    given: dict[str, Any] | None = options.get("metadata")
    return given if date is None else {date: None, **(given or {})}
