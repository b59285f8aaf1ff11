"""The options that several commands have, in groups, as ``--help`` shows them."""

from __future__ import annotations

import argparse

from effcam.cam.methods import METHODS
from effcam.models.registry import DEFAULT_MODELS


def add_comparison_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is compared, and how: images, models, method, computing."""
    _add_subjects(parser)
    _add_method(parser)
    _add_computing(parser)


def add_video_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which frames of videos and animated pictures are taken."""
    group = parser.add_argument_group("films", "videos, and animated pictures, frame by frame")
    pace = group.add_mutually_exclusive_group()
    pace.add_argument("--every", type=int, metavar="N", help="take each Nth frame; default: all")
    pace.add_argument("--fps", type=float, metavar="N", help="take N frames a second, as 2 or 0.5")


class _Methods(tuple[str, ...]):
    """The names that are offered; a function of one's own may be given beside them."""

    __slots__ = ()

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and ":" in name)


def add_output_options(group: argparse._ArgumentGroup) -> argparse._MutuallyExclusiveGroup:
    """Add the options that say what is printed, and returns the group of which one alone goes."""
    group.add_argument(
        "--json",
        action="store_true",
        help="print what was found as one JSON document on standard output, and nothing else there",
    )
    loudness = group.add_mutually_exclusive_group()
    loudness.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="print nothing but errors and what --json asks for",
    )
    return loudness


def _add_subjects(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("images and models")
    group.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="an image, a film, a folder, a glob, or - for a list of paths on standard input",
    )
    group.add_argument(
        "-m",
        "--model",
        action="append",
        default=[],
        dest="models",
        metavar="[LABEL=]NAME",
        help="a model by name (see 'effcam models'), or your own as package.module:function, which "
        f"returns it; repeatable; without any: {', '.join(DEFAULT_MODELS)}",
    )
    group.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="local weights for the model of that label or name; repeatable",
    )
    group.add_argument(
        "--weights",
        choices=("published", "none"),
        default="published",
        help="'none' compares untrained models, whose heat means nothing",
    )
    group.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME:KEY=VALUE",
        help="an argument for a model's constructor, as mine:num_classes=5; repeatable",
    )
    group.add_argument(
        "--preprocess",
        action="append",
        default=[],
        metavar="NAME:KEY=VALUE",
        help="a model's own size, resize, mode, interpolation, mean or std, as mine:mean=0.5; "
        "repeatable",
    )
    group.add_argument("--size", type=int, metavar="PX", help="one input size for all models")
    group.add_argument(
        "--view",
        choices=("model", "whole"),
        default="model",
        help="'model' (default) shows each model what its weights were made for, crop and all; "
        "'whole' squashes the whole image to the model's input",
    )


def _add_method(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("method")
    group.add_argument(
        "--method",
        action="append",
        default=[],
        dest="methods",
        choices=_Methods(METHODS),
        metavar="METHOD",
        help=f"{METHODS[0]} (default), {', '.join(METHODS[1:])}, or a function of your own as "
        "package.module:function; repeatable",
    )
    group.add_argument(
        "--target",
        metavar="CLASS",
        help="the class to explain: an index, a label or 'consensus'; default: each model's own "
        "top-1",
    )
    group.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="NAME=LAYER",
        help="the layer to look at in the model of that label or name (see 'effcam models NAME "
        "--layers'); repeatable",
    )


def _add_computing(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("computing")
    group.add_argument(
        "--device", help="where to run: cpu, cuda, cuda:1, mps; default: a GPU if any"
    )
    group.add_argument(
        "--batch-size",
        type=int,
        default=16,
        metavar="N",
        help="how many images run at once; default 16, and fewer where memory runs out",
    )
    group.add_argument(
        "--precision",
        choices=("fp32", "bf16", "fp16"),
        default="fp32",
        help="what networks compute in; the latter two are faster where the hardware has them",
    )
    group.add_argument(
        "--decoding",
        choices=("exact", "reduced"),
        default="exact",
        help="'reduced' decodes large JPEG files at a part of their size: faster, and off by less "
        "than 1/255 on average",
    )
