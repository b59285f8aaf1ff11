"""The command line: its commands, what it says of itself, and its exit codes.

Heavy modules are imported by the command that needs them, so that ``effcam --help`` is instant.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from effcam import __version__
from effcam.cli.compare import add_compare
from effcam.cli.completion import add_completion, print_script
from effcam.cli.console import complain, flush, give_up_output, remark
from effcam.cli.dataset import add_dataset
from effcam.cli.demo import add_demo
from effcam.cli.info import add_info
from effcam.cli.models import add_models
from effcam.cli.parser import MISUSED, Parser
from effcam.errors import ArgumentError, EffcamError

FAILED, INTERRUPTED = 1, 130
DESCRIPTION = """\
Shows, side by side, what image classifiers look at, and measures how far they differ.
Give it some images and the names of some models; it writes pictures, tables and a scoreboard.
"""
EPILOG = """\
'effcam COMMAND --help' tells a command's options.

examples:
  effcam demo
  effcam compare photos/ -m resnet50 -m efficientnet_b0 -o compare.gif -o compare.png
  effcam compare cat.jpg dog.jpg --target tabby --method layercam
  effcam compare photos/ -m mine=resnet18 --checkpoint mine=best.pt --view whole
  effcam compare photos/ -m resnet50 -m vit_small_patch16_224 --summary --boxes boxes.json
  find photos -name '*.jpg' | effcam compare - -m resnet50 --json | jq '.cells[].label'
  effcam dataset imagenet/val -m resnet50 -m efficientnet_b0 -o run --summary
  effcam compare clip.mp4 --fps 2 -m resnet50 -o clip_cams.mp4 --draw-boxes
  effcam models 'efficientnet*'

exit codes:
  0    done
  1    failed: an image, a model, weights or a file is missing, broken or cannot be written
  2    misused: the command line cannot be meant so
  130  interrupted with Ctrl-C

environment:
  NO_COLOR        set to anything: no colours, as with TERM=dumb; piped, there never are any
  TORCH_HOME      where weights of torchvision are kept; default ~/.cache/torch
  HF_HOME         where weights of timm are kept; default ~/.cache/huggingface
  HF_HUB_OFFLINE  1: never ask the Hugging Face hub
  HF_TOKEN        opens private repositories of the hub

documentation: docs/ beside effcam's sources; docs/howto/command_line.md is on this command
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code of a command line: 0 done, 1 failed, 2 misused, 130 interrupted."""
    try:
        _run(argv)
        # Else what is still to be written would fail where nothing catches it.
        flush()
    except EffcamError as error:
        complain(str(error))
        return MISUSED if isinstance(error, ArgumentError) else FAILED
    except MemoryError:
        complain("out of memory: try a smaller --size or --batch-size")
        return FAILED
    except KeyboardInterrupt as interrupt:
        remark(str(interrupt) or "interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone; what is left of it has nowhere to go.
        give_up_output()
        return FAILED
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(prog="effcam", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"effcam {__version__}")
    commands = parser.add_subparsers(
        title="commands", required=True, metavar="COMMAND", dest="command"
    )
    for add in (add_compare, add_dataset, add_models, add_demo, add_info, add_completion):
        add(commands)
    commands.choices["completion"].set_defaults(run=_complete)
    return parser


def _run(argv: Sequence[str] | None) -> None:
    try:
        options = make_parser().parse_args(argv)
    except SystemExit:  # after --help and --version, too
        flush()
        raise
    run: Callable[[argparse.Namespace], None] = options.run
    run(options)


def _complete(options: argparse.Namespace) -> None:
    print_script(make_parser(), options.shell)
