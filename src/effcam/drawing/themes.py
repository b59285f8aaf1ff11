"""The colours of a page and of the text on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

RGB: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of a page and of the text on it."""

    page: RGB
    text: RGB
    muted: RGB


THEMES = {
    "light": Theme(page=(255, 255, 255), text=(20, 20, 20), muted=(92, 92, 92)),
    "dark": Theme(page=(14, 14, 16), text=(255, 255, 255), muted=(178, 178, 182)),
}
