"""Checks of maps: each flag in closed form, and its text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from effcam.cam import map_checks
from effcam.cam.map_checks import (
    ALIKE,
    CAUSES,
    FEWEST,
    MEANING,
    PADDED_SHARE,
    SHORT,
    SMALLEST_SIDE,
    Finding,
    _mean_product,
    _unit_vectors,
    border_share,
    column_findings,
    flags,
    padded_share,
)
from effcam.images.geometry import Box
from effcam.images.preprocess import Preprocess

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effcam.cam.map_checks import State

SIZE = (100, 100)
WHOLE = Box(0, 0, *SIZE)
LETTERBOX = Box(0, -50, 100, 150)
"""The canvas of a map if half of the input is padding, above and below the image."""


@dataclass(frozen=True)
class Cell:
    """A map and its flags."""

    heatmap: NDArray[np.float32]
    flags: tuple[str, ...] = ()


def peaked(rows: int, columns: int, row: int, column: int) -> NDArray[np.float32]:
    """Return a constant map with a peak."""
    heatmap = np.ones((rows, columns), np.float32)
    heatmap[row, column] = 2
    return heatmap


def noisy(seed: int, shape: tuple[int, int] = (7, 7)) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def centred(seed: int) -> NDArray[np.float32]:
    """Return a map of noise with its peak inside."""
    heatmap = noisy(seed)
    heatmap[3, 3] = 2
    return heatmap


# one map


@pytest.mark.parametrize("state", ["flat", "nan"])
def test_a_flag_of_the_method_is_the_only_flag(state: State) -> None:
    # Judged by its values, it would peak at the border and be on padding.
    assert flags(peaked(7, 7, 0, 0), state, LETTERBOX, LETTERBOX, SIZE) == (state,)


def test_an_ordinary_map_has_no_flag() -> None:
    assert flags(peaked(7, 7, 3, 3), "ok", WHOLE, WHOLE, SIZE) == ()


@pytest.mark.parametrize("row", range(5))
@pytest.mark.parametrize("column", range(6))
def test_a_peak_in_an_outermost_cell_is_at_the_border(row: int, column: int) -> None:
    outermost = row in (0, 4) or column in (0, 5)
    found = flags(peaked(5, 6, row, column), "ok", WHOLE, WHOLE, SIZE)
    assert found == (("border",) if outermost else ())


def test_a_peak_that_is_as_high_inside_is_not_at_the_border() -> None:
    heatmap = peaked(7, 7, 0, 0)
    heatmap[3, 3] = heatmap[0, 0]
    assert flags(heatmap, "ok", WHOLE, WHOLE, SIZE) == ()


@pytest.mark.parametrize("grid", [(1, 1), (1, 9), (2, 2), (4, 4), (4, 14), (14, 4)])
def test_small_grids_are_never_flagged_for_a_peak_at_the_border(grid: tuple[int, int]) -> None:
    assert min(grid) < SMALLEST_SIDE
    assert flags(peaked(*grid, 0, 0), "ok", WHOLE, WHOLE, SIZE) == ()


def test_the_share_of_heat_on_padding_is_exact() -> None:
    # Four rows of 50 px, of which the middle two are on the image.
    rows = np.array([1, 2, 3, 4], np.float32)[:, None]
    assert padded_share(
        rows * np.ones((4, 5), np.float32), LETTERBOX, LETTERBOX, SIZE
    ) == pytest.approx(0.5)
    assert padded_share(np.array([[0], [1], [1], [0]], np.float32), LETTERBOX, LETTERBOX, SIZE) == 0
    assert padded_share(np.array([[1], [0], [0], [0]], np.float32), LETTERBOX, LETTERBOX, SIZE) == 1


def test_a_letterboxed_photo_has_its_padding_on_the_canvas() -> None:
    canvas = Preprocess(size=100, resize=100, mode="border").frame(200, 100)  # type: ignore[arg-type]
    assert canvas == Box(0, -50, 200, 150)
    heatmap = np.array([[1, 1], [0, 5], [2, 0], [1, 0]], np.float32)
    assert padded_share(heatmap, canvas, canvas, (200, 100)) == pytest.approx(3 / 10)
    assert flags(heatmap, "ok", canvas, canvas, (200, 100)) == ("padding",)


def test_a_cell_that_is_half_on_padding_counts_half() -> None:
    # Two columns of 60 px from -20 on: a third of the first is padding, and a third of the second.
    canvas = Box(-20, 0, 100, 100)
    heatmap = np.array([[3, 0]], np.float32)
    assert padded_share(heatmap, canvas, canvas, SIZE) == pytest.approx(1 / 3)
    assert padded_share(heatmap, *[Box(-60, 0, 60, 100)] * 2, SIZE) == pytest.approx(1)
    corner = Box(-10, -10, 10, 10)  # a quarter of the one cell is on the image
    assert padded_share(np.ones((1, 1), np.float32), corner, corner, SIZE) == pytest.approx(0.75)


def test_nothing_is_on_padding_where_there_is_none_or_no_heat() -> None:
    assert padded_share(noisy(0), WHOLE, WHOLE, SIZE) == 0
    assert padded_share(noisy(0), *[Box(10, 20, 90, 100)] * 2, SIZE) == 0  # a crop
    assert padded_share(np.zeros((7, 7), np.float32), LETTERBOX, LETTERBOX, SIZE) == 0


@pytest.mark.parametrize(("share", "flagged"), [(0.05, False), (0.09, False), (0.11, True)])
def test_more_than_a_tenth_of_the_heat_on_padding_is_flagged(share: float, flagged: bool) -> None:
    assert PADDED_SHARE == 0.1
    heatmap = np.array([[share], [1 - share], [0], [0]], np.float32)
    assert flags(heatmap, "ok", LETTERBOX, LETTERBOX, SIZE) == (("padding",) if flagged else ())


def test_a_map_may_have_two_flags() -> None:
    heatmap = np.zeros((8, 8), np.float32)
    heatmap[0, 4] = 1
    assert flags(heatmap, "ok", LETTERBOX, LETTERBOX, SIZE) == ("padding", "border")


# the maps of a column


def found(cells: list[Cell]) -> list[tuple[str, int, int]]:
    return [(each.flag, each.count, each.total) for each in column_findings(cells)]


def test_sound_maps_that_differ_have_no_finding() -> None:
    assert found([Cell(noisy(seed)) for seed in range(20)]) == []
    assert found([]) == []


@pytest.mark.parametrize("flag", ["flat", "nan"])
def test_a_single_map_without_evidence_is_reported(flag: str) -> None:
    cells = [Cell(noisy(seed)) for seed in range(20)]
    cells[7] = Cell(noisy(7), (flag,))
    assert found(cells) == [(flag, 1, 20)]
    assert found(cells[7:8]) == [(flag, 1, 1)]


def test_nan_maps_are_reported_before_maps_without_evidence() -> None:
    cells = [Cell(noisy(0), ("flat",)), Cell(noisy(1), ("nan",)), Cell(noisy(2), ("flat",))]
    assert found(cells) == [("nan", 1, 3), ("flat", 2, 3)]


@pytest.mark.parametrize(("padded", "told"), [(0, False), (5, False), (6, True), (10, True)])
def test_padding_is_reported_when_most_maps_have_the_flag(padded: int, told: bool) -> None:
    cells = [Cell(noisy(at), ("padding",) if at < padded else ()) for at in range(10)]
    assert found(cells) == ([("padding", padded, 10)] if told else [])


def test_the_share_of_cells_at_the_border() -> None:
    assert border_share((7, 7)) == pytest.approx(24 / 49)
    assert border_share((5, 6)) == pytest.approx(18 / 30)
    assert border_share((2, 9)) == 1
    assert border_share((1, 1)) == 1


def test_the_border_is_reported_when_it_has_most_peaks_and_more_than_chance() -> None:
    # Of 7 x 7 cells 49 % are at the border, so three in four peaks must be.
    for at_border, told in ((24, False), (36, False), (38, True), (50, True)):
        cells = [Cell(noisy(at), ("border",) if at < at_border else ()) for at in range(50)]
        assert found(cells) == ([("border", at_border, 50)] if told else [])


def test_maps_that_differ_by_noise_alone_are_reported() -> None:
    base = noisy(0)
    cells = [Cell(base + 0.05 * noisy(seed)) for seed in range(1, FEWEST + 1)]
    assert found(cells) == [("same", FEWEST, FEWEST)]
    # The scale of the heat differs between images, which does not matter.
    cells = [Cell((at + 1) * cell.heatmap + at) for at, cell in enumerate(cells)]
    assert found(cells) == [("same", FEWEST, FEWEST)]


def test_maps_of_which_only_half_are_the_same_are_not_reported() -> None:
    base = noisy(0)
    assert found([Cell(base + noisy(seed)) for seed in range(1, 11)]) == []


def test_few_maps_say_nothing_of_a_column() -> None:
    base = peaked(7, 7, 0, 0)
    cells = [Cell(base, ("padding", "border"))] * (FEWEST - 1)
    assert found(cells) == []
    assert {flag for flag, _, _ in found([*cells, cells[0]])} == {"padding", "border", "same"}


def test_maps_without_evidence_do_not_count_among_those_that_are_the_same() -> None:
    base = noisy(0)
    flat = Cell(np.zeros((7, 7), np.float32), ("flat",))
    assert found([*[Cell(base)] * FEWEST, flat]) == [("flat", 1, 6), ("same", 5, 6)]
    assert found([*[Cell(base)] * (FEWEST - 1), flat]) == [("flat", 1, 5)]


def mean_correlation(maps: Any) -> float:
    return _mean_product(_unit_vectors(maps).sum(0), len(maps))


def test_the_mean_correlation_is_that_of_every_two_maps() -> None:
    maps = np.stack([noisy(seed) for seed in range(6)])
    maps[3] = 5 - 2 * maps[0]
    every = np.corrcoef(maps.reshape(6, -1))
    expected = every[np.triu_indices(6, 1)].mean()
    assert mean_correlation(maps) == pytest.approx(expected)
    assert mean_correlation(maps[[0, 3]]) == pytest.approx(-1)
    assert mean_correlation(maps[[0, 0]]) == pytest.approx(1)
    assert 0.5 < ALIKE < 1


# in words


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        (Finding("flat", 3, 10), "3 of 10 maps have no positive evidence. Usually the class"),
        (Finding("flat", 1, 10), "1 of 10 maps has no positive evidence. Usually"),
        (Finding("flat", 1, 1), "the map has no positive evidence. Usually"),
        (Finding("nan", 2, 10), "2 of 10 maps are not a number. Usually half precision"),
        (Finding("nan", 1, 10), "1 of 10 maps is not a number. Usually"),
        (
            Finding("padding", 6, 10),
            "6 of 10 maps have heat on padding, where there is no image. Usually the model",
        ),
        (
            Finding("padding", 1, 1),
            "the map has heat on padding, where there is no image. Usually the model",
        ),
        (Finding("border", 9, 10), "9 of 10 maps peak at the border. Usually the convolutions'"),
        (Finding("border", 1, 10), "1 of 10 maps peaks at the border. Usually"),
        (Finding("same", 10, 10), "the map is nearly the same for every image. Usually the map"),
    ],
)
def test_a_finding_is_a_sentence_and_its_usual_cause(finding: Finding, words: str) -> None:
    assert str(finding).startswith(words)
    assert str(finding).endswith(CAUSES[finding.flag])


def test_every_flag_has_its_words() -> None:
    names = {
        map_checks.FLAT,
        map_checks.NAN,
        map_checks.PADDING,
        map_checks.BORDER,
        map_checks.SAME,
    }
    assert set(MEANING) == set(SHORT) == set(CAUSES) == names
    for texts in (MEANING, SHORT, CAUSES):
        assert len(set(texts.values())) == len(names)
