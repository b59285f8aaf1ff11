"""The command ``effcam completion``: a script that teaches a shell effcam's words."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from effcam.cli.console import say

SHELLS = ("bash", "zsh", "fish", "tcsh")
DESCRIPTION = """\
Prints a script for a shell that completes commands, options, files and names of models with Tab.

  bash  effcam completion bash > ~/.local/share/bash-completion/completions/effcam
  zsh   effcam completion zsh > ~/.zfunc/_effcam     with ~/.zfunc in fpath, before compinit
  fish  effcam completion fish > ~/.config/fish/completions/effcam.fish
  tcsh  effcam completion tcsh > ~/.effcam.tcsh      and in ~/.tcshrc: source ~/.effcam.tcsh

For this session of bash alone: eval "$(effcam completion bash)"
"""

# What completes an argument, by where its values are of a kind.
FILES = {"paths", "outputs", "labels", "boxes", "masks", "save_summary"}
NAMES = {"models", "pattern"}
OWNED_FILES = {"checkpoint"}
FOLDERS = {"output"}

# Names are asked for as they are needed: a thousand, and some of installed packages.
BASH = r"""
_effcam_models() {
  local label= name=$1
  [[ $1 == *=* ]] && label=${1%%=*}= name=${1#*=}
  compgen -P "$label" -W "$("${_effcam_command:-effcam}" models --names "$name*" 2>/dev/null)" \
    -- "$name"
}
_effcam_owned_files() {
  [[ $1 == *=* ]] && compgen -P "${1%%=*}=" -f -- "${1#*=}"
}
"""
# Bash takes words apart at : and =, which names of models have in them. Put together again, they
# are what shtab's function knows; of its answers bash then wants only what follows the last mark.
BASH_END = r"""
_effcam_whole_words() {
  local line=${COMP_LINE:0:COMP_POINT} word gap at last=-1 words=()
  local _effcam_command=${COMP_WORDS[0]/#\~/$HOME}
  for ((at = 0; at <= COMP_CWORD; at++)); do
    word=${COMP_WORDS[at]}
    gap=${line%%[^[:space:]]*}
    line=${line#"$gap"}
    line=${line#"$word"}
    if ((at > 0)) && [[ -z $gap && ( $word == [:=]* || ${COMP_WORDS[at-1]} == *[:=] ) ]]; then
      words[last]+=$word
    else
      last=$((last + 1))
      words[last]=$word
    fi
  done
  local COMP_WORDS=("${words[@]}") COMP_CWORD=$last
  _shtab_effcam
  local head=${words[last]%"${words[last]##*[:=]}"}
  [[ -n $head ]] && COMPREPLY=("${COMPREPLY[@]#"$head"}")
  return 0
}
complete -o bashdefault -F _effcam_whole_words effcam
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
"""
MODELS = {
    "bash": "_effcam_models",
    "zsh": "_effcam_models",
    "fish": "(effcam models --names (commandline -ct)'*' 2>/dev/null)",
    "tcsh": "`effcam models --names`",
}
OWNED = {"bash": "_effcam_owned_files", "zsh": "_effcam_owned_files", "fish": "", "tcsh": ""}


def add_completion(commands: Any) -> None:
    """Add the command to those of ``effcam``."""
    parser = commands.add_parser(
        "completion",
        help="print a script that completes effcam in a shell",
        description=DESCRIPTION,
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script of a shell for all of a parser's commands.

    Args:
        parser: The parser, which is marked for this and of no use afterwards.
        shell: One of `SHELLS`.
    """
    import shtab

    for action in _actions(parser):
        _mark(action, shtab.FILE, shtab.DIRECTORY)
    preamble = {"bash": BASH, "zsh": ZSH}.get(shell, "")
    made: str = shtab.complete(parser, shell=shell, preamble=preamble)
    return f"{made}\n{BASH_END}" if shell == "bash" else made


def print_script(parser: argparse.ArgumentParser, shell: str) -> None:
    """Print the script of a shell."""
    say(script(parser, shell))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _actions(each)
        else:
            yield action


def _mark(action: Any, files: object, folders: object) -> None:
    """Tells shtab what an argument's values are."""
    kinds = ((FILES, files), (FOLDERS, folders), (NAMES, MODELS), (OWNED_FILES, OWNED))
    for names, kind in kinds:
        if action.dest in names:
            action.complete = kind
    if isinstance(action.metavar, str):
        # zsh separates the parts of what it is told by colons.
        action.metavar = action.metavar.replace(":", " ")
