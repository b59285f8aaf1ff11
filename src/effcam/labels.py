"""The names of classes, in whichever form others keep them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def read_labels(names: object) -> tuple[str, ...] | None:
    """Returns class names in the order of their indices, ``None`` for what are none.

    Args:
        names: A sequence of names; or a mapping from index to name, or from name to index.
    """
    if isinstance(names, Mapping) and names:
        pairs = [(key, value) for key, value in names.items()]
        if all(isinstance(value, int) and not isinstance(value, bool) for _, value in pairs):
            pairs = [(value, key) for key, value in pairs]
        try:
            ordered = {int(index): str(name) for index, name in pairs}
        except (TypeError, ValueError):
            return None
        if sorted(ordered) == list(range(len(pairs))):
            return tuple(ordered[index] for index in range(len(pairs)))
        return None
    if isinstance(names, Sequence) and not isinstance(names, str) and names:
        return tuple(names) if all(isinstance(name, str) for name in names) else None
    return None
