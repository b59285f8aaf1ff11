"""Concentration of heat, and its independence of a map's grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.stats
from scipy.special import ndtr

from effcam import metrics
from effcam.errors import ArgumentError
from effcam.metrics.concentration import SAMPLES, match

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Figure = Callable[..., NDArray[np.float64]]

FIGURES = (metrics.effective_area, metrics.gini, metrics.half_mass_area)
GRIDS = (6, 7, 9, 12, 14, 16, 24)

each_figure = pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)
# Quantus 0.6 has invalid escapes such as "\e" in docstrings; Python warns when it compiles them.
imports_quantus = pytest.mark.filterwarnings("ignore:.*invalid escape sequence")


def random_heat(*shape: int) -> NDArray[np.float64]:
    """Return heat of which about a third is 0, as after a ReLU."""
    return np.maximum(np.random.default_rng(5).normal(0.4, 1, shape), 0)


# closed forms


def test_heat_in_one_sample() -> None:
    heat = np.zeros((4, 5))
    heat[1, 2] = 0.3
    assert metrics.effective_area(heat) == pytest.approx(1 / 20)
    assert metrics.gini(heat) == pytest.approx(1 - 1 / 20)
    assert metrics.half_mass_area(heat) == pytest.approx(1 / 40)


def test_even_heat() -> None:
    heat = np.full((3, 7), 0.2)
    assert metrics.effective_area(heat) == pytest.approx(1)
    assert metrics.gini(heat) == pytest.approx(0, abs=1e-12)
    assert metrics.half_mass_area(heat) == pytest.approx(0.5)


@pytest.mark.parametrize("held", [1, 4, 7, 12])
def test_even_heat_on_a_part_of_the_samples(held: int) -> None:
    heat = np.zeros(12)
    heat[np.random.default_rng(held).permutation(12)[:held]] = 5
    heat = heat.reshape(3, 4)
    assert metrics.effective_area(heat) == pytest.approx(held / 12)
    assert metrics.gini(heat) == pytest.approx(1 - held / 12)
    assert metrics.half_mass_area(heat) == pytest.approx(held / 24)


def test_two_unequal_samples() -> None:
    heat = [[3, 1]]
    assert metrics.effective_area(heat) == pytest.approx(2 / 3**0.75)
    assert metrics.gini(heat) == pytest.approx(0.25)
    # Two thirds of the hotter sample hold half of the heat.
    assert metrics.half_mass_area(heat) == pytest.approx(1 / 3)


@each_figure
def test_without_heat_there_is_no_figure(figure: Figure) -> None:
    found = figure([[[0, 0], [0, 0]], [[0, 1], [0, 0]]])
    assert np.isnan(found).tolist() == [True, False]


@each_figure
def test_heat_of_any_scale_and_type_counts_the_same(figure: Figure) -> None:
    heat = random_heat(6, 6)
    for other in (1e-30 * heat, 1e30 * heat):
        assert figure(other) == pytest.approx(figure(heat))
    whole = (10 * heat).astype(np.int64)
    assert figure(whole.tolist()) == figure(whole.astype(np.float32)) == figure(whole)


@each_figure
def test_where_the_heat_lies_does_not_count(figure: Figure) -> None:
    heat = random_heat(6, 8)
    shuffled = np.random.default_rng(0).permutation(heat.ravel()).reshape(12, 4)
    assert figure(shuffled) == pytest.approx(figure(heat))


@each_figure
def test_a_stack_gives_the_figures_of_its_single_maps(figure: Figure) -> None:
    heats = random_heat(2, 3, 5, 4)
    heats[1, 1] = 0
    found = figure(heats)
    assert found.shape == (2, 3)
    assert found.dtype == np.float64
    one_by_one = [[float(figure(heat)) for heat in row] for row in heats]
    np.testing.assert_allclose(found, one_by_one, rtol=1e-12)


# area


@each_figure
def test_uncovered_parts_of_an_image_count_as_without_heat(figure: Figure) -> None:
    heat = random_heat(4, 5)
    image = np.zeros((10, 8))
    image[3:7, 2:7] = heat
    assert figure(heat, area=80) == pytest.approx(figure(image))
    assert figure(heat, area=80) != pytest.approx(figure(heat))


@each_figure
def test_an_image_may_be_smaller_than_what_the_map_covers(figure: Figure) -> None:
    # The rim of a padded input's map lies outside the image, where no heat is counted.
    image = random_heat(4, 5)
    padded = np.pad(image, 2)
    assert figure(padded, area=20) == pytest.approx(figure(image))


@each_figure
def test_each_map_may_have_its_own_area(figure: Figure) -> None:
    heats = random_heat(3, 4, 5)
    areas = np.array([20, 31.5, 400])
    expected = [figure(heat, area=area) for heat, area in zip(heats, areas, strict=True)]
    np.testing.assert_allclose(figure(heats, area=areas), expected)


@each_figure
@pytest.mark.parametrize("area", [0, -3, float("nan"), [20, 0]])
def test_an_empty_area_is_refused(figure: Figure, area: object) -> None:
    with pytest.raises(ArgumentError, match="area must be a number of samples above 0"):
        figure(np.ones((2, 4, 5)), area=area)


@each_figure
@pytest.mark.parametrize("value", [-1e-9, np.nan, np.inf])
def test_impossible_heat_is_refused(figure: Figure, value: float) -> None:
    with pytest.raises(ArgumentError, match="heat must be finite and >= 0"):
        figure([[1, value]])


@each_figure
@pytest.mark.parametrize("shape", [(), (3,), (0, 3), (2, 0, 0)])
def test_arrays_that_are_not_maps_are_refused(figure: Figure, shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ArgumentError, match=r"heat must be \(\.\.\., height, width\), not of shape"
    ):
        figure(np.zeros(shape))


# against other implementations


def test_effective_area_is_scipys_entropy() -> None:
    for heat in random_heat(20, 7, 9):
        expected = np.exp(scipy.stats.entropy(heat.ravel())) / heat.size
        assert metrics.effective_area(heat) == pytest.approx(expected, rel=1e-12)


def test_gini_is_the_mean_difference_over_twice_the_mean() -> None:
    for heat in random_heat(20, 7, 9):
        values = heat.ravel()
        differences = np.abs(values[:, None] - values).mean()
        assert metrics.gini(heat) == pytest.approx(differences / (2 * values.mean()), rel=1e-12)


def test_half_mass_area_is_that_of_a_loop_over_sorted_samples() -> None:
    for heat in random_heat(20, 7, 9):
        missing, samples = heat.sum() / 2, 0.0
        for value in sorted(heat.ravel(), reverse=True):
            if value >= missing:
                samples += missing / value
                break
            missing, samples = missing - value, samples + 1
        assert metrics.half_mass_area(heat) == pytest.approx(samples / heat.size, rel=1e-12)


@imports_quantus
def test_gini_is_quantus_sparseness() -> None:
    import quantus

    heats = random_heat(8, 7, 9)
    metric = quantus.Sparseness(disable_warnings=True)
    # Quantus adds 1e-7 to all heat.
    expected = metric(None, np.zeros((8, 1, 7, 9)), None, a_batch=heats[:, None].copy())
    np.testing.assert_allclose(metrics.gini(heats), expected, atol=1e-6)


@imports_quantus
def test_effective_area_is_the_exponential_of_quantus_complexity() -> None:
    import quantus

    heats = random_heat(8, 7, 9)
    metric = quantus.Complexity(disable_warnings=True)
    # Quantus adds 1e-12 within the logarithm.
    entropy = metric(None, np.zeros((8, 1, 7, 9)), None, a_batch=heats[:, None].copy())
    expected = np.exp(np.array(entropy)) / 63
    np.testing.assert_allclose(metrics.effective_area(heats), expected, rtol=1e-9)


# maps of several grids


def blob(grid: int, place: tuple[float, float], spread: float) -> NDArray[np.float64]:
    """Return a Gaussian, in shares of the sides, averaged over a grid's cells."""
    edges = np.arange(grid + 1) / grid
    across, down = (np.diff(ndtr((edges - at) / spread)) for at in place)
    return np.outer(down, across) * grid**2


