"""Import Gradio, so that it asks nobody for anything."""

from __future__ import annotations

import os
from typing import Any

from effcam.errors import ModelError


def import_gradio() -> Any:
    """Return the package ``gradio``, with its statistics turned off.

    It reads the variable when a page is built, and would look up a host.

    Raises:
        ModelError: If it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio
    except ImportError as error:
        raise ModelError(
            f"the live page needs Gradio: pip install 'effcam[app]' ({error})"
        ) from error
    return gradio
