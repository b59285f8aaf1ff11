"""The dimensions of a layer's map, found from its shape."""

from __future__ import annotations

import pytest
import torch

from effcam.models.tracing.map_layout import MapShape, map_shape

SIZE = (64, 96)
GRID = (4, 6)
LYING = {
    "NCHW": MapShape("NCHW", GRID, 5),
    "NHWC": MapShape("NHWC", GRID, 5),
    "tokens": MapShape("tokens", GRID, 5),
    "tokens after others": MapShape("tokens", GRID, 5, 2),
}
SHAPES = {
    "NCHW": (2, 5, 4, 6),
    "NHWC": (2, 4, 6, 5),
    "tokens": (2, 24, 5),
    "tokens after others": (2, 26, 5),
}


@pytest.mark.parametrize("kind", LYING)
def test_a_map_is_recognised_by_its_shape(kind: str) -> None:
    assert map_shape(SHAPES[kind], SIZE, [], stride=2) == LYING[kind]


@pytest.mark.parametrize("kind", LYING)
def test_a_view_as_a_map_puts_each_value_at_its_cell(kind: str) -> None:
    lies = LYING[kind]
    output = torch.arange(2 * 26 * 5.0)[: torch.Size(SHAPES[kind]).numel()].reshape(SHAPES[kind])
    cells = lies.to_map(output)
    assert cells.shape == (2, 5, 4, 6)
    for row, column in [(0, 0), (1, 2), (3, 5)]:
        token = lies.prefix + 6 * row + column
        at = (token,) if lies.layout == "tokens" else (row, column)
        expected = output[:, :, *at] if lies.layout == "NCHW" else output[:, *at]
        assert torch.equal(cells[:, :, row, column], expected)


@pytest.mark.parametrize("kind", LYING)
def test_a_shape_fits_at_any_batch_size_and_no_other_does(kind: str) -> None:
    for other, shape in SHAPES.items():
        assert LYING[kind].fits(torch.empty(7, *shape[1:])) == (other == kind)


@pytest.mark.parametrize("kind", LYING)
def test_the_dimension_of_the_channels_counts_them(kind: str) -> None:
    assert SHAPES[kind][LYING[kind].channel_dimension] == 5


def test_where_both_could_be_cells_the_last_dimensions_are() -> None:
    assert map_shape((2, 7, 7, 7), (224, 224), [], stride=2) == MapShape("NCHW", (7, 7), 7)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((2, 64, 1, 1), (64, 64)),
        ((2, 64, 4, 6), (64, 64)),
        ((2, 64, 6, 4), SIZE),
        ((2, 3, 64, 64), (64, 64)),
        ((2, 5), (64, 64)),
        ((2, 4, 16, 6, 5), (64, 64)),
        ((2, 23, 5), (64, 64)),
        ((2, 1, 5), (64, 64)),
        ((2, 0, 5), (64, 64)),
    ],
)
def test_shapes_that_are_not_maps_of_the_image(
    shape: tuple[int, ...], size: tuple[int, int]
) -> None:
    assert map_shape(shape, size, [], stride=2) is None


def test_the_stride_decides_how_fine_a_map_may_be() -> None:
    shape, size = (2, 3, 64, 64), (64, 64)
    assert map_shape(shape, size, [], stride=1) == MapShape("NCHW", (64, 64), 3)
    assert map_shape(shape, size, [], stride=2) is None
    assert map_shape((2, 3, 32, 32), size, [], stride=2) == MapShape("NCHW", (32, 32), 3)
    assert map_shape((2, 3, 33, 33), size, [], stride=2) is None


@pytest.mark.parametrize("grid", [(4, 6), (5, 7), (4, 7)])
def test_of_an_image_that_is_not_square_a_grid_may_be_rounded(grid: tuple[int, int]) -> None:
    size = (135, 200)
    assert map_shape((2, 8, *grid), size, [], stride=2) == MapShape("NCHW", grid, 8)


@pytest.mark.parametrize(
    ("count", "prefix"), [(49, 0), (50, 1), (51, 2), (54, 5), (52, 3), (53, 4), (58, 9)]
)
def test_tokens_before_the_cells_are_counted(count: int, prefix: int) -> None:
    assert map_shape((2, count, 8), (224, 224), [], stride=2) == MapShape(
        "tokens", (7, 7), 8, prefix
    )


def test_the_prefix_that_a_module_states_takes_precedence() -> None:
    shape, size = (2, 17, 8), (64, 64)
    assert map_shape(shape, size, [], stride=2, prefixes=(8, 1)) == MapShape("tokens", (3, 3), 8, 8)
    assert map_shape(shape, size, [], stride=2, prefixes=(7, 1)) == MapShape("tokens", (4, 4), 8, 1)


def test_tokens_take_the_latest_grid_with_their_number_of_cells() -> None:
    shape, size = (2, 24, 8), (60, 120)
    for first, last in [((4, 6), (3, 8)), ((3, 8), (4, 6))]:
        lies = map_shape(shape, size, [first, last, (2, 4)], stride=2)
        assert lies == MapShape("tokens", last, 8)
    one_more = (2, 25, 8)
    assert map_shape(one_more, (96, 96), [(5, 5)], stride=2) == MapShape("tokens", (5, 5), 8)
    assert map_shape(one_more, size, [(4, 6)], stride=2) == MapShape("tokens", (4, 6), 8, 1)


def test_before_a_known_grid_there_may_be_tokens_of_any_number_up_to_16() -> None:
    for prefix in (6, 16):
        lies = map_shape((2, 64 + prefix, 8), (64, 64), [(8, 8)], stride=2)
        assert lies == MapShape("tokens", (8, 8), 8, prefix)
    assert map_shape((2, 64 + 17, 8), (64, 64), [(8, 8)], stride=2) is None
    assert map_shape((2, 4 + 4, 8), (64, 64), [(2, 2)], stride=2, prefixes=(0,)) is None


def test_a_grid_is_guessed_where_a_known_one_pools_to_it() -> None:
    size, grids = (96, 96), [(12, 12)]
    assert map_shape((2, 36, 8), size, grids, stride=2) == MapShape("tokens", (6, 6), 8)
    assert map_shape((2, 25, 8), size, grids, stride=2, prefixes=(0,)) is None
    assert map_shape((2, 25, 8), size, [], stride=2) == MapShape("tokens", (5, 5), 8)


def test_a_row_of_channels_is_no_row_of_tokens() -> None:
    assert map_shape((2, 16, 64), (64, 64), [(8, 8)], stride=2) is None
    assert map_shape((2, 16, 63), (64, 64), [(8, 8)], stride=2) == MapShape("tokens", (4, 4), 63)


def test_a_number_of_channels_is_not_one_more_than_a_square() -> None:
    assert map_shape((2, 17, 64), (64, 64), [(8, 8)], stride=2) == MapShape("tokens", (4, 4), 64, 1)
    assert map_shape((2, 18, 64), (64, 64), [(8, 8)], stride=2) is None
