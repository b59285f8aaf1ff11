"""The grid pointing game on one map, and the choice of images for its mosaics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from effcam import Box, Explanation, metrics
from effcam.images.refs import ImageRef
from effcam.metrics import grid_pointing
from effcam.metrics.grid_pointing import MOST, choose

if TYPE_CHECKING:
    from numpy.typing import NDArray


def random_heat(*shape: int, seed: int = 0) -> NDArray[np.float64]:
    return np.maximum(np.random.default_rng(seed).normal(0.4, 1, shape), 0)


# grid pointing game


@pytest.mark.parametrize("side", [1, 2, 3])
def test_constant_heat_is_shared_equally_by_all_tiles(side: int) -> None:
    for tile in range(side**2):
        share = metrics.grid_pointing_game(np.full((6, 6), 0.3), tile, side=side)
        assert share == pytest.approx(1 / side**2)


@pytest.mark.parametrize("tile", range(4))
def test_heat_well_within_a_tile_lies_on_it(tile: int) -> None:
    heat = np.zeros((8, 12))
    heat[4 * (tile // 2) + 1, 6 * (tile % 2) + 2] = 3
    shares = [metrics.grid_pointing_game(heat, each) for each in range(4)]
    assert shares == [float(each == tile) for each in range(4)]


def test_a_cell_beside_the_border_spreads_over_it() -> None:
    heat = np.zeros((8, 8))
    heat[1, 3] = 1
    # A triangle of one cell to each side: an eighth of its area lies beyond the next border.
    assert metrics.grid_pointing_game(heat, 0) == pytest.approx(7 / 8, abs=1e-3)
    assert metrics.grid_pointing_game(heat, 1) == pytest.approx(1 / 8, abs=1e-3)
    assert metrics.grid_pointing_game(heat, 2) == 0


@pytest.mark.parametrize("shape", [(2, 2), (7, 7), (5, 9)])
@pytest.mark.parametrize("side", [2, 3])
def test_the_shares_of_all_tiles_sum_to_one(shape: tuple[int, int], side: int) -> None:
    heat = random_heat(*shape)
    shares = [metrics.grid_pointing_game(heat, tile, side=side) for tile in range(side**2)]
    assert sum(shares) == pytest.approx(1)
    assert all(isinstance(share, float) for share in shares)


def test_tiles_are_in_reading_order() -> None:
    heat = random_heat(8, 8)
    for tile, other in ((0, 1), (2, 3)):
        flipped = metrics.grid_pointing_game(heat[:, ::-1], other)
        assert metrics.grid_pointing_game(heat, tile) == pytest.approx(flipped, rel=1e-5)
    for tile, other in ((0, 0), (1, 2), (3, 3)):
        turned = metrics.grid_pointing_game(heat.T, other)
        assert metrics.grid_pointing_game(heat, tile) == pytest.approx(turned, rel=1e-5)


def test_heat_of_any_scale_counts_the_same() -> None:
    heat = random_heat(7, 7)
    for scale in (1e-20, 1e20):
        found = metrics.grid_pointing_game(scale * heat, 1)
        assert found == pytest.approx(metrics.grid_pointing_game(heat, 1), rel=1e-5)


def test_without_heat_there_is_no_share() -> None:
    assert np.isnan(metrics.grid_pointing_game(np.zeros((4, 4)), 0))


def upsampled(heats: NDArray[np.float64], pixels: int) -> NDArray[np.float64]:
    return torch.nn.functional.interpolate(
        torch.from_numpy(heats)[:, None], (pixels, pixels), mode="bilinear", align_corners=False
    ).numpy()


@pytest.mark.parametrize(("grid", "side"), [(14, 2), (7, 2), (9, 3)])
def test_a_share_is_that_of_torchs_upsampled_map(grid: int, side: int) -> None:
    heats = random_heat(5, grid, grid)
    large = upsampled(heats, 50 * side)[:, 0]
    for heat, drawn in zip(heats, large, strict=True):
        for tile in range(side**2):
            rows, columns = (slice(50 * at, 50 * (at + 1)) for at in divmod(tile, side))
            expected = drawn[rows, columns].sum() / drawn.sum()
            # The two differ in how many px they sum over.
            found = metrics.grid_pointing_game(heat, tile, side=side)
            assert found == pytest.approx(expected, abs=0.002)


# Quantus 0.6 has invalid escapes such as "\e" in docstrings; Python warns when it compiles them.
@pytest.mark.filterwarnings("ignore:.*invalid escape sequence")
def test_a_share_is_quantus_focus_of_the_upsampled_map() -> None:
    import quantus

    heats = random_heat(8, 7, 7)
    tiles = [0, 1, 2, 3, 0, 1, 2, 3]
    metric = quantus.Focus(disable_warnings=True)
    # It uses neither model nor class, but requires them as arguments.
    expected = metric(
        torch.nn.Identity(),
        np.zeros((8, 1, 128, 128)),
        np.zeros(8, int),
        a_batch=upsampled(heats, 128),
        custom_batch=np.eye(4)[tiles],
    )
    found = [
        metrics.grid_pointing_game(heat, tile) for heat, tile in zip(heats, tiles, strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-5)


# choice of the images of a mosaic


def cell(target: int, probability: float, **changes: Any) -> Explanation:
    fields = {
        "image": ImageRef("noise.png", Image.new("RGB", (8, 8))),
        "column": "column",
        "model": "timm:resnet18",
        "weights": "a1_in1k",
        "method": "gradcam",
        "target_layer": "layer4",
        "target": target,
        "label": f"class {target}",
        "probability": probability,
        "predicted": target,
        "predicted_label": f"class {target}",
        "predicted_probability": probability,
        "heatmap": np.ones((2, 2), np.float32),
        "size": (8, 8),
        "region": Box(0, 0, 8, 8),
        "canvas": Box(0, 0, 8, 8),
        "frame": Box(0, 0, 8, 8),
        "state": "ok",
    }
    return Explanation(**fields | changes)


def test_a_mosaic_has_four_images_of_different_classes_most_confident_first() -> None:
    sure = [0.6, 0.9, 0.7, 0.8]
    rows = [[cell(at, probability)] for at, probability in enumerate(sure)]
    assert choose(rows) == [(1, 3, 2, 0)]


@pytest.mark.parametrize("count", range(4))
def test_fewer_than_four_images_make_none(count: int) -> None:
    assert choose([[cell(at, 0.9)] for at in range(count)]) == []


def test_images_of_one_class_do_not_share_a_mosaic() -> None:
    rows = [[cell(at // 2, 0.99 - at / 100)] for at in range(8)]
    assert choose(rows) == [(0, 2, 4, 6), (1, 3, 5, 7)]
    assert choose([[cell(at % 3, 0.9)] for at in range(12)]) == []


def test_an_image_is_in_at_most_one_mosaic() -> None:
    rows = [[cell(at, 0.99 - at / 100)] for at in range(11)]
    assert choose(rows) == [(0, 1, 2, 3), (4, 5, 6, 7)]


def test_images_with_an_unsure_or_wrong_prediction_are_left_out() -> None:
    rows = [[cell(at, 0.9), cell(at, 0.8)] for at in range(5)]
    assert choose(rows) == [(0, 1, 2, 3)]
    rows[1][1] = cell(1, 0.499)
    assert choose(rows) == [(0, 2, 3, 4)]
    rows[1][1] = cell(1, 0.5)
    assert choose(rows) == [(0, 2, 3, 4)]
    rows[0][0] = cell(0, 0.9, predicted=7)
    assert choose(rows) == [(2, 3, 4, 1)]


def test_the_least_confident_model_decides() -> None:
    rows = [[cell(at, 0.99), cell(at, 0.6 + at / 100)] for at in range(4)]
    assert choose(rows) == [(3, 2, 1, 0)]


def test_classes_differ_for_every_model() -> None:
    # The first model has one class per image, the second one class per two images.
    rows = [[cell(at, 0.9 - at / 100), cell(100 + at // 2, 0.95)] for at in range(8)]
    assert choose(rows) == [(0, 2, 4, 6), (1, 3, 5, 7)]


def test_mosaics_take_the_most_confident_of_many_images() -> None:
    rows = [[cell(at, 0.5 + at / 1000)] for at in range(4 * MOST + 9)]
    groups = choose(rows)
    assert len(groups) == MOST == grid_pointing.MOST
    picked = [at for group in groups for at in group]
    assert picked == list(range(4 * MOST + 8, 8, -1))
