"""A canvas of matplotlib that writes photos in PDF and SVG files as JPEG.

``savefig`` is given this module as ``backend``. Matplotlib itself stores all pictures without loss,
which makes the files of large figures about ten times as large.
"""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib import cbook
from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.backends.backend_pdf import Name, PdfFile, RendererPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from PIL import Image

from effcam.drawing.html_image import data_address

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

FINE: Any = {"quality": 90, "subsampling": 0, "optimize": True, "progressive": True}
"""Pillow's options for the photos of a figure."""
SMALL: Any = {
    "pdf": FINE | {"quality": 75, "subsampling": 2},
    # SVG holds text, in which each photo takes a third more.
    "svg": FINE | {"quality": 70, "subsampling": 2},
}
"""The same for a figure of many photos, which else would be too large to send, by format."""
MANY = 10_000_000
"""The number of pixels from which a figure has many photos: about 90 cells at 300 dpi."""
SMALLEST = 2048
"""The least number of pixels of a picture that is stored as JPEG: a colour bar is smaller."""
FEW_COLOURS = 256
"""Drawings of at most so many colours are small and exact without loss."""
_PNG = re.compile(r"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)")


def options_for(figure: Figure, form: str) -> Any:
    """Return Pillow's options for the photos of a figure in a format."""
    pictures = [image.get_size() for axes in figure.axes for image in axes.images]
    return FINE if sum(height * width for height, width in pictures) < MANY else SMALL[form]


def to_jpeg(picture: Image.Image, options: Any) -> bytes | None:
    """Return a photo as a JPEG file; ``None`` for a picture that is better stored without loss."""
    few = picture.getcolors(maxcolors=FEW_COLOURS) is not None
    if picture.mode != "RGB" or picture.width * picture.height < SMALLEST or few:
        return None
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", **options)
    return stream.getvalue()


class _PdfFile(PdfFile):
    """A PDF file whose photos are JPEG."""

    jpeg: Any = FINE

    # The name and the arguments are matplotlib's.
    def _writeImg(  # noqa: N802
        self,
        data: NDArray[np.uint8],
        id: int,  # noqa: A002
        smask: Any = None,
    ) -> None:
        picture = Image.fromarray(data) if smask is None and data.shape[2] == 3 else None
        jpeg = to_jpeg(picture, self.jpeg) if picture is not None else None
        if jpeg is None:
            super()._writeImg(data, id, smask)
            return
        height, width, _ = data.shape
        about = {
            "Type": Name("XObject"),
            "Subtype": Name("Image"),
            "Width": width,
            "Height": height,
            "ColorSpace": Name("DeviceRGB"),
            "BitsPerComponent": 8,
            "Filter": Name("DCTDecode"),
        }
        # The stream is compressed already.
        with mpl.rc_context({"pdf.compression": 0}):
            self.beginStream(id, self.reserveObject("length of image stream"), about)
            stream: Any = self.currentstream
            stream.write(jpeg)
            self.endStream()


class FigureCanvas(FigureCanvasSVG):
    """A canvas for PDF and SVG, under the name that matplotlib looks for."""

    def print_pdf(
        self,
        filename: Any,
        *,
        bbox_inches_restore: Any = None,
        metadata: Any = None,
        **_of_other_formats: Any,
    ) -> None:
        """Write a PDF file of one page, as ``FigureCanvasPdf.print_pdf`` does."""
        resolution = self.figure.dpi
        self.figure.dpi = 72
        width, height = self.figure.get_size_inches()
        file = _PdfFile(filename, metadata=metadata)
        file.jpeg = options_for(self.figure, "pdf")
        try:
            file.newPage(width, height)
            renderer: Any = MixedModeRenderer(
                self.figure,
                width,
                height,
                resolution,
                RendererPdf(file, resolution, height, width),
                bbox_inches_restore=bbox_inches_restore,
            )
            self.figure.draw(renderer)
            renderer.finalize()
            file.finalize()
        finally:
            file.close()

    def print_svg(
        self,
        filename: Any,
        *,
        bbox_inches_restore: Any = None,
        metadata: Any = None,
        **_of_other_formats: Any,
    ) -> None:
        """Write an SVG file, as ``FigureCanvasSVG.print_svg`` does."""
        written = io.StringIO()
        super().print_svg(written, bbox_inches_restore=bbox_inches_restore, metadata=metadata)
        options = options_for(self.figure, "svg")
        text = _PNG.sub(lambda found: _with_jpeg(found, options), written.getvalue())
        with cbook.open_file_cm(filename, "w", encoding="utf-8") as stream:
            stream.write(text if cbook.file_requires_unicode(stream) else text.encode())


def _with_jpeg(found: re.Match[str], options: Any) -> str:
    with Image.open(io.BytesIO(base64.b64decode(found[1]))) as picture:
        jpeg = to_jpeg(picture.convert("RGB"), options)
    if jpeg is None:
        return found[0]
    return data_address(jpeg, "jpeg")
