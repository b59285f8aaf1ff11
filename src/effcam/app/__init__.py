"""The live page: drop photos, choose models, look.

``effcam app`` opens it; `launch` does the same from Python, and in a notebook. It needs Gradio:
``pip install 'effcam[app]'``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from effcam.lazy import lazy_names

if TYPE_CHECKING:
    from effcam.app.limits import PUBLIC, Limits
    from effcam.app.server import LivePage, launch

__all__ = ["PUBLIC", "Limits", "LivePage", "launch"]

__getattr__ = lazy_names(
    __name__,
    {
        "PUBLIC": "effcam.app.limits",
        "Limits": "effcam.app.limits",
        "LivePage": "effcam.app.server",
        "launch": "effcam.app.server",
    },
)
