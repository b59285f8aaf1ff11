"""What is said during a training, in its log: errors of showing must not be errors of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

logger = logging.getLogger("effcam")


def let_be_seen() -> None:
    """Let messages of effcam be seen, unless the program has its own logging."""
    if not logger.hasHandlers():
        logger.addHandler(logging.StreamHandler())
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)


def warn_of_inputs(found: Sequence[str]) -> None:
    """Say how the inputs of the training differ from those that are shown.

    Args:
        found: The differences, in words.
    """
    logger.warning(
        "effcam shows the network with another transform than it is trained with: %s. Give "
        "preprocess= the transform of your validation images",
        "; ".join(found),
    )


def ordinal(number: int) -> str:
    """Return a number as an adjective, with a space; nothing for 1.

    >>> ordinal(1), ordinal(2), ordinal(11), ordinal(23)
    ('', '2nd ', '11th ', '23rd ')
    """
    if number == 1:
        return ""
    tens = 10 < number % 100 < 14
    return f"{number}{'th' if tens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')} "
