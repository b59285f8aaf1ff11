"""Pieces of the live page as HTML; every text in them is escaped."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from effcam.app.limits import MEGABYTE, Limits
from effcam.app.worker import Ticket
from effcam.demo import scenes
from effcam.drawing.html_image import data_address
from effcam.text import count

THUMBNAIL = 112
"""The side of a scene in the empty page, in px."""
SHOWN_SCENES = 4


def asset(name: str) -> str:
    """Return a file of this package as text."""
    return files("effcam.app").joinpath(name).read_text(encoding="utf-8")


HEADER = """
<header class="eff-header">
  <h1>effcam</h1>
  <p>See what image classifiers look at, side by side.</p>
</header>
"""


def heading(number: int, text: str) -> str:
    """Return the heading of a step."""
    return f'<h2 class="eff-step"><span aria-hidden="true">{number}</span>{escape(text)}</h2>'


@cache
def empty() -> str:
    """Return what is shown before the first comparison."""
    pictures = "".join(
        f'<img src="{_thumbnail(scene.ref.open())}" width="{THUMBNAIL}" height="{THUMBNAIL}" '
        f'alt="A drawn scene: {escape(scene.label)}">'
        for scene in scenes(SHOWN_SCENES, 0)
    )
    return (
        '<section class="eff-empty" aria-label="Start">'
        f'<div class="eff-thumbs">{pictures}</div>'
        "<h2>Press Compare to see an example</h2>"
        "<p>Four drawn scenes and five small models are ready. Each column will show, as heat on "
        "the image, which part a model&#39;s prediction depends on.</p>"
        "<p>For your own photos, choose <b>Your photos</b>, drop them, and search for models such "
        "as <b>resnet50</b>.</p></section>"
    )


def progress(ticket: Ticket[Any], ahead: int) -> str:
    """Return how far a comparison is, or how many come before it."""
    if not ticket.started:
        start = f"after {count(ahead, 'comparison')} of other visitors" if ahead else "in a moment"
        return _box("eff-busy", "Waiting", f"Yours starts {start}.", _bar(0, 0))
    if not ticket.total:
        return _box("eff-busy", "Preparing", "Reading images and finding models.", _bar(0, 0))
    done = min(ticket.done, ticket.total)
    # A stage may be the name of a column, which stays as it is.
    stage = ticket.stage.replace("loading ", "Loading ", 1)
    return _box("eff-busy", stage, f"{done} of {ticket.total} maps done", _bar(done, ticket.total))


def finished(title: str, notes: Sequence[str]) -> str:
    """Return the line above a result, with its notes."""
    items = "".join(f"<li>{_text(note)}</li>" for note in notes)
    more = f'<ul class="eff-notes">{items}</ul>' if notes else ""
    return f'<div class="eff-done" role="status"><p>{_text(title)}</p>{more}</div>'


def problem(text: str) -> str:
    """Return an error."""
    return (
        '<div class="eff-box eff-problem" role="alert"><p class="eff-title">This did not work</p>'
        f"<p>{_text(text)}</p></div>"
    )


def cancelled() -> str:
    """Return what is shown after a comparison was cancelled."""
    return _box("eff-idle", "Cancelled", "Change something, or press Compare again.", "")


def note(text: str, *, bad: bool = False) -> str:
    """Return a note below a field; empty without a text."""
    if not text:
        return ""
    kind = ' class="eff-note eff-bad" role="alert"' if bad else ' class="eff-note" role="status"'
    return f"<p{kind}>{_text(text)}</p>"


def download_note(missing: Mapping[str, int | None]) -> str:
    """Return what Compare will download."""
    if not missing:
        return ""
    sizes = [
        f"{name} (about {size / MEGABYTE:.0f} MB)" if size else name
        for name, size in missing.items()
    ]
    return note(f"Compare will download the weights of {', '.join(sizes)}.")


def code(text: str) -> str:
    """Return Python code with a button that copies it."""
    return (
        '<div class="eff-code"><div><h2>The same in Python</h2>'
        '<button type="button" class="eff-copy">Copy</button></div>'
        f'<pre tabindex="0" aria-label="Python code">{_text(text)}</pre></div>'
    )


def footer(limits: Limits) -> str:
    """Return what happens to a visitor's files."""
    weights = (
        f", checkpoints up to {limits.checkpoint_megabytes:g} MB" if limits.checkpoint_bytes else ""
    )
    return (
        f'<p class="eff-footer">Photos up to {limits.photo_megabytes:g} MB{weights}. Files are '
        "deleted when you close this page, and at the latest "
        f"{limits.minutes:g} minutes after their last use. Heat shows what a score depends on, "
        "not that the model is right.</p>"
    )


def _box(kind: str, title: str, text: str, rest: str) -> str:
    return (
        f'<div class="eff-box {kind}" role="status"><p class="eff-title">{_text(title)}</p>'
        f"<p>{_text(text)}</p>{rest}</div>"
    )


def _bar(done: int, total: int) -> str:
    value = f' value="{done}" max="{total}"' if total else ""
    return f'<progress aria-label="Progress"{value}></progress>'


def _text(text: str) -> str:
    """Return a text as HTML, also without the marks of Gradio's templates: ``${`` and ``{{``."""
    return escape(text).replace("$", "&#36;").replace("{", "&#123;").replace("}", "&#125;")


def _thumbnail(image: Any) -> str:
    small = image.resize((2 * THUMBNAIL, 2 * THUMBNAIL))
    stream = io.BytesIO()
    small.save(stream, "PNG")
    return data_address(stream.getvalue(), "png")
