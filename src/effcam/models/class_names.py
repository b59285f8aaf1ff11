"""The names of a model's classes: in the forms in which other tools store them, and looked up."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from effcam.errors import TargetError, close_names, contains_words, did_you_mean, suggest
from effcam.images.truth import NamedClass

NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
"""An index as text; longer digits are no index, and int() refuses thousands of them."""
MISSPELT = 0.85
"""The similarity from which a name is a spelling of another one, rather than of a longer name."""
MOST_SUGGESTED = 6
MOST_LISTED = 10
"""How many classes a message lists."""


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
    target: int | str | NamedClass,
    labels: Sequence[str],
    synonyms: Sequence[Sequence[str]],
    *,
    owner: str,
) -> int:
    """Return the index of a class that is given by index, by any of its names, or by both.

    A text is a name first. An exact spelling has priority over one in another case. A text of
    digits that is no class's name is an index, unless other classes are called by digits.

    Args:
        target: An index from 0, a name, or both.
        labels: The name to show for each class, by index.
        synonyms: All names of each class, by index.
        owner: The name of the model whose classes these are.

    Raises:
        TargetError: If there is no such class, the name stands for several, or index and name are
            of different classes.
    """
    if isinstance(target, NamedClass):
        return _find_both(target, labels, synonyms, owner)
    if isinstance(target, str):
        return _find_label(target.strip(), labels, synonyms, owner)
    if not 0 <= target < len(labels):
        raise TargetError(
            f"class {target} is out of range: {owner} has the {len(labels)} classes "
            f"0 to {len(labels) - 1}"
        )
    return int(target)


def _find_both(
    target: NamedClass, labels: Sequence[str], synonyms: Sequence[Sequence[str]], owner: str
) -> int:
    """Return the index of a class, whose name must not be that of another class."""
    if target.index is None:
        return _find_by_name(target.name, labels, synonyms, owner)
    named = _classes_called(target.name.strip(), labels, synonyms)
    index, name = target.index, target.name
    if not named or index in named:
        return find_class(index, labels, synonyms, owner=owner)
    other = f"{labels[index]!r}" if index < len(labels) else "out of range"
    if name == str(index):
        raise TargetError(
            f"label {name} has two meanings in {owner}: the class called {name!r} is "
            f"{_listed(named, labels)}, the class of index {name} is {other}; write the label as "
            f'text ("{name}") for the name, or as "class_index" for the index'
        )
    raise TargetError(
        f"class_index {index} and label {name!r} are different classes of {owner}: index {index} "
        f"is {other}, {name!r} is {_listed(named, labels)}; correct one, or leave it out"
    )


def _find_by_name(
    name: str, labels: Sequence[str], synonyms: Sequence[Sequence[str]], owner: str
) -> int:
    """Return the index of the only class with a name as datasets write them, or one of its parts.

    ImageNet's names are lists of synonyms, "tench, Tinca tinca"; names of folders have underscores.
    """
    for spelled in dict.fromkeys((name, name.replace("_", " "))):
        found = _classes_called(spelled.strip(), labels, synonyms)
        parts = [_classes_called(part.strip(), labels, synonyms) for part in spelled.split(",")]
        known = [set(each) for each in (found, *parts) if each]
        common = set.intersection(*known) if known else set()
        # Of "ruffed grouse, partridge", the second is the name of another class too.
        for only in (common, set(parts[0])):
            if len(only) == 1:
                return only.pop()
    raise TargetError(f"{owner} has no class, or several, called {name!r}")


def _find_label(
    label: str, labels: Sequence[str], synonyms: Sequence[Sequence[str]], owner: str
) -> int:
    found = _classes_called(label, labels, synonyms)
    if len(found) == 1:
        return found[0]
    if found:
        raise TargetError(
            f"label {label!r} stands for {len(found)} classes of {owner}: "
            f"{_listed(found, labels)}; give one of these indices"
        )
    if NUMBER.fullmatch(label):
        numbers = [name for name in labels if NUMBER.fullmatch(name.strip())]
        if not numbers:
            return find_class(int(label), labels, synonyms, owner=owner)
        raise TargetError(
            f"{owner} has no class called {label!r}. Its classes are called by numbers, such as "
            f"{numbers[0]!r}, so a number that is text is a name and no index."
        )
    raise TargetError(f"{owner} has no class called {label!r}.{_hint(label, labels, synonyms)}")


def _classes_called(
    name: str, labels: Sequence[str], synonyms: Sequence[Sequence[str]]
) -> list[int]:
    """Return the classes with a name: of the exact spelling, else in any case.

    A name that is shown is not one of another class, unless that class is shown with the same name
    and more words: of "crane" and "crane bird", both are a "crane".
    """
    for same in (_exact, _folded):
        wanted = same(name)
        shown = [index for index, label in enumerate(labels) if same(label) == wanted]
        others = [
            index
            for index, names in enumerate(synonyms)
            if index not in shown and _has(names, wanted, same)
        ]
        if shown:
            longer = f"{_folded(name)} "
            return sorted(shown + [at for at in others if _folded(labels[at]).startswith(longer)])
        if others:
            return others
    return []


def _has(names: Iterable[str], wanted: str, same: Callable[[str], str]) -> bool:
    return any(same(name) == wanted for name in names)


def _exact(name: str) -> str:
    # Folders of macOS have letters and their accents as separate characters.
    return name.strip() if name.isascii() else unicodedata.normalize("NFC", name.strip())


def _folded(name: str) -> str:
    return _exact(name).casefold()


def _last_word(name: str) -> str:
    return name.rsplit(maxsplit=1)[-1]


def _listed(classes: Sequence[int], labels: Sequence[str]) -> str:
    listed = ", ".join(f"{index} ({labels[index]})" for index in classes[:MOST_LISTED])
    return listed if len(classes) <= MOST_LISTED else f"{listed}, ..."


def _hint(label: str, labels: Sequence[str], synonyms: Sequence[Sequence[str]]) -> str:
    """Suggest the labels of classes whose names contain the words, and names of close spelling."""
    known = [name for names in synonyms for name in names]
    misspelt = close_names(label, known, cutoff=MISSPELT)
    if misspelt:
        return suggest(misspelt)
    inside: dict[str, bool] = {}
    for shown, names in zip(labels, synonyms, strict=True):
        matching = [name for name in (shown, *names) if contains_words(name, label)]
        if matching:
            # A "tiger cat" is a cat, a "cat bear" is none.
            ends = any(contains_words(_last_word(name), _last_word(label)) for name in matching)
            inside[shown] = inside.get(shown, False) or ends
    if inside:
        return suggest(sorted(inside, key=lambda shown: not inside[shown])[:MOST_SUGGESTED])
    hint = did_you_mean(label, known)
    if not hint and tuple(labels) == numbered(len(labels)):
        return " Its classes have no names: give an index, or load it with labels=."
    return hint


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
