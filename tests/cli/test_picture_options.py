"""The options of pictures: which files they apply to, and impossible values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.cli.commands import UNTRAINED, Done, frames, rows

pytestmark = pytest.mark.usefixtures("photos")


def test_a_style_reaches_the_formats_that_have_it(run: Callable[..., Done]) -> None:
    argv = ["compare", "photos", *UNTRAINED, "-o", "a.gif", "-o", "a.png", "-o", "a.csv", "-q"]
    assert run(*argv).code == 0
    with Image.open("a.gif") as usual, Image.open("a.png") as grid:
        size, wide, pace = usual.size, grid.width, usual.info["duration"]
    style = ("--alpha", 0.9, "--colormap", "gray", "--width", 100, "--seconds", 0.3)
    assert run(*argv, *style).code == 0
    with Image.open("a.gif") as styled, Image.open("a.png") as grid:
        assert styled.width < size[0]
        assert grid.width < wide
        assert (pace, styled.info["duration"]) == (1000, 300)
        # Nothing but the greys of noise under grey heat is left to the map.
        assert grid.convert("RGB").getpixel((grid.width - 50, 60)) is not None
    assert len(rows("a.csv")) == 3


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["-o", "a.csv", "--alpha", "0.5"], "--alpha has no meaning for a.csv"),
        (["-o", "a.png", "--seconds", "2"], "--seconds has no meaning for a.png"),
        (["--summary", "--width", "90"], "--width has no meaning where no picture is written"),
        (["-o", "a.png", "--alpha", "2"], "alpha is an opacity from 0 to 1, not 2.0"),
        (["-o", "a.png", "--colormap", "grey_"], "no colour map is called 'grey_'"),
        (["-o", "a.png", "--width", "5"], "width must be a whole number from 64"),
        (["-o", "a.gif", "--seconds", "0"], "a frame shows for more than 0"),
    ],
)
def test_a_style_that_is_for_nothing_or_impossible_is_refused_before_anything_runs(
    run: Callable[..., Done], asked: dict[str, Any], argv: list[str], message: str
) -> None:
    done = run("compare", "photos", *argv)
    assert asked == {}
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"effcam: error: {message}")


MODELS = ("-m", "a=demo_resnet", "-m", "b=demo_alexnet")


@pytest.mark.usefixtures("photos")
def test_layouts_reach_the_pictures_and_leave_tables_alone(run: Callable[..., Done]) -> None:
    outputs = ("-o", "a.svg", "-o", "a.gif", "-o", "a.csv")
    done = run(
        "compare", "photos", *MODELS, *outputs, "--rows", "models", "--no-original", "--title", "T",
        "--caption", r"{column}\n{label:.3}!", "--inches", "4", "--fontsize", "6", "-q",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    drawn = Path("a.svg").read_text("utf-8")
    assert 'width="288pt"' in drawn
    assert ">T<" in drawn
    assert ">Original<" not in drawn
    assert frames("a.gif") == 2  # one for each model
    for row in rows("a.csv"):
        assert f">{row['label'][:3]}!<" in drawn


def test_a_poster_is_of_one_photo(run: Callable[..., Done], photos: Path) -> None:
    photo = min(photos.iterdir())
    assert run("compare", photo, *MODELS, "-o", "a.png", "--layout", "poster", "-q").code == 0
    assert run("compare", photo, *MODELS, "-o", "b.png", "-q").code == 0
    assert Path("a.png").read_bytes() != Path("b.png").read_bytes()


def test_a_poster_of_several_photos_is_refused_before_anything_runs(
    run: Callable[..., Done], photos: Path, asked: dict[str, Any]
) -> None:
    poster = (*MODELS, "-o", "a.png", "--layout", "poster")
    done = run("compare", photos, *poster)
    assert done.code == 2
    assert "a poster shows one image, and there are 3: choose one" in done.err
    assert asked == {}
    assert run("compare", min(photos.iterdir()), *poster).code == 130
    assert len(asked["images"]) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--caption", "{lable}"], "caption has no field 'lable'. Did you mean 'label'"),
        (["--font", "none.ttf"], "font 'none.ttf' cannot be read"),
        (["--inches", "4"], "inches has no meaning for compare.gif"),
        (["--layout", "poster", "-o", "a.gif", "-o", "a.csv"], "layout has no meaning for a.gif,"),
        (["--layout", "poster", "--rows", "models", "-o", "a.png"], "rows has no meaning for a "),
        (["-o", "a.pdf", "--fontsize", "1"], "fontsize is a number from 3 to 72, not 1.0"),
    ],
)
def test_impossible_layouts_are_refused_before_anything_runs(
    run: Callable[..., Done], photos: Path, asked: dict[str, Any], options: list[str], message: str
) -> None:
    done = run("compare", photos, *MODELS, *options)
    assert done.code == 2
    assert message in done.err
    assert asked == {}
