"""Names that a tracker accepts, unique, with notes on what was changed."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from effcam.errors import ArgumentError
from effcam.text import quote

PLAIN = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
"""Names that every tracker accepts."""


class Names(NamedTuple):
    """Names as a tracker has them, in order, and notes on those that were changed."""

    texts: tuple[str, ...]
    notes: tuple[str, ...]


def check_name(name: object) -> str:
    """Check the name under which a comparison is logged, and return it.

    Raises:
        ArgumentError: If a tracker would not accept it.
    """
    if not isinstance(name, str) or not PLAIN.fullmatch(name):
        raise ArgumentError(
            f"name must consist of the letters A to Z, digits, '_' and '-', in parts that '/' "
            f"divides, not {quote(name)}"
        )
    return name


def accepted(names: Sequence[str], refused: str, *, kind: str, tracker: str) -> Names:
    r"""Return names without the characters that a tracker refuses: ``_`` takes their place.

    Names that become equal get a number, also if they differ in case only: to W&B, and to some
    databases of MLflow, these are equal. Those that are accepted as they are stay so.

    Args:
        names: The names, each once.
        refused: A regular expression of what to replace.
        kind: What has these names, for the notes: ``"column"``.
        tracker: The tracker, for the notes.

    >>> accepted(["a b", "a_b", "c"], r"[^\w]", kind="column", tracker="W&B").texts
    ('a_b_2', 'a_b', 'c')
    """
    plain = [re.sub(refused, "_", name) or "_" for name in names]
    taken: set[str] = set()
    found = dict.fromkeys(names, "")
    # Those that stay as they are come first.
    for name, text in sorted(zip(names, plain, strict=True), key=lambda pair: pair[0] != pair[1]):
        found[name] = _free(text, taken)
        taken.add(found[name].casefold())
    return Names(tuple(found.values()), tuple(_note(found, kind, tracker)))


def _free(text: str, taken: Container[str]) -> str:
    """Return a text that is not taken, by a number at its end if need be."""
    free, number = text, 1
    while free.casefold() in taken:
        number += 1
        free = f"{text}_{number}"
    return free


def _note(found: Mapping[str, str], kind: str, tracker: str) -> list[str]:
    changed = [f"{quote(name)} is {text!r}" for name, text in found.items() if name != text]
    return [f"Names of {kind}s that {tracker} does not accept: {'; '.join(changed)}."] * bool(
        changed
    )
