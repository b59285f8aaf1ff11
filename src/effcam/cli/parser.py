"""The argument parser: errors in one line with suggestions, and the layout of help."""

from __future__ import annotations

import argparse
import mimetypes
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from effcam.cli.console import print_error
from effcam.errors import did_you_mean

MISUSED = 2
"""The exit code of a usage error."""
WIDEST = 100
PATH = "PATH"
"""The name of the argument for images in the help of a command."""


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line and suggests close names.

    Options cannot be abbreviated: a script with ``--col`` would break with the next option that
    begins with it.
    """

    def __init__(self, **options: Any) -> None:
        settings: dict[str, Any] = {"formatter_class": HelpFormatter, "allow_abbrev": False}
        super().__init__(**settings | options)
        for name in (None, "store"):
            self.register("action", name, StoreOnce)

    def parse_known_args(  # type: ignore[override]  # typed as several overloads there
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse the arguments, and refuse unknown ones.

        The parent parser would refuse them too, but could not suggest this command's options.
        """
        self._check_dashes(sys.argv[1:] if args is None else args)
        found, left = super().parse_known_args(args, namespace)
        if left:
            options = [each for action in self._actions for each in action.option_strings]
            hint = did_you_mean(left[0].partition("=")[0], options)
            self.error(f"unrecognized arguments: {' '.join(left)}.{hint}")
        return found, left

    def _check_dashes(self, args: Sequence[str]) -> None:
        """Refuse paths that begin with a dash, and options after ``--``, with a remedy.

        Otherwise the message would be that a path is missing, or an option unknown.
        """
        if not any(action.metavar == PATH for action in self._get_positional_actions()):
            return
        known = self._option_string_actions
        end = args.index("--") if "--" in args else len(args)
        for text in args[:end]:
            if text != "-" and text not in known and self._is_path(text):
                self.error(
                    f"{text!r} begins with a dash, so it is taken for an option: write './{text}', "
                    f"or '-- {text}' after all options"
                )
        for text in args[end + 1 :]:
            if text in known and not os.path.lexists(text):
                self.error(f"{text!r} comes after '--', which ends the options: write it before")

    def _is_path(self, text: str) -> bool:
        """Return whether what looks like an option is the path of a file or a folder."""
        if not text.startswith("-"):
            return False
        if os.path.lexists(text):
            return True
        # As "-oname.png", a known option may be followed by its value.
        option = self._option_string_actions.get(text[:2])
        if text.startswith("--") or (option is not None and option.nargs != 0):
            return False
        kind = mimetypes.guess_type(text)[0] or ""
        return kind.startswith(("image/", "video/"))

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


class StoreOnce(argparse.Action):
    """Stores the value of an option; refuses the option a second time.

    Otherwise the first value would be ignored without a word.
    """

    _namespace: object = None

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002  # argparse gives it
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Store the value.

        Raises:
            argparse.ArgumentError: If the option was given before.
        """
        if option_string is not None and self._namespace is namespace:
            before = getattr(namespace, self.dest)
            raise argparse.ArgumentError(
                self, f"given twice: {before} and {values}; it takes one value"
            )
        self._namespace = namespace
        setattr(namespace, self.dest, values)


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
