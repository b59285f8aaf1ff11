"""The command ``effcam app``: a page in the browser on which to compare images and models."""

from __future__ import annotations

import argparse
import ipaddress
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from effcam.cli.console import echo, flush, note
from effcam.cli.imports import importing

if TYPE_CHECKING:
    from effcam.app.limits import Limits

HOST, PORT = "127.0.0.1", 7860
DESCRIPTION = """\
Open a page in the browser: drop photos or take the demo scenes, choose models, and look. The page
runs on this machine until you press Ctrl-C, and uploads stay on it; they are deleted when the page
is closed. It needs Gradio: pip install 'effcam[app]'.
"""
EXAMPLES = """\
examples:
  effcam app
  effcam app --port 8000 --no-browser
  effcam app --host 0.0.0.0 --public --allow resnet50 --allow vit_small_patch16_224
"""
LIMITS = {
    "photos": "photos",
    "models": "most_models",
    "photo_megabytes": "photo_megabytes",
    "checkpoint_megabytes": "checkpoint_megabytes",
    "minutes": "minutes",
}
"""The option that changes each of the limits."""


def add_app(commands: Any) -> None:
    """Add the command to those of ``effcam``."""
    parser = commands.add_parser(
        "app",
        help="open a page in the browser: drop photos, choose models, look",
        description=DESCRIPTION,
        epilog=EXAMPLES,
    )
    parser.set_defaults(run=run_app)
    _add_server(parser.add_argument_group("server"))
    _add_limits(parser.add_argument_group("limits", "what the page accepts from a visitor"))


def _add_server(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--host",
        default=HOST,
        metavar="ADDRESS",
        help=f"the address to listen on; default {HOST}, which only this machine can reach",
    )
    group.add_argument(
        "--port",
        type=int,
        default=PORT,
        metavar="N",
        help=f"the port; default {PORT}; if it is taken, the next one that is free",
    )
    group.add_argument(
        "--no-browser",
        action="store_false",
        dest="browser",
        help="do not open the page in a browser",
    )


def _add_limits(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--public",
        action="store_true",
        help="limits for a page that is open to everyone: a short list of models, no checkpoints, "
        "fewer and smaller photos, fast methods, five minutes for a comparison",
    )
    group.add_argument(
        "--allow",
        action="append",
        default=[],
        dest="models_allowed",
        metavar="NAME",
        help="allow this model alone; several times for several; default: all, with --public a "
        "short list",
    )
    group.add_argument(
        "--photos", type=int, metavar="N", help="the most photos at once; default 24"
    )
    group.add_argument(
        "--models",
        type=int,
        dest="most_models",
        metavar="N",
        help="the most models at once; default 8",
    )
    group.add_argument(
        "--photo-megabytes", type=float, metavar="MB", help="the largest photo; default 20"
    )
    group.add_argument(
        "--checkpoint-megabytes",
        type=float,
        metavar="MB",
        help="the largest file of weights; 0 takes none; default 1000",
    )
    group.add_argument(
        "--minutes",
        type=float,
        metavar="N",
        help="how long files of a visitor are kept who does not close the page; default 60",
    )


def run_app(options: argparse.Namespace) -> None:
    """Serve the page until it is interrupted."""
    note("starting the page ...")
    with importing():
        from effcam.app.server import launch
    limits = _limits(options)
    with _ended_by_signal():
        page = launch(limits=limits, host=options.host, port=options.port, browser=options.browser)
        with page:
            if page.port != options.port:
                note(f"port {options.port} is taken, the page is on port {page.port}")
            if not _is_local(options.host):
                note(
                    "others can reach this page and run models on this machine"
                    + ("" if options.public else "; --public sets limits for strangers")
                )
            echo(f"{page.url}  (Ctrl-C ends it)")
            flush()
            page.wait()


def _limits(options: argparse.Namespace) -> Limits:
    from effcam.app.limits import PUBLIC, Limits

    given = {name: getattr(options, option) for name, option in LIMITS.items()}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if options.models_allowed:
        changes["allowed"] = tuple(dict.fromkeys(options.models_allowed))
    return replace(PUBLIC if options.public else Limits(), **changes)


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Let the signal that ends a service do what Ctrl-C does, so that no file is left."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt("the page is closed")

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
