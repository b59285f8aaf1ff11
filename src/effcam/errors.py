"""The exceptions of effcam, as one tree.

Every error that effcam raises on purpose is an `EffcamError`, and also the builtin exception
that it refines, so that both ``except effcam.EffcamError`` and ``except ValueError`` work::

    EffcamError
    ├── ArgumentError        (ValueError)    an argument has an impossible value
    ├── ImageError           (ValueError)    an image is missing, broken or ambiguous
    ├── UnknownModelError    (KeyError)      no model has this name
    ├── DuplicateModelError  (ValueError)    a model with this name is registered already
    ├── ModelError           (RuntimeError)  a model cannot be built or run
    ├── WeightsError         (OSError)       weights cannot be found, downloaded, read or loaded
    ├── LayerError           (ValueError)    a target layer is missing or has no map
    ├── TargetError          (ValueError)    a class is unknown, ambiguous or out of range
    ├── AnnotationError      (ValueError)    boxes, masks or labels are broken, or do not fit
    ├── CellError            (LookupError)   a comparison has no such image or column
    └── OutputError          (OSError)       a result cannot be written

Its warnings are an `EffcamWarning`; an `ImageWarning` is about an image that was read, but perhaps
not as it was meant.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Iterable, Sequence
from itertools import islice


class EffcamError(Exception):
    """The root of all errors that effcam raises on purpose."""

    def __str__(self) -> str:
        # KeyError would show the repr of its message, OSError may show an errno.
        return str(self.args[0]) if self.args else ""


class ArgumentError(EffcamError, ValueError):
    """An argument has an impossible value."""


class ImageError(EffcamError, ValueError):
    """An image is missing, broken, or ambiguous."""


class UnknownModelError(EffcamError, KeyError):
    """No model has this name."""


class DuplicateModelError(EffcamError, ValueError):
    """A model with this name is registered already."""


class ModelError(EffcamError, RuntimeError):
    """A model cannot be built, or its output is not that of a classifier."""


class WeightsError(EffcamError, OSError):
    """Weights cannot be found, downloaded, read, or loaded into their model."""


class LayerError(EffcamError, ValueError):
    """A target layer does not exist, or its output is not a map of the image."""


class TargetError(EffcamError, ValueError):
    """A class to explain is unknown, ambiguous, or out of range."""


class AnnotationError(EffcamError, ValueError):
    """Boxes, masks or labels of images are missing or broken, or do not fit the images."""


class CellError(EffcamError, KeyError, IndexError):
    """A comparison has no such image or column. Both a KeyError and an IndexError."""


class OutputError(EffcamError, OSError):
    """A result cannot be written to its file, or in its format."""


class EffcamWarning(UserWarning):
    """Something a user should know, as a choice that effcam made or could not make."""


class ImageWarning(EffcamWarning):
    """An image may not have been read as it was meant."""


def did_you_mean(name: str, known: Iterable[str], *, most: int = 3) -> str:
    """Return ``" Did you mean 'resnet50'?"``, or an empty string if no name is like it.

    Names of a similar spelling are suggested, and without any of these names that contain all of
    the words.

    >>> did_you_mean("resnet5", ["resnet50", "vgg16"])
    " Did you mean 'resnet50'?"
    >>> did_you_mean("cat", ["polecat", "tiger cat"])
    " Did you mean 'tiger cat'?"
    """
    candidates = dict.fromkeys(known)
    inside = (each for each in candidates if contains_words(each, name))
    return suggest(close_names(name, candidates, most=most) or list(islice(inside, most)))


def close_names(
    name: str, known: Iterable[str], *, most: int = 3, cutoff: float = 0.7
) -> list[str]:
    """Return the names of the most similar spelling, ignoring case.

    Args:
        name: The name that is not known.
        known: The names that are.
        most: How many to return at most.
        cutoff: The least similarity, in [0, 1].
    """
    by_folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=most, cutoff=cutoff)
    return [by_folded[match] for match in close]


def suggest(names: Sequence[str]) -> str:
    """Return ``" Did you mean 'cat' or 'dog'?"``, or an empty string without names."""
    return f" Did you mean {' or '.join(map(repr, names))}?" if names else ""


def contains_words(text: str, words: str) -> bool:
    """Return whether a text contains all of some words, ignoring case and a plural's s.

    >>> contains_words("Egyptian cat", "cats"), contains_words("polecat", "cat")
    (True, False)
    """
    wanted = set(_words(words))
    return bool(wanted) and wanted <= set(_words(text))


def _words(text: str) -> list[str]:
    found = re.findall(r"[^\W_]+", text.casefold())
    return [word[:-1] if word.endswith("s") and len(word) > 3 else word for word in found]


def reason_of(error: BaseException) -> str:
    """Return an exception in words: its type, unless it is a plain RuntimeError, and its message.

    >>> reason_of(KeyError("stem")), reason_of(AssertionError()), reason_of(RuntimeError("full"))
    ("KeyError: 'stem'", 'AssertionError', 'full')
    """
    kind, text = type(error).__name__, str(error)
    if type(error) is RuntimeError and text:
        return text
    return f"{kind}: {text}" if text else kind


def check_choice(name: str, value: str, known: Sequence[str]) -> str:
    """Check that a value is one of those known, and return it.

    Raises:
        ArgumentError: If it is not.
    """
    if not (isinstance(value, str) and value in known):  # arrays are equal to nothing and to all
        raise ArgumentError(f"{name} must be {' or '.join(map(repr, known))}, not {value!r}")
    return value


def check_number(name: str, value: object, *, least: int = 1, most: int | None = None) -> int:
    """Return a whole number of any type, NumPy's too, as an int.

    Raises:
        ArgumentError: If it is not a whole number, or out of range.
    """
    number = _index(value)
    if number is None or number < least or (most is not None and number > most):
        limits = f"from {least}" if most is None else f"from {least} to {most}"
        raise ArgumentError(f"{name} must be a whole number {limits}, not {value!r}")
    return number


def check_flag(name: str, value: object) -> bool:
    """Return a truth value.

    Raises:
        ArgumentError: If it is none.
    """
    if value is not True and value is not False:
        raise ArgumentError(f"{name} must be True or False, not {value!r}")
    return value


def _index(value: object) -> int | None:
    """Return a whole number of any type as an int, ``None`` for anything else."""
    try:
        return None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None
