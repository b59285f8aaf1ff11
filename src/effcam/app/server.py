"""Serve the live page on this machine."""

from __future__ import annotations

import socket
import threading
import webbrowser
from types import TracebackType
from typing import Any

from effcam.app.limits import Limits
from effcam.app.package import import_gradio
from effcam.app.store import Store
from effcam.errors import ArgumentError, check_number

HOST, PORT = "127.0.0.1", 7860
TRIED = 100
"""How many ports are tried after the one wanted."""
GREATEST_PORT = 65535


class LivePage:
    """A live page that is open: use it as a context manager, or `close` it.

    Attributes:
        url: The address of the page.
        port: The port that it listens on.
    """

    def __init__(self, url: str, port: int, page: Any, store: Store) -> None:
        self.url, self.port = url, port
        self._page, self._store = page, store
        self._closed = threading.Event()

    def __enter__(self) -> LivePage:
        """Return the page."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the page."""
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed.is_set() else "open"
        return f"LivePage({self.url!r}, {state}); close() ends it and deletes its files"

    def wait(self) -> None:
        """Return when the page is closed, by another thread."""
        while not self._closed.wait(0.5):
            pass

    def close(self) -> None:
        """Stop the server, and delete all uploads and results."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._page.blocks.close(verbose=False)
        self._page.close()
        self._store.close()


def launch(
    *,
    limits: Limits | None = None,
    host: str = HOST,
    port: int = PORT,
    browser: bool = True,
) -> LivePage:
    """Open the live page, and return it; the page is served until it is closed.

    There is one live page in a process at a time.

    Args:
        limits: What the page accepts; ``None`` is ``Limits()``.
        host: The address to listen on. ``"127.0.0.1"`` can be reached from this machine alone,
            ``"0.0.0.0"`` from every machine in the network.
        port: The port; if it is taken, the next one that is free.
        browser: Whether to open the page in a browser.

    Raises:
        ModelError: If Gradio is not installed.
        ArgumentError: If the host or the port is impossible, or another live page is open.
        UnknownModelError: If no model has a name that ``limits`` allows.
    """
    import_gradio()
    wanted = Limits() if limits is None else limits
    _check_allowed(wanted)
    free = find_port(host, check_number("port", port, most=GREATEST_PORT))
    from effcam.app.choices import import_libraries
    from effcam.app.layout import theme
    from effcam.app.markup import asset
    from effcam.app.page import Page

    store = Store(wanted.minutes)
    try:
        page = Page(wanted, store)
        _, url, _ = page.blocks.launch(
            server_name=host,
            server_port=free,
            prevent_thread_lock=True,
            inbrowser=False,
            inline=False,
            share=False,
            quiet=True,
            show_error=False,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            max_file_size=max(wanted.photo_bytes, wanted.checkpoint_bytes),
            theme=theme(),
            css=asset("style.css"),
        )
    except BaseException:
        store.close()
        raise
    # Else the first visitor who chooses a model waits for it.
    threading.Thread(target=import_libraries, name="effcam-app-imports", daemon=True).start()
    if browser:
        _open(url)
    return LivePage(url, free, page, store)


def find_port(host: str, wanted: int) -> int:
    """Return a port, or the next one that is free.

    Raises:
        ArgumentError: If none is free, or there is no such host.
    """
    last = min(wanted + TRIED, GREATEST_PORT)
    for port in range(wanted, last + 1):
        try:
            with socket.create_server((host, port)):
                return port
        except OSError as error:
            reason = error
            if isinstance(error, socket.gaierror):
                break
    raise ArgumentError(
        f"the page cannot listen on {host!r}, on no port from {wanted} to {last}: {reason}"
    )


def _open(url: str) -> None:
    """Open the page, but not in a browser of text, which would take over the terminal."""
    try:
        found = webbrowser.get()
    except webbrowser.Error:  # there is none
        return
    if type(found) is not webbrowser.GenericBrowser:
        found.open(url)


def _check_allowed(limits: Limits) -> None:
    """Check that each model that is allowed exists.

    Raises:
        UnknownModelError: If one does not.
    """
    from effcam.models.sources import resolve

    for name in limits.allowed or ():
        resolve(name)
