"""Sheets: headings, panels, captions and the colour bar in their places."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from effcam.drawing.overlay import colormap_table
from effcam.drawing.page_parts import Measures
from effcam.drawing.sheet import Heading, Panel, sheet
from effcam.errors import ArgumentError
from tests.drawing.pictures import LABELS, photo, pixels, solid

if TYPE_CHECKING:
    from PIL import Image


def grid(
    columns: int, rows: int, picture: Image.Image, label: str = "label", heading: str = "model"
) -> tuple[list[Heading], list[list[Panel]]]:
    row = [Panel(picture, (label, label))] * columns
    return [Heading(heading, heading)] * columns, [row] * rows


@pytest.mark.parametrize(
    ("columns", "width"), [(1, 64), (3, 64), (20, 64), (6, 128), (3, 224), (2, 512)]
)
@pytest.mark.parametrize(("theme", "fixed"), [("light", False), ("dark", True)])
@pytest.mark.parametrize("label", LABELS)
def test_sheet_keeps_gutters_margins_and_pictures_clean(
    columns: int, width: int, theme: Literal["light", "dark"], fixed: bool, label: str
) -> None:
    height = width // 2
    headings, rows = grid(columns, 2, solid(width, height), label, label)
    page = sheet(
        headings, rows, width=width, height=height if fixed else None, theme=theme, title=label,
        legend=(label,),
    )  # fmt: skip
    drawn = pixels(page)
    layout = Measures(columns, width)
    assert page.width == layout.inner + 2 * layout.margin
    background = drawn[0, 0]
    empty = (drawn == background).all(axis=-1)
    margin = layout.margin
    assert empty[:margin].all()
    assert empty[-margin:].all()
    assert empty[:, :margin].all()
    assert empty[:, -margin:].all()

    red = (drawn == (255, 0, 0)).all(axis=-1)
    assert red.sum() == 2 * columns * width * height
    lines = np.flatnonzero(red.any(axis=1))
    bands = slice(lines[0] - 2 * layout.text.height, lines[-1] + 3 * layout.text.height)
    for column in range(columns - 1):
        end = layout.left(column) + width
        assert empty[bands, end : end + layout.gutter].all()


def test_sheet_puts_each_panel_into_its_cell() -> None:
    colours = [(200, 10 * row, 10 * column) for row in range(2) for column in range(3)]
    cells = iter(colours)
    rows = [[Panel(solid(40, 30, next(cells))) for _ in range(3)] for _ in range(2)]
    drawn = pixels(sheet([Heading("model")] * 3, rows, width=80, height=60))
    layout = Measures(3, 80)
    tops = []
    for index, colour in enumerate(colours):
        ys, xs = np.nonzero((drawn == colour).all(axis=-1))
        assert len(xs) == 40 * 30
        assert xs.min() == layout.left(index % 3) + 20
        tops.append(ys.min())
    assert tops[0] == tops[1] == tops[2] < tops[3] == tops[4] == tops[5]


def test_sheet_reduces_larger_pictures_and_rows_are_as_tall_as_their_tallest() -> None:
    row = [Panel(solid(300, 600)), Panel(solid(50, 20, (0, 0, 255)))]
    drawn = pixels(sheet([Heading("a"), Heading("b")], [row], width=100))
    ys, xs = np.nonzero((drawn == (255, 0, 0)).all(axis=-1))
    assert (int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1) == (100, 200)
    blue = np.nonzero((drawn == (0, 0, 255)).all(axis=-1))[0]
    assert blue.min() - ys.min() == 90
    fixed = pixels(sheet([Heading("a"), Heading("b")], [row], width=100, height=80))
    assert (fixed == (255, 0, 0)).all(axis=-1).sum() == 40 * 80


def test_sheet_of_fixed_height_has_one_size_whatever_it_says() -> None:
    sizes = set()
    for label, shape in itertools.product(LABELS, [(80, 50), (10, 80), (200, 300)]):
        headings, rows = grid(4, 1, solid(*shape), label, label)
        page = sheet(
            headings, rows, width=80, height=80, theme="dark", title=label or " ", legend=("hatch",)
        )
        sizes.add(page.size)
    assert len(sizes) == 1


@pytest.mark.parametrize("width", [64, 224])
def test_sheet_of_fixed_height_has_one_size_with_and_without_captions(width: int) -> None:
    picture = solid(width, width)
    captions: list[tuple[str, ...]] = [(), ("a",), ("a", "b"), ("a " * 90, "b " * 90)]
    sizes = {
        sheet([Heading(lines[0] if lines else "")], [[Panel(picture, lines)]], width=width,
              height=width).size
        for lines in captions
    }  # fmt: skip
    assert len(sizes) == 1


def test_sheet_shows_both_caption_lines_and_headings() -> None:
    def ink(heading: Heading, lines: tuple[str, ...]) -> int:
        page = sheet([heading], [[Panel(solid(64, 64), lines)]], width=64, height=64)
        return int((pixels(page).sum(axis=-1) < 600).sum())

    plain = ink(Heading(""), ())
    for heading, lines in (
        (Heading("model"), ()),
        (Heading("", "7 x 7"), ()),
        (Heading(""), ("label",)),
        (Heading(""), ("", "99.5%")),
    ):
        assert ink(heading, lines) > plain + 10


def test_sheet_themes_differ_in_page_and_text() -> None:
    headings, rows = grid(2, 1, solid(64, 64))
    light = pixels(sheet(headings, rows, width=64, theme="light"))
    dark = pixels(sheet(headings, rows, width=64, theme="dark"))
    assert (light[0, 0] == 255).all()
    assert (dark[0, 0] < 20).all()
    assert (dark == 255).all(axis=-1).sum() > 20


@pytest.mark.parametrize("columns", [1, 4])
def test_sheet_has_a_colour_bar_of_the_colour_map(columns: int) -> None:
    headings, rows = grid(columns, 1, solid(64, 64))
    drawn = pixels(sheet(headings, rows, width=64, colormap="viridis"))
    table = colormap_table("viridis").astype(np.int32)
    for colour in (table[20], table[128], table[235]):
        assert (np.abs(drawn - colour).sum(axis=-1) < 24).sum() >= 5


def test_sheet_writes_title_and_legend() -> None:
    headings, rows = grid(4, 1, solid(100, 100))
    plain = sheet(headings, rows, width=100)
    titled = sheet(headings, rows, width=100, title="photos/0001.jpg")
    assert titled.height > plain.height
    told = sheet(headings, rows, width=100, legend=("", "hatched: unseen"))
    silent = sheet(headings, rows, width=100, legend=("",))
    assert np.array_equal(pixels(silent), pixels(plain))
    assert (pixels(told) < 200).sum() > (pixels(plain) < 200).sum()


def test_sheet_is_the_same_each_time() -> None:
    headings, rows = grid(3, 2, photo())
    first = pixels(sheet(headings, rows, width=96))
    assert np.array_equal(first, pixels(sheet(headings, rows, width=96)))


def test_sheet_rejects_impossible_sheets() -> None:
    headings, rows = grid(2, 1, photo())
    with pytest.raises(ArgumentError, match="at least one column and one row"):
        sheet([], [])
    with pytest.raises(ArgumentError, match="at least one column and one row"):
        sheet(headings, [])
    with pytest.raises(ArgumentError, match="1 panels below 2 headings"):
        sheet(headings, [rows[0][:1]])
    with pytest.raises(ArgumentError, match="at least 64 px wide"):
        sheet(headings, rows, width=63)
    with pytest.raises(ArgumentError, match="1 px high, not 64 x 0 px"):
        sheet(headings, rows, width=64, height=0)
    with pytest.raises(ArgumentError, match="'light' or 'dark', not 'blue'"):
        sheet(headings, rows, theme="blue")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="no colour map"):
        sheet(headings, rows, colormap="no such map")


def test_sheet_has_headings_beside_its_rows_and_space_between_blocks() -> None:
    _, rows = grid(2, 4, solid(64, 64))
    headings = [Heading("a"), Heading("b")]
    plain = sheet(headings, rows, width=64)
    sides = [Heading(name, "7 x 7") for name in "abcd"]
    beside = sheet(headings, rows, width=64, sides=sides)
    wider = beside.width - plain.width
    assert wider > 0
    assert beside.height == plain.height
    drawn = pixels(beside)
    left = np.flatnonzero((drawn == (255, 0, 0)).all(axis=-1).any(axis=0))[0]
    assert left == Measures(2, 64).margin + wider
    assert (drawn[100:, : left - 1].sum(axis=-1) < 300).any()
    apart = sheet(headings, rows, width=64, sides=sides, block=2)
    assert apart.height == beside.height + 2 * Measures(2, 64).gutter


def test_sheet_leaves_places_empty() -> None:
    picture = solid(64, 64)
    page = sheet([Heading("a"), Heading("b")], [[None, Panel(picture)], [None, None]], width=64)
    red = (pixels(page) == (255, 0, 0)).all(axis=-1)
    assert red.sum() == 64 * 64
    assert np.flatnonzero(red.any(axis=0))[0] == Measures(2, 64).left(1)


def test_sheet_refuses_sides_that_are_not_one_a_row() -> None:
    headings, rows = grid(2, 3, photo())
    with pytest.raises(ArgumentError, match="there are 2 headings beside 3 rows"):
        sheet(headings, rows, sides=[Heading("a"), Heading("b")])
