"""``effcam completion``: the script, sourced in a real shell and called as Tab calls it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import effcam
from effcam.cam.methods.table import methods
from effcam.cli.completion import SHELLS, script
from effcam.cli.program import main, make_parser

# What bash does on Tab: it splits the line into words and calls the function that `complete` names
# for the command.
ASK = r"""
source ./script
COMP_LINE=$1 COMP_POINT=${#1}
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
function=$(complete -p effcam) function=${function##*-F }
${function%% *}
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script, an ``effcam`` to be found on the path, and files to name."""
    folder = tmp_path_factory.mktemp("completion")
    (folder / "script").write_text(script(make_parser(), "bash"), encoding="utf-8")
    (folder / "photos").mkdir()
    (folder / "best.pt").touch()
    command = folder / "bin" / "effcam"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m effcam "$@"\n')
    command.chmod(0o755)
    return folder


def ask(folder: Path, line: str) -> list[str]:
    """What bash offers for a line."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    done = subprocess.run(
        [bash, "--norc", "-c", ASK, "bash", line, *line.split(" ")],
        cwd=folder,
        env={**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return [each for each in done.stdout.splitlines() if each]


def test_commands_are_completed(folder: Path) -> None:
    assert set(ask(folder, "effcam ")) == {
        "compare", "dataset", "models", "demo", "app", "info", "completion",
    }  # fmt: skip
    assert set(ask(folder, "effcam com")) == {"compare", "completion"}


def test_options_and_their_choices_are_completed(folder: Path) -> None:
    assert set(ask(folder, "effcam compare --s")) == {
        "--size", "--skip-bad", "--seconds", "--summary", "--save-summary", "--scores", "--similar",
        "--samples",
    }  # fmt: skip
    assert "--json" in ask(folder, "effcam info --")
    known = {each.name for each in methods()}
    assert set(ask(folder, "effcam compare photos --method ")) == known
    assert ask(folder, "effcam dataset photos --backend r") == ["ray"]
    assert set(ask(folder, "effcam completion ")) == set(SHELLS)


def test_files_are_completed(folder: Path) -> None:
    assert ask(folder, "effcam compare ph") == ["photos"]
    assert ask(folder, "effcam compare photos -o be") == ["best.pt"]
    assert ask(folder, "effcam compare photos --names be") == ["best.pt"]
    assert ask(folder, "effcam demo -o ph") == ["photos"]
    assert ask(folder, "effcam demo -o be") == []


def test_names_of_models_are_completed(folder: Path) -> None:
    line = "effcam compare photos -m resnet5"
    assert set(ask(folder, line)) == {
        name for name in effcam.list_models("resnet5*") if ":" not in name
    }
    assert ask(folder, "effcam models demo_al") == ["demo_alexnet"]
    assert ask(folder, "effcam compare photos -m nonesuch") == []
    after = ask(folder, "effcam compare photos -m resnet50 --weights n")
    assert after == ["none"]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for word in ("compare", "completion", "skip-bad", "effcam models --names"):
        assert word in out or shell == "bash"
    assert out.count("gradcamelementwise") >= 1


@pytest.mark.parametrize("shell", ["zsh", "fish", "tcsh"])
def test_the_script_is_sound_where_the_shell_is_there(shell: str, tmp_path: Path) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    file = tmp_path / "script"
    file.write_text(script(make_parser(), shell), encoding="utf-8")
    done = subprocess.run([found, "-n", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_metavar_in_the_script_for_zsh_has_a_colon() -> None:
    made = script(make_parser(), "zsh")
    assert "NAME:KEY" not in made
    assert ":_effcam_models" in made
