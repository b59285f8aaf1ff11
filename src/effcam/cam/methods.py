"""CAM methods: effcam's own by name, and functions of the user."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, TypeAlias, Union

from effcam.errors import ArgumentError, did_you_mean

if TYPE_CHECKING:
    from effcam.cam.formulas import Formula

METHODS = (
    *("gradcam", "gradcam++", "hirescam", "xgradcam", "layercam", "gradcamelementwise"),
    *("eigengradcam", "eigencam", "scorecam", "ablationcam"),
)
"""The names of all methods, those of one shared pass first.

They are here, not beside their formulas, so that the command line can list them without importing
torch.
"""

Method: TypeAlias = Union[str, "Formula"]
"""The name of one of effcam's methods, or a function with the signature of a formula."""


def check_methods(methods: Method | Sequence[Method]) -> tuple[Method, ...]:
    """Return one or several methods as a tuple of names and functions.

    Raises:
        ArgumentError: If there is none, two have one name, a name is not in `METHODS`, or a
            function has no name.
    """
    several: tuple[Method, ...]
    if isinstance(methods, str) or callable(methods):
        several = (methods,)
    elif isinstance(methods, Sequence):
        several = tuple(methods)
    else:
        raise ArgumentError(
            f"method must be a name, a function, or several of these, not {methods!r}"
        )
    for method in several:
        if callable(method):
            check_own(method, METHODS)
        elif method not in METHODS:
            hint = did_you_mean(str(method), METHODS)
            raise ArgumentError(
                f"no method is called {method!r}.{hint} The methods are {', '.join(METHODS)}."
            )
    names = [name_of(method) for method in several]
    if not names:
        raise ArgumentError(f"method must be one or several, not {methods!r}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ArgumentError(
            f"two methods are called {twice!r}: in columns and records their names must differ"
        )
    return several


def name_of(method: Method) -> str:
    """Return a method's name in columns and records."""
    return method if isinstance(method, str) else str(getattr(method, "__name__", ""))


def check_own(method: Formula, taken: Container[str]) -> None:
    """Check the name of a user's function.

    Args:
        method: The function.
        taken: The names of effcam's own methods.

    Raises:
        ArgumentError: If it has no name, or one that is taken.
    """
    name = name_of(method)
    if name in ("", "<lambda>"):
        kind = "lambda" if name else type(method).__name__
        raise ArgumentError(
            f"a {kind} has no name, which columns and records need: define the method with def"
        )
    if name in taken:
        raise ArgumentError(
            f"a function called {name!r} has the name of one of effcam's own methods: rename it"
        )
