"""Progress bars, where somebody watches."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from tqdm import tqdm

Bar: TypeAlias = "tqdm[Any]"


def progress_bar(total: int, asked: bool | None = None) -> Bar:
    """Returns a bar that counts images, which shows nothing where it is not wanted.

    Args:
        total: How many images there are.
        asked: Whether to show it; ``None`` shows it on a terminal and in a notebook.
    """
    shown = is_watched() if asked is None else asked
    return _tqdm()(total=total, unit="image", disable=not shown, leave=False)


def say(text: str) -> None:
    """Writes a line to standard error, above the bars that are there."""
    _tqdm().write(text, file=sys.stderr)


def _tqdm() -> type[Bar]:
    with warnings.catch_warnings():
        # Where a notebook has no widgets the bar is text: no more need be said.
        warnings.filterwarnings("ignore", "IProgress not found")
        from tqdm.auto import tqdm
    return tqdm


def is_watched() -> bool:
    """Returns whether standard error is a terminal, or this is a notebook's kernel."""
    return sys.stderr.isatty() or _in_kernel()


def _in_kernel() -> bool:
    # A notebook has imported IPython long before; nothing else pays for asking.
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None
