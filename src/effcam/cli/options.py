"""Options that several commands share, in groups."""

from __future__ import annotations

import argparse

from effcam.cli.method_options import add_method_options
from effcam.models.registry import DEFAULT_MODELS


def add_comparison_options(parser: argparse.ArgumentParser) -> None:
    """Add the options on images, models, methods and computing."""
    _add_subjects(parser)
    add_method_options(parser)
    _add_target(parser)
    _add_computing(parser)


def add_video_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose frames of videos and animated pictures."""
    group = parser.add_argument_group("videos", "choose frames of videos and animated pictures")
    pace = group.add_mutually_exclusive_group()
    pace.add_argument("--every", type=int, metavar="N", help="use every N-th frame; default: all")
    pace.add_argument(
        "--fps", type=float, metavar="N", help="use N frames per second, such as 2 or 0.5"
    )


def add_output_options(group: argparse._ArgumentGroup) -> argparse._MutuallyExclusiveGroup:
    """Add --json and --quiet, and return the group of options that exclude each other."""
    group.add_argument(
        "--json",
        action="store_true",
        help="print the results as one JSON document on standard output, and nothing else",
    )
    loudness = group.add_mutually_exclusive_group()
    loudness.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="print only errors, and the document of --json",
    )
    return loudness


def _add_subjects(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("images and models")
    group.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="an image, a video, a folder, a glob, or - for a list of paths on standard input",
    )
    group.add_argument(
        "-m",
        "--model",
        action="append",
        default=[],
        dest="models",
        metavar="[LABEL=]NAME",
        help="a model by name (see 'effcam models'), or package.module:function, a function of "
        f"yours that returns a model; repeatable; default: {', '.join(DEFAULT_MODELS)}",
    )
    group.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a file of weights for the model with this label or name; repeatable",
    )
    group.add_argument(
        "--checkpoints",
        action="append",
        default=[],
        metavar="[NAME=]FILES",
        help="the checkpoints of a training of the model with this label or name, or of the only "
        "model: a folder or a quoted glob such as 'runs/*.ckpt'; a column for each, in the order "
        "of their epochs; repeatable",
    )
    group.add_argument(
        "--names",
        action="append",
        default=[],
        dest="class_names",
        metavar="[NAME=]FILE",
        help="the names of the classes, in order, of the model with this label or name, or of all "
        "models: a text file with one name a line, JSON, YAML, or CSV with a header; repeatable",
    )
    group.add_argument(
        "--scores",
        action="append",
        default=[],
        metavar="[NAME=]LINK",
        help="the class scores of the model with this label or name, or of all models: 'sigmoid' "
        "for labels of which an image may have several, each with a probability of its own, or "
        "'softmax' for classes that exclude each other, or 'embedding' if it returns one; default: "
        "what each network shows; repeatable",
    )
    group.add_argument(
        "--weights",
        choices=("published", "none"),
        default="published",
        help="'none' compares untrained models, whose maps have no meaning",
    )
    group.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME:KEY=VALUE",
        help="an argument of a model's constructor, such as mine:num_classes=5; repeatable",
    )
    group.add_argument(
        "--preprocess",
        action="append",
        default=[],
        metavar="NAME:KEY=VALUE",
        help="the size, resize, mode, interpolation, mean or std of a model's preprocessing, such "
        "as mine:mean=0.5; repeatable",
    )
    group.add_argument(
        "--size",
        type=int,
        metavar="PX",
        help="the input size of all models; default: each model's own",
    )
    group.add_argument(
        "--view",
        choices=("model", "whole"),
        default="model",
        help="'model' (default) resizes and crops images as each model's weights expect; 'whole' "
        "squashes the whole image to the model's input",
    )


def _add_target(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("target")
    group.add_argument(
        "--target",
        action="append",
        default=[],
        dest="targets",
        metavar="TARGET",
        help="what to explain: a class, by index or label; 'top2', the second class of each image; "
        "'A - B', the evidence for A rather than B; 'A + B', for both; 'above 50 %%', all labels "
        "as probable as that, for models of several labels an image; or 'consensus'; default: "
        "the class that each model predicts; repeatable, with a column for each",
    )
    group.add_argument(
        "--similar",
        action="append",
        default=[],
        metavar="FILE",
        help="explain what makes each image like this one, for models without a classifier; "
        "repeatable, with a column for each",
    )
    group.add_argument(
        "--text",
        action="append",
        default=[],
        dest="texts",
        metavar="TEXT",
        help="explain what makes each image fit a text, for models with a text tower, as CLIP; "
        "repeatable, with a column for each",
    )
    group.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="NAME=LAYER",
        help="the target layer of the model with this label or name (see 'effcam models NAME "
        "--layers'); repeatable, also for several layers of one model",
    )


def _add_computing(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("computing")
    group.add_argument(
        "--device", help="where to run: cpu, cuda, cuda:1 or mps; default: a GPU if there is one"
    )
    group.add_argument(
        "--batch-size",
        type=int,
        default=16,
        metavar="N",
        help="images per batch; default 16; reduced automatically if memory runs out",
    )
    group.add_argument(
        "--precision",
        choices=("fp32", "bf16", "fp16", "auto"),
        default="fp32",
        help="number format of the networks; bf16 and fp16 are faster on suitable hardware; 'auto' "
        "(for 'effcam compare' only) is bf16 where the hardware has it and the first maps stay "
        "nearly the same",
    )
    group.add_argument(
        "--decoding",
        choices=("exact", "reduced"),
        default="exact",
        help="'reduced' decodes large JPEG files at a fraction of their size: faster, with a mean "
        "error below 1/255",
    )
    group.add_argument(
        "--placement",
        choices=("pitch", "even", "measured"),
        default="pitch",
        help="where the cells of maps lie: 'pitch' lays them one stride of the network apart; "
        "'even' divides the input evenly, as other tools do; 'measured' is 'pitch', moved by a "
        "measured offset",
    )
