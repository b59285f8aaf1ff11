"""How help reads, and that exit codes and options are what it says."""

from __future__ import annotations

import re

import pytest

from effcam.cli import main

COMMANDS = ("compare", "dataset", "models", "demo", "info", "completion")


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
