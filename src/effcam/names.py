"""Find an image, a column or the like by position or by name, and suggest names that are close."""

from __future__ import annotations

import difflib
import operator
import os
from collections.abc import Callable, Sequence
from os import PathLike

from effcam.errors import ArgumentError, CellError

MOST_LISTED = 5
"""How many names a message lists if none is close."""
LONGEST_SUFFIX = 5
"""The most characters of a file's suffix."""
SHORTEST_PART = 3
"""The least characters of a name that is looked for within a wrong one."""


def find_name(
    kind: str,
    key: object,
    names: Sequence[str],
    *,
    others: Sequence[str] = (),
    aliases: Sequence[str] = (),
) -> int:
    """Return the position of an image, a column or the like, given by position or by name.

    Args:
        kind: What is looked for, in the singular, for messages.
        key: A position from 0, or from the end if negative; or a name.
        names: All names.
        others: The names of another kind, by which the key may have been meant.
        aliases: None, or another name of each, for suggestions only.

    Raises:
        CellError: If there is no such position or name.
        ArgumentError: If the key is neither.
    """
    if isinstance(key, str | PathLike):
        name = os.fsdecode(key)
        if name in names:
            return names.index(name)
        raise CellError(f"no {kind} is called {name!r}.{_hint(name, names, others, aliases)}")
    try:
        position = operator.index(key)  # type: ignore[arg-type]
    except TypeError as error:
        raise ArgumentError(f"{kind} must be a position or a name, not {key!r}") from error
    if not -len(names) <= position < len(names):
        raise CellError(f"{kind} {position} is out of range: {numbered(kind, len(names))}")
    return position % len(names)


def numbered(kind: str, number: int) -> str:
    """Return a sentence on how many things there are, and at which positions."""
    if number == 0:
        return f"there are no {kind}s"
    if number == 1:
        return f"there is 1 {kind}, at position 0"
    return f"there are {number} {kind}s, at positions 0 to {number - 1}"


def _hint(key: str, names: Sequence[str], others: Sequence[str], aliases: Sequence[str]) -> str:
    if key in others:
        return f" {key!r} is in the wrong place: the image comes first, then the column."
    near = near_names(key, names)
    near = near or [names[aliases.index(alias)] for alias in near_names(key, aliases)]
    if near:
        return suggestion(near)
    first = ", ".join(map(repr, names[:MOST_LISTED]))
    more = f" and {len(names) - MOST_LISTED:,} more" if len(names) > MOST_LISTED else ""
    return f" There {'is' if len(names) == 1 else 'are'} {first}{more}." if names else ""


def suggestion(near: Sequence[str]) -> str:
    """Return a question that suggests names, after a space; empty if there are none."""
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def near_names(key: str, names: Sequence[str], *, most: int = 3) -> list[str]:
    """Return the names that a wrong name of a file or a model probably means, best first.

    A file's name is also found without its suffix, with another suffix, or with other folders in
    front; a model's by a part of it, or with more before or after it.

    >>> names = ["bear/dog.jpg", "bear/cat.jpg", "resnet50"]
    >>> near_names("dog", names), near_names("/home/me/bear/cat.png", names)
    (['bear/dog.jpg'], ['bear/cat.jpg'])
    >>> near_names("resnet", names), near_names("timm:resnet50.a1_in1k", names)
    (['resnet50'], ['resnet50'])
    """
    sought, sought_file = key.casefold(), _file(key)
    if not sought:
        return []
    ranks: tuple[Callable[[str], bool], ...] = (
        lambda name: name.casefold() == sought,
        lambda name: _ends_alike(name, key),
        lambda name: _file(name)[0] == sought_file[0],
        lambda name: _file(name)[1] == sought_file[1],
        lambda name: sought in name.casefold() or _holds(sought, name.casefold()),
    )
    for is_near in ranks:
        found = [name for name in names if name and is_near(name)]
        if found:
            return found[:most]
    by_file: dict[str, str] = {}
    for name in reversed(names):
        by_file |= dict.fromkeys((name.casefold(), *_file(name)), name)
    close = difflib.get_close_matches(sought, by_file, n=3 * most, cutoff=0.7)
    close += difflib.get_close_matches(sought_file[1], by_file, n=3 * most, cutoff=0.7)
    return list(dict.fromkeys(by_file[each] for each in close))[:most]


def _file(name: str) -> tuple[str, str]:
    """Return a file's name without folders, and without its suffix too, both in one case."""
    last = name.replace("\\", "/").rpartition("/")[2].casefold()
    stem, dot, suffix = last.rpartition(".")
    return last, stem if dot and stem and len(suffix) <= LONGEST_SUFFIX else last


def _holds(text: str, name: str) -> bool:
    """Return whether a text has a name in it that is long enough not to be there by chance."""
    return len(name) >= SHORTEST_PART and name in text


def _ends_alike(one: str, other: str) -> bool:
    """Return whether one of two paths is the other with more folders in front."""
    first, second = (each.replace("\\", "/").casefold() for each in (one, other))
    return first.endswith(f"/{second}") or second.endswith(f"/{first}")
