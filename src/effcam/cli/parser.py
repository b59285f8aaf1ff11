"""What the command line makes of its arguments: mistakes in one line, with what was meant."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from effcam.cli.console import complain
from effcam.errors import did_you_mean

MISUSED = 2
"""The exit code of a command line that cannot be meant so."""
WIDEST = 100


class Parser(argparse.ArgumentParser):
    """A parser that answers mistakes with one line, and guesses what was meant.

    Options are written out: a script that says ``--col`` would break with the next option that
    begins so.
    """

    def __init__(self, **options: Any) -> None:
        settings: dict[str, Any] = {"formatter_class": Page, "allow_abbrev": False}
        super().__init__(**settings | options)

    def parse_known_args(  # type: ignore[override]  # typed as several overloads there
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Return what was parsed; nothing is left over, also not for the parser above.

        That one would complain too, but does not know this one's options.
        """
        found, left = super().parse_known_args(args, namespace)
        if left:
            options = [each for action in self._actions for each in action.option_strings]
            hint = did_you_mean(left[0].partition("=")[0], options)
            self.error(f"unrecognized arguments: {' '.join(left)}.{hint}")
        return found, left

    def error(self, message: str) -> NoReturn:
        """Print a mistake as one line, and ends the program.

        Raises:
            SystemExit: Always, with the exit code `MISUSED`.
        """
        stop = "" if message.endswith((".", "?")) else "."
        complain(f"{message}{stop} See: {self.prog} --help")
        sys.exit(MISUSED)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [str(each) for each in action.choices]
        raise argparse.ArgumentError(
            action,
            f"invalid choice: {value!r}.{did_you_mean(str(value), known)} "
            f"It is one of {', '.join(known)}.",
        )


class Page(argparse.RawDescriptionHelpFormatter):
    """Help that keeps the lines of its texts, in lines no longer than can be read well."""

    def __init__(self, prog: str, **options: Any) -> None:
        width = min(shutil.get_terminal_size().columns - 2, WIDEST)
        super().__init__(prog, **{"max_help_position": 28, "width": width} | options)

    def add_argument(self, action: argparse.Action) -> None:
        """Make room for an argument, and for commands as far in as they stand."""
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):
            longest = 4 + max(map(len, action.choices))
            self._action_max_length = max(self._action_max_length, longest)
