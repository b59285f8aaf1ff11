"""``effcam demo``: what a newcomer sees first, without a network."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from effcam.cli import demo_folder, main
from effcam.cli.demo_folder import HEADER, SCENES, Demo, make_demo
from effcam.comparison.pictures.marks import Marks
from effcam.comparison.pictures.style import Style
from effcam.demo import LABELS, MODELS, scenes
from effcam.errors import ArgumentError, OutputError
from tests.cli.commands import Done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "new" / "folder"


@pytest.fixture(scope="module")
def made(folder: Path) -> Demo:
    return make_demo(folder, progress=False)


def test_a_demo_compares_five_models_on_a_dozen_scenes(made: Demo) -> None:
    assert made.comparison.columns == tuple(MODELS)
    assert len(made.comparison.images) == len(made.scenes) == SCENES == 12
    for image, scene in zip(made.comparison.images, made.scenes, strict=True):
        assert image.name.endswith(f"-{scene.label}.png")
        assert image.open() == scene.image
    assert {cell.weights for cell in made.comparison} == {
        f"{name}.safetensors" for name in MODELS.values()
    }


def test_a_demo_writes_its_pictures_and_scenes(made: Demo, folder: Path) -> None:
    grid, animation, report, drawn = made.written
    assert [path.relative_to(folder).as_posix() for path in made.written] == [
        "compare.png",
        "compare.gif",
        "report.html",
        "scenes",
    ]
    with Image.open(grid) as picture:
        assert picture.height > picture.width > 600
    with Image.open(animation) as frames:
        assert frames.n_frames == SCENES
    page = report.read_text(encoding="utf-8")
    # What the scenes know of themselves is in it, and so is the scoreboard.
    assert "is clover" in re.sub("<[^>]*>", "", page)
    assert "energy pointing game" in page
    assert sorted(path.name for path in drawn.iterdir()) == [
        f"{position:02}-{scene.label}.png" for position, scene in enumerate(made.scenes, 1)
    ]


def test_the_console_has_the_figures_of_the_report(made: Demo) -> None:
    header, *rows = made.table()
    assert header == HEADER
    assert [row[0] for row in rows] == list(MODELS)
    right = np.array(
        [
            [cell.predicted_label == scene.label for cell in row]
            for row, scene in zip(made.comparison.rows(), made.scenes, strict=True)
        ]
    )
    used = int(right.all(axis=1).sum())
    assert made.summary.used == used > 6
    page = re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", made.written[2].read_text(encoding="utf-8")))
    assert f"every figure but accuracy uses {used} of them" in page
    for column, row in enumerate(rows):
        count = int(right[:, column].sum())
        assert row[1] == made.comparison.cells[column].target_layer
        assert row[3] == f"{count} of 12"
        hits, total = map(int, row[4].split(" of "))
        assert total == used
        # The report has both in per cent.
        for share in (count / 12, hits / used):
            assert f" {100 * share:.1f} " in page
    assert sum(int(row[4].split()[0]) for row in rows) > 5 * used / 2


def test_the_pictures_of_a_demo_mark_mistakes(made: Demo) -> None:
    found = Marks(made.comparison, Style())
    marks = [mark for row in made.comparison.rows() for mark in found.row(row)]
    assert marks.count("\u2713") == sum(score.right for score in made.scores())
    assert marks.count("\u2717") == 60 - marks.count("\u2713") > 0


@pytest.mark.slow
def test_another_seed_has_another_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    first, second = make_demo(tmp_path, progress=False), make_demo(tmp_path, seed=3, progress=False)
    assert [each.label for each in second.scenes] == [each.label for each in scenes(12, 3, 32)]
    assert first.written[-1] != second.written[-1]
    assert len(list(first.written[-1].iterdir())) == len(list(second.written[-1].iterdir())) == 12
    assert (tmp_path / "mine.txt").read_text() == "kept"


@pytest.mark.slow
def test_the_command_runs_in_a_fresh_process_without_a_socket(tmp_path: Path) -> None:
    code = """
    import socket, sys

    def refuse(*args, **kwargs):
        raise SystemExit(f"a socket was asked for: {args}")

    socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
    from effcam.cli import demo_folder, main
    sys.exit(main(["demo", "-o", "seen"]))
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert re.match("12 scenes, each with one of ten objects", lines[0])
    assert [line.split()[0] for line in lines[3:8]] == list(MODELS)
    for name in ("compare.png", "compare.gif", "report.html", "scenes"):
        assert f"wrote {Path('seen') / name}" in lines
        assert (tmp_path / "seen" / name).exists()
    assert "effcam compare seen/scenes -m demo_resnet -m demo_alexnet -o mine.png" in done.stdout


@pytest.fixture
def already_made(made: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give commands the demonstration above; to make another takes seconds."""
    monkeypatch.setattr(demo_folder, "make_demo", lambda *_, **__: made)


@pytest.mark.usefixtures("already_made")
def test_what_the_command_suggests_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    (suggested,) = re.findall(
        r"^  effcam (compare \S*scenes.*)$", capsys.readouterr().out, re.MULTILINE
    )
    assert main(suggested.split()) == 0
    assert (tmp_path / "mine.png").is_file()


@pytest.mark.slow
def test_quiet_is_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "-q", "-o", str(tmp_path)]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_folder_that_cannot_be_made_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    with pytest.raises(OutputError, match=r"the folder '.*file.scenes' cannot be created"):
        make_demo(file)
    assert main(["demo", "-o", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch("effcam: error: the folder .* cannot be created: .*\n", err)
    assert file.read_text() == "kept"


def test_an_impossible_seed_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ArgumentError, match="seed must be a whole number from 0"):
        make_demo(tmp_path, seed=-1)
    assert main(["demo", "--seed", "-1", "-o", str(tmp_path)]) == 2
    assert "seed must be a whole number from 0, not -1" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_scenes_of_the_demo_show_every_class(made: Demo) -> None:
    assert {scene.label for scene in made.scenes} == set(LABELS)


@pytest.mark.usefixtures("photos", "already_made")
def test_json_of_the_demo(run: Callable[..., Done], folder: Path) -> None:
    done = run("demo", "--json", "-q")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["written"] == [str(folder / each) for each in (
        "compare.png", "compare.gif", "report.html", "scenes")]  # fmt: skip
    assert len(found["scenes"]) == 12
    for score in found["models"]:
        assert score["images"] == 12
        assert 0 <= score["hits"] <= score["used"] <= 12
        assert score["right"] >= 9
        assert len(score["grid"]) == 2
