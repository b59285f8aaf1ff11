"""The names of classes, in whichever form others keep them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def read_labels(names: object) -> tuple[str, ...] | None:
    """Returns class names in the order of their indices, ``None`` for what are none.

    Args:
        names: A sequence of names; or a mapping from index to name, or from name to index.
    """
    listed = _in_order(names) if isinstance(names, Mapping) else names
    if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
        return None
    if not all(isinstance(name, str) for name in listed):
        return None
    labels = tuple(str(name) for name in listed)
    # What Hugging Face puts where nobody named the classes.
    unnamed = tuple(f"LABEL_{index}" for index in range(len(labels)))
    return None if labels == unnamed else labels


def _in_order(names: Mapping[Any, Any]) -> list[object]:
    """Returns the names by index, none where the indices are not 0, 1, 2 and so on."""
    pairs = list(names.items())
    if all(isinstance(value, int) and not isinstance(value, bool) for _, value in pairs):
        pairs = [(value, key) for key, value in pairs]
    try:
        named = {int(index): name for index, name in pairs}
    except (TypeError, ValueError):
        return []
    if sorted(named) != list(range(len(pairs))):
        return []
    # Classes may be called by numbers, as digits are.
    ordered = (named[index] for index in range(len(pairs)))
    return [str(name) if isinstance(name, int) else name for name in ordered]
