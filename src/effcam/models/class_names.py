"""The names of classes, in the forms in which other tools store them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from effcam.errors import TargetError, did_you_mean


def read_labels(names: object) -> tuple[str, ...] | None:
    """Return class names in the order of their indices, ``None`` if these are none.

    Args:
        names: A sequence of names; or a mapping from index to name, or from name to index.
    """
    listed = _in_order(names) if isinstance(names, Mapping) else names
    if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
        return None
    if not all(isinstance(name, str) for name in listed):
        return None
    labels = tuple(str(name) for name in listed)
    # Hugging Face's names for classes without names.
    unnamed = tuple(f"LABEL_{index}" for index in range(len(labels)))
    return None if labels == unnamed else labels


def numbered(classes: int) -> tuple[str, ...]:
    """Return the labels of classes without names: "class 0", "class 1" and so on."""
    return tuple(f"class {index}" for index in range(classes))


def find_class(
    target: int | str, labels: Sequence[str], synonyms: Sequence[Sequence[str]], *, owner: str
) -> int:
    """Return the index of a class that is given by index or by any of its names.

    Args:
        target: An index from 0, or a name in any case.
        labels: The name to show for each class, by index.
        synonyms: All names of each class, by index.
        owner: The name of the model whose classes these are.

    Raises:
        TargetError: If there is no such class, or the name stands for several.
    """
    if isinstance(target, str):
        return _find_label(target, labels, synonyms, owner)
    if not 0 <= target < len(labels):
        raise TargetError(
            f"class {target} is out of range: {owner} has the {len(labels)} classes "
            f"0 to {len(labels) - 1}"
        )
    return int(target)


def _find_label(
    label: str, labels: Sequence[str], synonyms: Sequence[Sequence[str]], owner: str
) -> int:
    wanted = label.strip().casefold()
    shown = [index for index, name in enumerate(labels) if name.casefold() == wanted]
    found = shown or [
        index
        for index, names in enumerate(synonyms)
        if any(name.casefold() == wanted for name in names)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(f"{index} ({labels[index]})" for index in found)
        raise TargetError(
            f"label {label!r} stands for {len(found)} classes of {owner}: {several}; "
            "give one of these indices"
        )
    hint = did_you_mean(label.strip(), (name for names in synonyms for name in names))
    if not hint and tuple(labels) == numbered(len(labels)):
        hint = " Its classes have no names: give an index, or load it with labels=."
    raise TargetError(f"{owner} has no class called {label!r}.{hint}")


def _in_order(names: Mapping[Any, Any]) -> list[object]:
    """Return the names by index, empty if the indices are not 0, 1, 2 and so on."""
    pairs = list(names.items())
    if all(isinstance(value, int) and not isinstance(value, bool) for _, value in pairs):
        pairs = [(value, key) for key, value in pairs]
    try:
        named = {int(index): name for index, name in pairs}
    except (OverflowError, TypeError, ValueError):
        return []
    if sorted(named) != list(range(len(pairs))):
        return []
    # Names may be numbers, as for digits.
    ordered = (named[index] for index in range(len(pairs)))
    return [str(name) if isinstance(name, int) else name for name in ordered]
