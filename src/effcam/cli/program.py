"""The command line: its commands, the main help page, and exit codes.

The command that needs a heavy module imports it, so that ``effcam --help`` is instant.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from effcam import __version__
from effcam.cli.compare import add_compare
from effcam.cli.completion import add_completion, print_script
from effcam.cli.console import discard_output, flush, note, own_warnings, print_error
from effcam.cli.dataset import add_dataset
from effcam.cli.demo import add_demo
from effcam.cli.info import add_info
from effcam.cli.models import add_models
from effcam.cli.parser import MISUSED, Parser
from effcam.errors import ArgumentError, EffcamError

FAILED, INTERRUPTED = 1, 130
DESCRIPTION = """\
Compare image classifiers side by side: where each looks in an image, and how far they differ.
Give effcam images and the names of models; it writes pictures, tables and a summary.
"""
EPILOG = """\
Run 'effcam COMMAND --help' for the options of a command.

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
  0    success
  1    failure: an image, a model, weights or a file is missing, broken or cannot be written
  2    usage error: the command line is not valid
  130  interrupted with Ctrl-C

environment:
  NO_COLOR        any value: print no colours, as with TERM=dumb; pipes never get colours
  TORCH_HOME      where to store weights of torchvision; default ~/.cache/torch
  HF_HOME         where to store weights of timm; default ~/.cache/huggingface
  HF_HUB_OFFLINE  1: never connect to the Hugging Face hub
  HF_TOKEN        access token for private repositories of the hub

documentation: docs/ in effcam's repository; for this command, docs/howto/command_line.md
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code: 0, 1 failure, 2 usage error, 130 interrupted."""
    try:
        _run(argv)
        # Flush here: at exit nothing would catch the error.
        flush()
    except EffcamError as error:
        print_error(str(error))
        return MISUSED if isinstance(error, ArgumentError) else FAILED
    except MemoryError:
        print_error("out of memory: try a smaller --size or --batch-size")
        return FAILED
    except KeyboardInterrupt as interrupt:
        note(str(interrupt) or "interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the pipe has gone: discard the rest of the output.
        discard_output()
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
    given = vars(options)
    with own_warnings(quiet=given.get("quiet", False), others=given.get("verbose", False)):
        run(options)


def _complete(options: argparse.Namespace) -> None:
    print_script(make_parser(), options.shell)
