"""The argument parser: errors in one line with suggestions, and the layout of help."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from effcam.cli.console import print_error
from effcam.errors import did_you_mean

MISUSED = 2
"""The exit code of a usage error."""
WIDEST = 100


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line and suggests close names.

    Options cannot be abbreviated: a script with ``--col`` would break with the next option that
    begins with it.
    """

    def __init__(self, **options: Any) -> None:
        settings: dict[str, Any] = {"formatter_class": HelpFormatter, "allow_abbrev": False}
        super().__init__(**settings | options)

    def parse_known_args(  # type: ignore[override]  # typed as several overloads there
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse the arguments, and refuse unknown ones.

        The parent parser would refuse them too, but could not suggest this command's options.
        """
        found, left = super().parse_known_args(args, namespace)
        if left:
            options = [each for action in self._actions for each in action.option_strings]
            hint = did_you_mean(left[0].partition("=")[0], options)
            self.error(f"unrecognized arguments: {' '.join(left)}.{hint}")
        return found, left

    def error(self, message: str) -> NoReturn:
        """Print an error as one line and exit.

        Raises:
            SystemExit: Always, with the exit code `MISUSED`.
        """
        stop = "" if message.endswith((".", "?")) else "."
        print_error(f"{message}{stop} See: {self.prog} --help")
        sys.exit(MISUSED)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [str(each) for each in action.choices]
        raise argparse.ArgumentError(
            action,
            f"invalid choice: {value!r}.{did_you_mean(str(value), known)} "
            f"Choose from {', '.join(known)}.",
        )


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Formats help with the line breaks of its texts, at most `WIDEST` characters wide."""

    def __init__(self, prog: str, **options: Any) -> None:
        width = min(shutil.get_terminal_size().columns - 2, WIDEST)
        super().__init__(prog, **{"max_help_position": 28, "width": width} | options)

    def add_argument(self, action: argparse.Action) -> None:
        """Add an argument, and widen the first column for indented command names."""
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):
            longest = 4 + max(map(len, action.choices))
            self._action_max_length = max(self._action_max_length, longest)
