"""How help reads, and that exit codes and options are what it says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from effcam.cli import main
from tests.cli.commands import Done

COMMANDS = ("compare", "dataset", "models", "demo", "app", "info", "completion")


def shown(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*argv, "--help"])
    assert stop.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_help_reads_like_a_page(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    page = shown(capsys)
    for command in COMMANDS:
        assert re.search(rf"^    {command} +\w", page, re.MULTILINE)
    for heading in ("commands", "examples", "exit codes", "environment", "documentation"):
        assert re.search(rf"^{heading}:", page, re.MULTILINE)
    assert max(map(len, page.splitlines())) <= 100


@pytest.mark.parametrize(
    ("command", "groups"),
    [
        (
            "compare",
            ["images and models", "method", "computing", "output", "pictures", "summary"],
        ),
        ("dataset", ["images and models", "method", "computing", "cluster", "output"]),
        ("models", ["models", "output"]),
        ("demo", ["images", "output"]),
        ("app", ["server", "limits"]),
        ("info", ["output"]),
    ],
)
def test_options_stand_in_groups_before_examples(
    capsys: pytest.CaptureFixture[str], command: str, groups: list[str]
) -> None:
    page = shown(capsys, command)
    headings = re.findall(r"^([a-z ]+):$", page, re.MULTILINE)
    assert [each for each in headings if each in groups] == groups
    assert headings[-1] == "examples"
    assert f"effcam {command}" in page.rpartition("examples:")[2]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--size", "64", "--size", "96"], "argument --size: given twice: 64 and 96"),
        (["--labels", "a.csv", "--labels", "a.csv"], "argument --labels: given twice"),
        (["--view", "whole", "--view", "model"], "argument --view: given twice"),
        (["--option", "m:a=1", "--option", "m:a=2", "-m", "m=resnet18"], "gives a of 'm' twice"),
    ],
)
@pytest.mark.usefixtures("photos")
def test_an_option_of_one_value_is_refused_the_second_time(
    run: Callable[..., Done], argv: list[str], message: str
) -> None:
    done = run("compare", "photos", *argv)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


@pytest.mark.usefixtures("photos")
def test_options_are_counted_anew_for_each_command(
    run: Callable[..., Done], asked: dict[str, Any]
) -> None:
    for size in (64, 96):
        run("compare", "photos", "-m", "resnet18", "--size", size)
        assert asked["size"] == size


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    "name", ["-x.jpg", "-photos", "--x.png", "-photo.png", "-1.jpg", "-qv.png"]
)
def test_a_path_that_begins_with_a_dash(
    run: Callable[..., Done], asked: dict[str, Any], name: str
) -> None:
    path = Path(name)
    if path.suffix:
        Image.new("RGB", (8, 8)).save(path)
    else:
        path.mkdir()
    done = run("compare", name, "-m", "resnet18")
    assert (done.code, done.out, asked) == (2, "", {})
    assert f"{name!r} begins with a dash, so it is taken for an option" in done.err
    for argv in ([f"./{name}", "-m", "resnet18"], ["-m", "resnet18", "--", name]):
        assert re.search(rf"write '\./{name}', or '-- {name}'", done.err)
        run("compare", *argv)
        assert list(asked["images"]) == [argv[0] if argv[0] != "-m" else name]


@pytest.mark.parametrize("argv", [["-x.jpg"], ["-m", "resnet18", "-q2.png"], ["a.png", "-1.mp4"]])
def test_a_missing_file_that_begins_with_a_dash_has_the_same_hint(
    run: Callable[..., Done], argv: list[str]
) -> None:
    done = run("compare", *argv)
    assert done.code == 2
    assert f"'./{argv[-1]}'" in done.err


@pytest.mark.usefixtures("photos")
def test_options_after_a_double_dash_are_refused_with_the_reason(
    run: Callable[..., Done], asked: dict[str, Any]
) -> None:
    done = run("compare", "--", "photos", "-m", "resnet18")
    assert (done.code, asked) == (2, {})
    assert "'-m' comes after '--', which ends the options" in done.err


@pytest.mark.usefixtures("photos")
def test_values_joined_to_their_options_are_no_paths(
    run: Callable[..., Done], asked: dict[str, Any]
) -> None:
    run("compare", "photos", "-mresnet18", "-oa.png", "--output=b.png", "--title=-x.png")
    assert list(asked["models"]) == ["resnet18"]
