"""Posters: the arrangement of cells, and no overlaps."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import effcam
from effcam import Comparison
from effcam.cam.cells import Cells
from effcam.comparison.pictures.poster import arrange_cells, compose
from effcam.comparison.pictures.style import Style
from effcam.drawing.page import Picture, Surface, Text
from effcam.drawing.page_parts import Measures
from effcam.drawing.poster_cells import MOST_COLUMNS, PosterCells, arrange
from effcam.errors import ArgumentError, CellError

if TYPE_CHECKING:
    from tests.conftest import DemoPart

COUNTS = (1, 2, 3, 5, 7, 12, 13, 30)
SIZES = ((96, 64), (64, 96), (64, 64), (300, 60), (40, 300))


@pytest.fixture(scope="module")
def comparison(demo_part: DemoPart) -> Comparison:
    return demo_part(2, {"A": "resnet", "B": "alexnet"})


def many(comparison: Comparison, count: int, size: tuple[int, int]) -> Cells:
    """A comparison of many columns with long and short names, on a photo of a given size."""
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    (cell,) = effcam.compare(Image.fromarray(noise), "demo_alexnet", progress=False)
    names = [
        f"model {at}" if at % 3 else f"tf_efficientnet_b{at}.ns_jft_in1k" for at in range(count)
    ]
    return replace(
        comparison,
        images=(cell.image,),
        columns=tuple(names),
        cells=tuple(replace(cell, column=name) for name in names),
    )


def page(content: Cells, **style: Any) -> Surface:
    cells, given = arrange_cells(content, 0, None), Style(width=96, **style)
    return compose(content, 0, cells, Measures(cells.columns, 96), given)


@pytest.mark.parametrize(("count", "size"), list(itertools.product(COUNTS, SIZES)))
def test_nothing_overlaps_and_nothing_is_cut(
    comparison: Comparison, count: int, size: tuple[int, int]
) -> None:
    surface = page(many(comparison, count, size), title="A title")
    items = [item for item in surface.items if not isinstance(item, Text) or item.lines]
    assert sum(isinstance(item, Picture) for item in items) == count + 1
    for item in items:
        left, top, right, bottom = item.box
        assert 0 <= left < right <= surface.width
        assert 0 <= top < bottom <= surface.height
    for one, other in itertools.combinations([item.box for item in items], 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart, (one, other)


@pytest.mark.parametrize("count", [2, 5, 12, 13, 30])
@pytest.mark.parametrize("size", [(96, 64), (64, 96), (64, 64)])
def test_the_photo_is_large_and_the_page_is_pleasant(
    comparison: Comparison, count: int, size: tuple[int, int]
) -> None:
    surface = page(many(comparison, count, size))
    first, *others = [item for item in surface.items if isinstance(item, Picture)]
    assert {item.width for item in others} == {96}
    assert first.width > 1.9 * 96
    assert 0.4 < surface.width / surface.height < 2.5
    lefts = sorted({item.left for item in others})
    assert len({right - left for left, right in itertools.pairwise(lefts)}) <= 1


def test_one_model_stands_beside_the_photo(comparison: Comparison) -> None:
    surface = page(many(comparison, 1, (96, 64)))
    photo, cell = [item for item in surface.items if isinstance(item, Picture)]
    assert (photo.top, photo.width, photo.height) == (cell.top, cell.width, cell.height)


@pytest.mark.parametrize("count", range(1, 40))
@pytest.mark.parametrize("tall", [0.5, 1, 1.8])
def test_each_cell_has_its_own_place(count: int, tall: float) -> None:
    cells = arrange(count, tall)
    places = cells.places()
    assert len(set(places)) == len(places) == count
    assert cells.columns <= MOST_COLUMNS
    if not cells.above:
        assert not {(row, column) for row, column in places if max(row, column) < cells.span}
    assert cells.empty == cells.rows * cells.columns - count - (0 if cells.above else cells.span**2)
    assert cells.empty < cells.columns or cells.rows == cells.span


def test_twelve_models_fill_a_square() -> None:
    assert arrange(12, 1) == PosterCells(12, columns=4, span=2)
    assert arrange(5, 1) == PosterCells(5, columns=3, span=2)
    assert arrange(12, 1).empty == arrange(5, 1).empty == 0


def test_columns_may_be_said(comparison: Comparison) -> None:
    content = many(comparison, 6, (64, 64))
    for columns in range(1, 9):
        assert arrange_cells(content, 0, columns).columns == columns
    narrow = page(content).width
    assert comparison.poster(columns=1, width=96).width < narrow


@pytest.mark.parametrize("columns", [0, -1, 100, 2.0, True, "2"])
def test_impossible_columns_are_refused(comparison: Comparison, columns: Any) -> None:
    with pytest.raises(ArgumentError, match="columns must be a whole number from 1 to 99, not"):
        comparison.poster(columns=columns)


def test_the_image_is_named_or_counted(comparison: Comparison) -> None:
    second = comparison.poster(1, width=64).tobytes()
    assert comparison.poster("scene 2", width=64).tobytes() == second
    assert comparison.poster(width=64).tobytes() != second
    assert comparison.take([1]).poster(width=64).tobytes() == second
    with pytest.raises(CellError, match="no image is called 'scene 3'"):
        comparison.poster("scene 3")


def test_a_poster_says_model_layer_and_prediction(comparison: Comparison) -> None:
    texts = [
        tuple(line.text for line in item.lines)
        for item in page(comparison.take([0]), title="T").items
        if isinstance(item, Text)
    ]
    cell = comparison[0, "A"]
    assert texts[0] == ("T",)
    assert ("scene 1", "is clover · 256 x 256 px") in texts
    (of_cell,) = [lines for lines in texts if lines[0] == "A"]
    assert of_cell[1].startswith("layer4 ·")
    predicted, share = cell.caption()
    assert of_cell[2:] == (f"\u2713\u00a0{predicted}", share)


@pytest.mark.parametrize(
    "style",
    [{"title": "T"}, {"caption": ""}, {"caption": "{model}"}, {"theme": "dark"}, {"alpha": 1}],
    ids=str,
)
def test_every_option_is_heeded(comparison: Comparison, style: dict[str, Any]) -> None:
    plain = comparison.poster(width=64)
    assert comparison.poster(width=64, **style).tobytes() != plain.tobytes()
