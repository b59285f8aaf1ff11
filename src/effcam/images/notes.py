"""Notes on how images were read, and the warnings that they become; silence for Pillow's own."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from PIL import Image

from effcam.errors import ImageWarning


class Note(NamedTuple):
    """What a user should know about how an image was read.

    Attributes:
        kind: What notes on several images have in common, so that they become one warning.
        text: A clause about the image.
        category: The category of the warning.
    """

    kind: str
    text: str
    category: type[Warning] = ImageWarning


def warn(note: Note, names: Sequence[str], *, stacklevel: int = 2) -> None:
    """Raise a warning with a note on one or several images; the note is on the first of them."""
    others = len(names) - 1
    more = f" (and {others} other image{'s' * (others > 1)} likewise)" if others else ""
    warnings.warn(
        f"image {names[0]!r}: {note.text}{more}", note.category, stacklevel=stacklevel + 1
    )


# What Pillow remarks on metadata does not matter if the picture can be read, and Python would print
# each new text. Filters are for all threads, and so are these.
_REMARKS = ("ignore", None, UserWarning, re.compile(r"PIL\."), 0)
_SIZES = ("ignore", None, Image.DecompressionBombWarning, re.compile(r"PIL\."), 0)
_silent: list[object] = []
_lock = threading.Lock()


@contextmanager
def pillow_silenced(*, sizes: bool = False) -> Iterator[None]:
    """Silence Pillow's warnings on metadata, in all threads.

    Args:
        sizes: Whether to silence its warning on large images too, unless that warning is an error.
    """
    silenced: list[object] = [_REMARKS]
    if sizes and not _is_error(Image.DecompressionBombWarning):
        silenced.append(_SIZES)
    with _lock:
        for each in silenced:
            # Inserted directly: `warnings.filterwarnings` would make Python forget all warnings
            # that it has printed, and print them again.
            if each not in _silent:
                warnings.filters.insert(0, each)  # type: ignore[attr-defined]
            _silent.append(each)
        inserted_into = warnings.filters
    try:
        yield
    finally:
        with _lock:
            for each in silenced:
                _silent.remove(each)
                if each not in _silent:
                    # `warnings.catch_warnings` in another thread may have replaced the list.
                    for filters in (warnings.filters, inserted_into):
                        if each in filters:
                            filters.remove(each)  # type: ignore[attr-defined]


def _is_error(category: type[Warning]) -> bool:
    """Return whether Pillow's warning of a category raises."""
    for action, message, filtered, module, line in tuple(warnings.filters):
        if (
            (action, message, filtered, module, line) != _SIZES
            and message is None
            and issubclass(category, filtered)
            and (module is None or re.match(module, "PIL.Image"))
            and line == 0
        ):
            return action == "error"
    return False
