"""A matrix of numbers as a picture: its size, its colours, and the texts in its cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from effcam.drawing import matrix
from effcam.drawing.matrix import CELL, COLORMAP, GAP, MARGIN, NOTHING, draw_matrix
from effcam.drawing.overlay import colormap_table
from effcam.errors import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

LABELS = ("alexnet", "resnet", "EB0")
VALUES = np.array([[1, 0.25, -0.5], [0.25, 1, np.nan], [-0.5, np.nan, 1]])


def ground(picture: Image.Image, row: int, column: int, count: int = 3) -> tuple[int, ...]:
    """The colour behind the number of a cell: that of its corner."""
    left = picture.width - MARGIN - (count - column) * CELL
    top = picture.height - MARGIN - (count - row) * CELL
    colour = picture.getpixel((left + 2, top + 2))
    assert isinstance(colour, tuple)
    return colour


def cell_of(picture: Image.Image, row: int, column: int, count: int = 3) -> NDArray[np.uint8]:
    left = picture.width - MARGIN - (count - column) * CELL
    top = picture.height - MARGIN - (count - row) * CELL
    return np.asarray(picture)[top : top + CELL, left : left + CELL]


def level(value: int) -> tuple[int, ...]:
    return tuple(map(int, colormap_table(COLORMAP)[value]))


def wide(values: NDArray[np.floating], labels: tuple[str, ...], low: float = 0.0) -> Image.Image:
    """A matrix whose cells end at the right margin: its title is not wider."""
    return draw_matrix(values, labels, title="t", low=low)


def test_the_size_grows_by_a_cell_with_each_row() -> None:
    sizes = [wide(np.eye(count), ("one name",) * count).size for count in (4, 5, 6, 20)]
    heights, widths = [height for _, height in sizes], [width for width, _ in sizes]
    assert np.diff(heights).tolist() == [CELL, CELL, 14 * CELL]
    assert np.diff(widths).tolist() == [CELL, CELL, 14 * CELL]


def test_cells_are_coloured_from_low_to_1() -> None:
    picture = wide(VALUES, LABELS)
    assert picture.mode == "RGB"
    assert ground(picture, 0, 0) == ground(picture, 1, 1) == level(255)
    assert ground(picture, 0, 1) == ground(picture, 1, 0) == level(64)
    assert ground(picture, 0, 2) == level(0)  # what is below low has the darkest colour
    lower = wide(VALUES, LABELS, low=-1.0)
    assert ground(lower, 0, 2) == level(64)
    assert ground(lower, 0, 0) == level(255)


def test_a_higher_value_is_lighter() -> None:
    values = np.linspace(0, 1, 16).reshape(4, 4)
    picture = wide(values, ("a", "b", "c", "d"))
    shades = [sum(ground(picture, *divmod(at, 4), count=4)) for at in range(16)]
    assert shades == sorted(shades)
    assert len(set(shades)) == 16


def test_rows_are_rows_and_columns_columns() -> None:
    picture = wide(np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]]), LABELS)
    assert ground(picture, 0, 1) == level(255)
    assert ground(picture, 1, 0) == level(0)


def test_missing_values_are_grey_with_a_dash() -> None:
    picture = wide(VALUES, LABELS)
    assert ground(picture, 1, 2) == ground(picture, 2, 1) == NOTHING
    blank = cell_of(picture, 1, 2)[: CELL - GAP, : CELL - GAP]
    rows, columns = np.nonzero((blank != NOTHING).any(-1))
    assert rows.size
    # A dash: wider than tall, in the middle.
    assert np.ptp(columns) > 2 * np.ptp(rows)
    assert abs((columns.min() + columns.max()) / 2 - (CELL - GAP) / 2) < 3


def test_each_cell_shows_its_own_number(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    fit = matrix.fit_text

    def note(text: str, *options: object) -> object:
        shown.append(text)
        return fit(text, *options)

    monkeypatch.setattr(matrix, "fit_text", note)
    draw_matrix(np.array([[1, -0.001], [0.126, np.inf]]), ("a", "b"), title="Agreement")
    assert shown[-4:] == ["1.00", "0.00", "0.13", "\u2013"]
    assert "Agreement" in shown
    assert shown.count("a") == shown.count("b") == 2


def test_a_number_can_be_read_on_its_ground() -> None:
    picture = wide(np.linspace(0, 1, 16).reshape(4, 4), ("a", "b", "c", "d"))
    for row, column in np.ndindex(4, 4):
        inside = cell_of(picture, row, column, 4)[: CELL - GAP, : CELL - GAP].astype(float)
        luma = inside @ matrix.LUMA
        own = float(np.dot(matrix.LUMA, ground(picture, row, column, 4)))
        assert np.abs(luma - own).max() > 90


def test_long_names_do_not_widen_it_without_end() -> None:
    names = tuple("a name that is much longer than what is beside it " * 9 for _ in range(3))
    long, short = wide(VALUES, names), wide(VALUES, LABELS)
    assert long.width < short.width + 250
    assert long.height < short.height + 150


def test_a_long_title_stays_on_the_page() -> None:
    short = draw_matrix(np.eye(1), ("a",), title="t")
    title = "Agreement: rank correlation of two models' maps"
    long = draw_matrix(np.eye(1), ("a",), title=title)
    assert long.width == short.width
    assert long.height > short.height  # it goes on in a second line
    page = np.asarray(long)[0, 0]
    assert (np.asarray(long)[:, -MARGIN // 2 :] == page).all()


@pytest.mark.parametrize(
    ("shape", "labels"),
    [((0, 0), ()), ((2, 2), ("a",)), ((2, 3), ("a", "b")), ((2,), ("a", "b"))],
)
def test_labels_that_do_not_name_a_matrix_are_refused(
    shape: tuple[int, ...], labels: tuple[str, ...]
) -> None:
    with pytest.raises(ArgumentError, match=rf"^there are {len(labels)} names for a matrix of sha"):
        draw_matrix(np.zeros(shape), labels, title="t")
