"""The command ``effcam completion``: a shell script that completes effcam's command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from effcam.cli.console import echo

SHELLS = ("bash", "zsh", "fish", "tcsh")
DESCRIPTION = """\
Print a script that lets a shell complete commands, options, files and model names with Tab.

  bash  effcam completion bash > ~/.local/share/bash-completion/completions/effcam
  zsh   effcam completion zsh > ~/.zfunc/_effcam     with ~/.zfunc in fpath, before compinit
  fish  effcam completion fish > ~/.config/fish/completions/effcam.fish
  tcsh  effcam completion tcsh > ~/.effcam.tcsh      and in ~/.tcshrc: source ~/.effcam.tcsh

For the current bash session only: eval "$(effcam completion bash)"
"""

# The `dest` of the arguments whose values are of a kind.
FILES = {"paths", "outputs", "labels", "boxes", "masks", "save_summary"}
NAMES = {"models", "models_allowed", "pattern"}
OWNED_FILES = {"checkpoint"}
PERHAPS_OWNED_FILES = {"class_names"}
FOLDERS = {"output"}

# Names are looked up when they are needed: there are a thousand, some of other packages.
BASH = r"""
_effcam_models() {
  compgen -W "$(effcam models --names "$1*" 2>/dev/null)" -- "$1"
}
"""
ZSH = r"""
_effcam_models() {
  local -a names
  [[ $PREFIX == *=* ]] && compset -P '*='
  names=(${(f)"$(effcam models --names "${PREFIX}*" 2>/dev/null)"})
  compadd -a names
}
_effcam_owned_files() {
  compset -P '*=' && _files
}
_effcam_perhaps_owned_files() {
  compset -P '*='
  _files
}
"""
MODELS = {
    "bash": "_effcam_models",
    "zsh": "_effcam_models",
    "fish": "(effcam models --names (commandline -ct)'*' 2>/dev/null)",
    "tcsh": "`effcam models --names`",
}
OWNED = {"zsh": "_effcam_owned_files"}
PERHAPS_OWNED = {"zsh": "_effcam_perhaps_owned_files"}


def add_completion(commands: Any) -> None:
    """Add the command to those of ``effcam``."""
    parser = commands.add_parser(
        "completion",
        help="print a shell script for completion with Tab",
        description=DESCRIPTION,
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return a shell's script for all commands of a parser.

    Args:
        parser: The parser; it is changed for this, so do not use it afterwards.
        shell: One of `SHELLS`.
    """
    import shtab

    for action in _actions(parser):
        _mark(action, shtab.FILE, shtab.DIRECTORY)
    preamble = {"bash": BASH, "zsh": ZSH}.get(shell, "")
    made: str = shtab.complete(parser, shell=shell, preamble=preamble)
    return made


def print_script(parser: argparse.ArgumentParser, shell: str) -> None:
    """Print the script of a shell."""
    echo(script(parser, shell))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _actions(each)
        else:
            yield action


def _mark(action: Any, files: Mapping[str, Any], folders: object) -> None:
    """Set which kind of values shtab completes for an argument."""
    kinds = (
        (FILES, files),
        (FOLDERS, folders),
        (NAMES, MODELS),
        (OWNED_FILES, OWNED),
        (PERHAPS_OWNED_FILES, {**files, **PERHAPS_OWNED}),
    )
    for names, kind in kinds:
        if action.dest in names:
            action.complete = kind
    if isinstance(action.metavar, str):
        # In the script for zsh, a colon separates an option's name from its description.
        action.metavar = action.metavar.replace(":", " ")
