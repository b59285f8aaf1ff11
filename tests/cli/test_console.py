"""What goes to standard output and standard error, and when it has colours."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from effcam.cli.console import (
    echo,
    echo_json,
    expand_paths,
    note,
    print_error,
    reserve_stdout,
    split_paths,
)
from effcam.errors import ArgumentError, ImageError, OutputError
from tests.cli.commands import UNTRAINED, Done

PLAIN = {"TERM": "xterm", "NO_COLOR": ""}


def on_terminal(*argv: str, environment: Mapping[str, str] = PLAIN) -> tuple[int, str]:
    """Run effcam with a terminal as standard output and error; returns its code and the text."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "effcam", *argv],
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env={**os.environ, **environment},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # how Linux says that the other side is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    return process.wait(120), shown.decode().replace("\r\n", "\n")


def test_errors_are_red_and_headings_bold_on_a_terminal() -> None:
    code, shown = on_terminal("models", "resnet5_")
    assert code == 1
    assert shown.startswith("\x1b[31meffcam: error:\x1b[0m no model's name matches")
    code, shown = on_terminal("models", "resnet18", "--source", "timm")
    heading, row = shown.splitlines()
    assert code == 0
    assert heading.startswith("\x1b[1mname ")
    assert heading.endswith("\x1b[0m")
    assert "\x1b" not in row
    # Of the same width as without colours.
    assert heading[4:].index("source") == row.index("timm")


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_are_left_out_where_they_are_not_wanted(variables: dict[str, str]) -> None:
    code, shown = on_terminal("models", "resnet5_", environment=PLAIN | variables)
    assert code == 1
    assert shown.startswith("effcam: error: no model's")
    assert "\x1b" not in on_terminal("models", "resnet18", environment=PLAIN | variables)[1]


def test_there_are_no_colours_in_a_pipe() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "effcam", "models", "resnet18"],
        env={**os.environ, **PLAIN}, capture_output=True, check=True,
    )  # fmt: skip
    assert b"\x1b" not in done.stdout + done.stderr


def test_messages_are_one_line_and_steer_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_error("broken:\n  a\x1b[31mb")
    note("skipped\tc")
    assert capsys.readouterr().err == "effcam: error: broken: a\\x1b[31mb\neffcam: skipped c\n"


def test_json_is_ascii_without_nan(capsys: pytest.CaptureFixture[str]) -> None:
    nan = float("nan")
    echo_json("compare", {"a": nan, "b": [(1, nan)], "é\udcff": Path("é.png"), "c": None})
    shown = capsys.readouterr().out
    assert shown.isascii()
    found = json.loads(shown)
    assert found.pop("effcam")
    assert found == {
        "command": "compare", "a": None, "b": [[1, None]], "é\udcff": "é.png", "c": None,
    }  # fmt: skip


def test_output_is_the_documents_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with reserve_stdout(True):
        echo("beside")
    with reserve_stdout(False):
        echo("there")
    assert capsys.readouterr() == ("there\n", "beside\n")


def test_a_full_disk_gives_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "effcam", "models", "resnet18"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("effcam: error: standard output cannot be written: No space")
    assert done.stderr.count("\n") == 1


def test_without_standard_output_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    echo("nowhere")


def test_what_cannot_be_written_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    with pytest.raises(OutputError, match="standard output cannot be written: No space left"):
        echo("there")


def test_without_a_dash_standard_input_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert expand_paths(["a", "-b", "c-"]) == ["a", "-b", "c-"]


def test_the_list_takes_the_place_of_the_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"b\nc\n-\n")))
    assert expand_paths(["a", "-", "d"]) == ["a", "b", "c", "-", "d"]


@pytest.mark.parametrize(
    ("data", "paths"),
    [
        (b"a b\n c \n", ["a b", " c "]),
        (b"a\r\n\r\n\t\nb", ["a", "b"]),
        (b"a\nb\0c\0", ["a\nb", "c"]),
        (b"a\0\0b", ["a", "b"]),
        (b"", []),
    ],
)
def test_lines_and_nul_part_paths(data: bytes, paths: list[str]) -> None:
    assert list(split_paths(data)) == paths


def test_names_that_are_not_unicode_are_kept() -> None:
    (name,) = split_paths(b"caf\xe9\n")
    assert os.fsencode(name) == b"caf\xe9"


def test_standard_input_without_paths_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArgumentError, match="'-' is given twice"):
        expand_paths(["-", "a", "-"])
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ArgumentError, match="standard input, which is closed"):
        expand_paths(["-"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b" \n")))
    with pytest.raises(ImageError, match="standard input lists no paths"):
        expand_paths(["a", "-"])


def test_a_terminal_as_standard_input_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        with pytest.raises(ArgumentError, match=r"this terminal: pipe a list into it, as in find"):
            expand_paths(["-"])
        monkeypatch.undo()
    os.close(ours)


@pytest.fixture
def odd(photos: Path) -> bytes:
    """Write a photo whose name is not UTF-8, and return its path."""
    path = os.fsencode(photos) + b"/caf\xe9.png"
    Path(os.fsdecode(path)).write_bytes((photos / "0.png").read_bytes())
    return path


@pytest.mark.slow
def test_paths_are_read_from_a_pipe_among_others(odd: bytes) -> None:
    argv = ["-m", "effcam", "compare", "photos/2.png", "-", "--json", *UNTRAINED]
    piped = subprocess.run(
        [sys.executable, *argv],
        input=b"\nphotos/1.png\r\n  \n" + odd + b"\n",
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert piped.returncode == 0, piped.stderr
    names = json.loads(piped.stdout)["images"]
    assert [os.fsencode(name) for name in names] == [b"2.png", b"1.png", b"caf\xe9.png"]


def test_paths_are_read_up_to_nul(
    odd: bytes, run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = io.BytesIO(odd + b"\0photos/0.png\0")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))
    done = run("compare", "-", "-o", "a.csv", *UNTRAINED)
    assert done.code == 0, done.err
    assert "wrote a.csv (2 images x 1 column)" in done.out


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("data", [b"", b"\n \n", b"\0\0"])
def test_an_empty_list_of_paths_is_an_error(
    run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    done = run("compare", "-", *UNTRAINED)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(
        "effcam: error: standard input lists no paths; expected one path per line"
    )
