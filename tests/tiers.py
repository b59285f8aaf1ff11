"""Parameters of tests in the default tier, where most run in the full tier only."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def core(values: Iterable[Any], chosen: Collection[Any] = (), *, every: int = 0) -> list[Any]:
    """Return the values as parameters, of which some are marked ``core``.

    Args:
        values: The parameters; a tuple is several arguments.
        chosen: Those to mark.
        every: Instead of these, mark each n-th, from the first one.
    """
    return [
        pytest.param(
            *(value if isinstance(value, tuple) else (value,)),
            marks=[pytest.mark.core] * (at % every == 0 if every else value in chosen),
        )
        for at, value in enumerate(values)
    ]
