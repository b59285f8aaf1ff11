"""Figures of matplotlib that need no pyplot, and whose files hold real text and no date."""

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
    # TrueType is embedded as it is: journals refuse Type 3, and its text cannot be searched.
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
"""What files are written with, whatever the user's own settings."""
DATES = {".pdf": "CreationDate", ".svg": "Date"}
"""What each format calls the time of writing, by which two files of one figure would differ."""


def new_figure(
    size: tuple[float, float], *, dpi: float, layout: Literal["constrained"] | None = None
) -> Figure:
    """Return an empty figure that needs no pyplot, and that notebooks show.

    Args:
        size: Its width and height in inches.
        dpi: How many px an inch has.
        layout: The name of matplotlib's layout engine, if any.

    Raises:
        OutputError: If matplotlib is not there.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OutputError("figures need matplotlib: pip install matplotlib") from error

    class Canvas(Figure):
        def savefig(self, fname: Any, **options: Any) -> None:
            with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
                # It shows as a box, as in pictures.
                warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
                super().savefig(fname, **{**options, "metadata": _metadata(fname, options)})

        # Without pyplot a notebook would print the name of the figure only.
        def _repr_png_(self) -> bytes:
            stream = io.BytesIO()
            self.savefig(stream, format="png")
            return stream.getvalue()

    figure = Canvas(figsize=size, dpi=dpi, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _metadata(file: object, options: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a file says of itself: what was asked for, and no date unless it was."""
    suffix = f".{options['format']}" if options.get("format") else ""
    if not suffix and isinstance(file, str | PathLike):
        suffix = PurePath(file).suffix
    date = DATES.get(suffix.lower())
    given: dict[str, Any] | None = options.get("metadata")
    return given if date is None else {date: None, **(given or {})}
