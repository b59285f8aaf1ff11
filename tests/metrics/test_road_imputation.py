"""Imputation of missing pixels from their neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics.road import NoisyLinearImputer

from effcam.errors import ArgumentError
from effcam.metrics.road_imputation import _elimination_order, fill_in

if TYPE_CHECKING:
    from numpy.typing import NDArray


def random_image(channels: int = 3, height: int = 12, width: int = 15) -> NDArray[np.float32]:
    draw = np.random.default_rng(0)
    return draw.normal(0, 1, (channels, height, width)).astype(np.float32)


def hole(*places: tuple[int | slice, int | slice], shape: tuple[int, int] = (12, 15)) -> NDArray:
    missing = np.zeros(shape, bool)
    for place in places:
        missing[place] = True
    return missing


HOLES = {
    "a pixel": hole((4, 5)),
    "inside": hole((slice(3, 8), slice(4, 11))),
    "two": hole((slice(1, 3), slice(2, 5)), (slice(7, 10), slice(9, 12))),
    "at each border": hole((0, 3), (11, slice(5, 8)), (slice(4, 9), 0), (slice(2, 6), 14)),
    "at each corner": hole((0, 0), (11, 14), (slice(9, 12), slice(0, 3)), (slice(0, 2), 14)),
    "rows and columns": hole((5, slice(None)), (slice(None), 7)),
    "a ring": hole((slice(2, 10), slice(2, 10))) & ~hole((slice(4, 8), slice(4, 8))),
    "at random": np.random.default_rng(1).random((12, 15)) < 0.5,
    "most": np.random.default_rng(2).random((12, 15)) < 0.95,
    "all but one": ~hole((6, 6)),
}

each_hole = pytest.mark.parametrize("missing", HOLES.values(), ids=HOLES.keys())


# closed forms


def test_a_pixel_is_the_weighted_mean_of_its_neighbours() -> None:
    image = random_image()
    around = image[:, 3:6, 4:7]
    direct = around[:, [0, 1, 1, 2], [1, 0, 2, 1]].sum(1)
    diagonal = around[:, [0, 0, 2, 2], [0, 2, 0, 2]].sum(1)
    found = fill_in(image, hole((4, 5)))
    np.testing.assert_allclose(found[:, 4, 5], direct / 6 + diagonal / 12, rtol=1e-5)


def test_at_the_border_only_existing_neighbours_count() -> None:
    image = random_image()
    found = fill_in(image, hole((0, 0), (11, 7)))
    corner = (2 * image[:, 0, 1] + 2 * image[:, 1, 0] + image[:, 1, 1]) / 5
    np.testing.assert_allclose(found[:, 0, 0], corner, rtol=1e-5)
    direct = image[:, 11, 6] + image[:, 11, 8] + image[:, 10, 7]
    border = (2 * direct + image[:, 10, 6] + image[:, 10, 8]) / 8
    np.testing.assert_allclose(found[:, 11, 7], border, rtol=1e-5)


@each_hole
def test_an_even_image_stays_even(missing: NDArray[np.bool_]) -> None:
    image = np.ones((2, 12, 15), np.float32) * np.array([[[3]], [[-7]]], np.float32)
    np.testing.assert_allclose(fill_in(image, missing), image, rtol=1e-5)


def test_a_slope_continues_through_a_hole() -> None:
    rows, columns = np.mgrid[:12, :15]
    image = np.stack([rows + 0.5 * columns, 3 - columns]).astype(np.float32)
    for name in ("a pixel", "inside", "two", "a ring"):
        np.testing.assert_allclose(fill_in(image, HOLES[name]), image, atol=1e-4)


@each_hole
def test_each_missing_pixel_is_the_mean_of_its_neighbours_and_the_others_stay(
    missing: NDArray[np.bool_],
) -> None:
    image = random_image()
    found = fill_in(image, missing)
    np.testing.assert_array_equal(found[:, ~missing], image[:, ~missing])
    for row, column in np.argwhere(missing):
        total, weights = np.zeros(3), 0.0
        for down in range(max(row - 1, 0), min(row + 2, 12)):
            for across in range(max(column - 1, 0), min(column + 2, 15)):
                moves = abs(down - row) + abs(across - column)
                weight = {0: 0, 1: 2, 2: 1}[moves]
                total += weight * found[:, down, across]
                weights += weight
        np.testing.assert_allclose(found[:, row, column], total / weights, atol=1e-5)
    assert found.min() >= image.min()
    assert found.max() <= image.max()


def test_an_image_without_holes_is_copied() -> None:
    image = random_image()
    found = fill_in(image, hole())
    np.testing.assert_array_equal(found, image)
    assert not np.shares_memory(found, image)


@each_hole
def test_values_of_missing_pixels_do_not_matter(missing: NDArray[np.bool_]) -> None:
    image = random_image()
    broken = np.where(missing, np.nan, image)
    np.testing.assert_array_equal(fill_in(broken, missing), fill_in(image, missing))


def test_the_image_and_the_mask_are_not_changed() -> None:
    image, missing = random_image(), HOLES["at random"].copy()
    image.setflags(write=False)
    missing.setflags(write=False)
    fill_in(image, missing)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_channels_are_imputed_separately_in_float32(channels: int, dtype: type) -> None:
    image = random_image(channels).astype(dtype)
    found = fill_in(image, HOLES["inside"])
    assert found.dtype == np.float32
    alone = [fill_in(image[[at]], HOLES["inside"])[0] for at in range(channels)]
    np.testing.assert_allclose(found, alone, atol=1e-6)


# refused


def test_an_image_without_any_pixel_left_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"some but not all.* missing, not 180 of \(12, 15\)"):
        fill_in(random_image(), np.ones((12, 15), bool))


@pytest.mark.parametrize(("image", "missing"), [((12, 15), (12, 15)), ((3, 12, 15), (15, 12))])
def test_shapes_that_do_not_fit_are_refused(
    image: tuple[int, ...], missing: tuple[int, ...]
) -> None:
    with pytest.raises(ArgumentError, match=r"an image is \(channels, height, width\), not"):
        fill_in(np.zeros(image), np.zeros(missing, bool))


# against other implementations


@each_hole
@pytest.mark.parametrize("channels", [1, 4])
# grad-cam 1.5 passes a tensor to NumPy to find its zeros, at which NumPy 2 warns.
@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept context:DeprecationWarning")
def test_it_is_grad_cams_imputer_without_noise(missing: NDArray[np.bool_], channels: int) -> None:
    image = random_image(channels)
    keep = torch.from_numpy((~missing).astype(np.float32))
    expected = NoisyLinearImputer(noise=0)(torch.from_numpy(image), keep)
    np.testing.assert_allclose(fill_in(image, missing), expected.numpy(), atol=1e-5)


@each_hole
# Quantus 0.6 has invalid escapes such as "\e" in docstrings; Python warns when it compiles them.
@pytest.mark.filterwarnings("ignore:.*invalid escape sequence")
def test_it_is_quantus_imputation_without_noise(missing: NDArray[np.bool_]) -> None:
    from quantus.functions.perturb_func import noisy_linear_imputation

    image = random_image()
    expected = noisy_linear_imputation(image, np.flatnonzero(missing), noise=0)
    np.testing.assert_allclose(fill_in(image, missing), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (9, 7), (30, 64)])
def test_the_order_of_elimination_has_each_pixel_once(shape: tuple[int, int]) -> None:
    order = _elimination_order(*shape)
    np.testing.assert_array_equal(np.sort(order, axis=None), np.arange(order.size))


def test_the_line_between_two_halves_comes_last() -> None:
    order = _elimination_order(8, 40)
    assert set(order[:, 20]) == set(range(312, 320))
