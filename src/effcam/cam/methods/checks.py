"""Check the methods and options that a caller gave."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

from effcam.cam.methods.options import FUSE, RESOLUTION, MethodOptions
from effcam.cam.methods.table import Method, facts_of_method, methods, name_of
from effcam.errors import ArgumentError, did_you_mean, suggest

if TYPE_CHECKING:
    from effcam.cam.methods.formulas import Formula

SHORT = {
    "ig": "integratedgradients",
    "gxi": "inputxgradient",
    "gradxinput": "inputxgradient",
    "attentionrollout": "rollout",
    "gbp": "guidedbackprop",
    "guidedbackpropagation": "guidedbackprop",
}
"""Other usual names of methods, to be suggested: they are not taken, since columns show names."""


def check_methods(given: Method | Sequence[Method]) -> tuple[Method, ...]:
    """Return one or several methods as a tuple of names and functions.

    Raises:
        ArgumentError: If there is none, two have one name, no method has a name, or a function has
            none.
    """
    several: tuple[Method, ...]
    if isinstance(given, str) or callable(given):
        several = (given,)
    elif isinstance(given, Sequence):
        several = tuple(given)
    else:
        raise ArgumentError(
            f"method must be a name, a function, or several of these, not {given!r}"
        )
    for method in several:
        if callable(method):
            check_own(method, [each.name for each in methods()])
        elif not isinstance(method, str) or facts_of_method(method) is None:
            known = [each.name for each in methods()]
            hint = _suggest(str(method), known)
            raise ArgumentError(
                f"no method is called {method!r}.{hint} The methods are {', '.join(known)}; "
                "effcam.methods() says what is known of each."
            )
    names = [name_of(method) for method in several]
    if not names:
        raise ArgumentError(f"method must be one or several, not {given!r}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ArgumentError(
            f"two methods are called {twice!r}: in columns and records their names must differ"
        )
    return several


def _suggest(name: str, known: Sequence[str]) -> str:
    """Return a question that names the method that was meant, if one is like it."""
    plain = re.sub(r"[\s_-]", "", name).lower()
    plain = SHORT.get(plain, re.sub("(plusplus|pp)$", "++", plain))
    return suggest([plain]) if plain in known else did_you_mean(name, known)


def check_options(options: MethodOptions, given: Sequence[Method]) -> None:
    """Check that each option that was given changes what one of the methods does.

    Raises:
        ArgumentError: If one does not, or a method has no channels for ``eigen_smooth``.
    """
    known = {name_of(each): facts_of_method(name_of(each)) for each in given}
    found = [each for each in known.values() if each is not None]
    names = ", ".join(known)
    if options.resolution != RESOLUTION and all(each.source != "pixels" for each in found):
        raise ArgumentError(f"resolution is for maps of the input's pixels, not for {names}")
    if options.samples is not None and not any(each.samples for each in found):
        raise ArgumentError(f"samples is for methods that make copies of an image, not for {names}")
    if options.channels is not None and not any(each.by_channel for each in found):
        raise ArgumentError(f"channels is for methods of a pass for each channel, not for {names}")
    fused = any(e is None or (e.fuses and e.source == "layer") for e in known.values())
    if options.fuse != FUSE and known and not fused:
        raise ArgumentError(f"fuse is for methods of a map for each layer, not for {names}")
    if options.eigen_smooth:
        bad = next((name for name, each in known.items() if each is None or not each.adds), None)
        if bad is not None:
            raise ArgumentError(f"eigen_smooth is for sums over channels, and {bad} is none")


def check_own(method: Formula, taken: Container[str]) -> None:
    """Check the name of a user's function.

    Args:
        method: The function.
        taken: The names of all methods.

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
        raise ArgumentError(f"a function called {name!r} has the name of a method: rename it")
