"""The live page of effcam as a Hugging Face Space: limits for a page that is open to everyone."""

from __future__ import annotations

import os

from effcam.app import PUBLIC, launch


def main() -> None:
    """Serve the page until the Space stops."""
    host = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0")  # noqa: S104  # a Space is public
    port = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
    with launch(limits=PUBLIC, host=host, port=port, browser=False) as page:
        page.wait()


if __name__ == "__main__":
    main()
