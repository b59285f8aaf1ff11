"""The live page of effcam as a Hugging Face Space: limits for a page that is open to everyone."""

from __future__ import annotations

import os
import signal
import sys

from effcam.app import PUBLIC, launch


def main() -> None:
    """Serve the page until the Space stops."""
    # Else the files of visitors would stay where a container is stopped and started again.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    host = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0")  # noqa: S104  # a Space is public
    port = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
    with launch(limits=PUBLIC, host=host, port=port, browser=False) as page:
        print(page.url, flush=True)  # noqa: T201  # for the log of the Space
        page.wait()


if __name__ == "__main__":
    main()