def differ(values: list[float]) -> float:
    return max(values) / min(values) - 1


@each_figure
@pytest.mark.parametrize("place", [(0.5, 0.5), (0.42, 0.55), (0.35, 0.65), (0.2, 0.3), (0.1, 0.5)])
@pytest.mark.parametrize("cells", [0.7, 0.8, 1, 1.3, 1.6])
def test_matched_maps_of_one_blob_have_the_same_figures(
    figure: Figure, cells: float, place: tuple[float, float]
) -> None:
    coarsest = min(GRIDS)
    maps = [blob(grid, place, cells / coarsest) for grid in GRIDS]
    matched = [match(heat[None], (1 / coarsest, 1 / coarsest))[0] for heat in maps]
    together = differ([float(figure(heat)) for heat in matched])
    apart = differ([float(figure(heat)) for heat in maps])
    assert together < 0.05
    # Unmatched, the maps are not comparable.
    assert apart > 4 * together


@each_figure
def test_unmatched_maps_of_a_small_blob_differ_by_more_than_matching_allows(figure: Figure) -> None:
    apart = [float(figure(blob(grid, (0.5, 0.5), 0.7 / 6))) for grid in GRIDS]
    assert differ(apart) > 0.05


@pytest.mark.parametrize(("grid", "coarsest"), [(14, 14), (20, 14), (48, 14), (48, 20)])
def test_a_matched_blob_in_closed_form(grid: int, coarsest: int) -> None:
    spread = 0.06
    # A cell of the coarser grid blurs by a box and by a triangle: 1/12 + 1/6 of its square.
    variance = spread**2 + 1 / (4 * coarsest**2)
    heat = match(blob(grid, (0.48, 0.53), spread)[None], (1 / coarsest, 1 / coarsest))[0]
    disc = 2 * np.pi * variance
    assert metrics.effective_area(heat) == pytest.approx(np.e * disc, rel=0.02)
    # A sample is itself a mean over its area.
    assert metrics.half_mass_area(heat) == pytest.approx(np.log(2) * disc, rel=0.035)
    assert metrics.gini(heat) == pytest.approx(1 - 2 * disc, rel=0.01)


