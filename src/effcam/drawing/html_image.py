"""Pictures embedded in HTML."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

QUALITY = 85


def embedded(picture: Image.Image, alt: str) -> str:
    """Return an ``<img>`` element with the picture as JPEG, at most as wide as its container.

    Args:
        picture: The picture, RGB.
        alt: The alternative text.
    """
    stream = io.BytesIO()
    # Chroma is not subsampled: small coloured text would blur.
    picture.save(stream, format="JPEG", quality=QUALITY, subsampling=0)
    return (
        f'<img alt="{html.escape(alt)}" style="max-width: 100%" '
        f'src="{data_address(stream.getvalue(), "jpeg")}">'
    )


def data_address(content: bytes, kind: str) -> str:
    """Return the ``data:`` address that holds a picture's file itself.

    Args:
        content: The file.
        kind: Its kind: ``"jpeg"``, ``"png"``.
    """
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
