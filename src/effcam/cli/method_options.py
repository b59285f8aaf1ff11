"""Options on methods and what they explain, and the list of methods."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from effcam.cam.methods.options import RESOLUTION, Fuse
from effcam.cam.methods.table import METHODS, facts_of_method, methods
from effcam.cli.console import echo, echo_table

HELP = "help"
"""What ``--method`` takes to print the list of methods."""


class _Names:
    """The names of methods, looked up when needed; others that ``--method`` takes are in it too."""

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        return name == HELP or ":" in name or facts_of_method(name) is not None

    def __iter__(self) -> Iterator[str]:
        return (each.name for each in methods())


class _Method(argparse.Action):
    """Add a method, or print the list of methods and exit."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        _option: str | None = None,
    ) -> None:
        if values == HELP:
            print_methods()
            parser.exit()
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), values])


def print_methods() -> None:
    """Print what is known of all methods."""
    echo_table(methods().table(), right=[1, 2])
    echo(
        "\nTimes are multiples of one forward pass of the model, measured on a CPU in batches of 8 "
        "images; a blank was not measured."
    )


def add_method_options(parser: argparse.ArgumentParser) -> None:
    """Add the options on methods."""
    group = parser.add_argument_group("method")
    group.add_argument(
        "--method",
        action=_Method,
        default=[],
        dest="methods",
        choices=_Names(),
        metavar="METHOD",
        help=f"{METHODS[0]} (default), another of effcam's or grad-cam's methods, which "
        "'--method help' lists, or package.module:function, a function of yours; repeatable",
    )
    group.add_argument(
        "--resolution",
        type=int,
        default=RESOLUTION,
        metavar="N",
        help=f"rows and columns of maps of the input's pixels; default {RESOLUTION}",
    )
    group.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help="how many changed copies of an image a method uses that makes some, such as the masks "
        "of rise; default: each method's own number",
    )
    group.add_argument(
        "--channels",
        type=int,
        metavar="N",
        help="how many channels scorecam and ablationcam use, those of the highest activations; "
        "default: all",
    )
    group.add_argument(
        "--fuse",
        choices=get_args(Fuse),
        default="sum",
        help="how the maps of several target layers become one: their sum (default), their "
        "product, or a mean weighted by the layers' importance",
    )
    group.add_argument(
        "--aug-smooth",
        action="store_true",
        help="average the maps of six copies of an image, mirrored and dimmed",
    )
    group.add_argument(
        "--eigen-smooth",
        action="store_true",
        help="show the first principal component over channels in place of their sum",
    )