def test_matching_treats_rows_and_columns_separately() -> None:
    heat = random_heat(1, 5, 9)
    turned = match(heat.transpose(0, 2, 1), (1 / 4, 1 / 5))
    np.testing.assert_allclose(match(heat, (1 / 5, 1 / 4)), turned.transpose(0, 2, 1))
    even = np.ones((1, 9, 1)) * heat[:, :1]
    np.testing.assert_allclose(match(even, (1 / 3, 1 / 9)), match(even), atol=1e-6)


CELLS = [None, (1 / 9, 1 / 9), (1 / 7, 1 / 7), (1 / 6, 1 / 3), (1.0, 1.0)]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("at", [(0, 0), (0, 3), (3, 3), (6, 4)])
def test_matching_keeps_the_heat_of_a_cell(
    at: tuple[int, int], cell: tuple[float, float] | None
) -> None:
    heat = np.zeros((1, 7, 7), np.float32)
    heat[0][at] = 2
    matched = match(heat, cell)
    assert matched.shape == (1, SAMPLES, SAMPLES)
    assert matched.dtype == np.float64
    assert matched.min() >= 0
    # The sum of a triangle w samples wide to each side is off by at most 1 / (2 w ** 2), by rows
    # and by columns: 2.4 % each for 32 samples.
    assert matched.sum() == pytest.approx(2 * (SAMPLES / 7) ** 2, rel=0.049)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("grid", [3, 7, 12, 14, 16])
def test_matching_keeps_the_heat_of_a_map(grid: int, cell: tuple[float, float] | None) -> None:
    heat = random_heat(1, grid, grid)
    expected = heat.sum() * (SAMPLES / grid) ** 2
    assert match(heat, cell).sum() == pytest.approx(expected, rel=0.01)


def test_even_heat_stays_even() -> None:
    np.testing.assert_allclose(match(np.full((2, 3, 4), 0.7), (1 / 2, 1 / 2)), 0.7, rtol=1e-5)


def test_a_grid_is_not_matched_to_a_finer_one() -> None:
    heat = random_heat(1, 7, 7)
    for cell in ((1 / 7, 1 / 7), (1 / 14, 1 / 9)):
        np.testing.assert_array_equal(match(heat, cell), match(heat))
    assert not np.allclose(match(heat, (1 / 6, 1 / 6)), match(heat), rtol=0.01)


def test_a_stack_is_matched_like_its_single_maps() -> None:
    heats = random_heat(3, 7, 5)
    one_by_one = [match(heat[None], (1 / 4, 1 / 4))[0] for heat in heats]
    np.testing.assert_allclose(match(heats, (1 / 4, 1 / 4)), one_by_one)
