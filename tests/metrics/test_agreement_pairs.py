"""Agreement of columns, image by image: 1 for the same map, -1 for its reverse, NaN for none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from effcam.cam.explanation import Explanation
from effcam.errors import ArgumentError
from effcam.images.geometry import Box
from effcam.images.refs import ImageRef
from effcam.metrics.agreement import (
    AGREEMENT_TITLES,
    MEASURES,
    agreement_matrix,
    least_agreed,
    pair_agreements,
)


def explain(
    heatmap: Any, size: tuple[int, int] = (96, 96), canvas: Box | None = None, **changes: Any
) -> Explanation:
    """A cell whose map covers ``canvas``, by default the whole image."""
    canvas = canvas or Box(0, 0, *size)
    cell = Explanation(
        image=ImageRef("photo.png", Image.new("RGB", size)),
        column="column",
        model="net",
        weights="as given",
        method="gradcam",
        target_layer="layer4",
        target=0,
        label="ant",
        probability=0.5,
        predicted=0,
        predicted_label="ant",
        predicted_probability=0.5,
        heatmap=np.asarray(heatmap, np.float32),
        size=size,
        region=canvas.clip(*size),
        canvas=canvas,
        state="ok",
    )
    return replace(cell, **changes)


def noise(seed: int, shape: tuple[int, int] = (7, 7)) -> Any:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


NAN = float("nan")


def test_the_same_map_agrees_and_its_reverse_does_not() -> None:
    same, reverse = noise(0), 1 - noise(0)
    pairs = pair_agreements([[explain(same), explain(3 * same), explain(reverse)]], "spearman")
    expected = [[[1, 1, -1], [1, 1, -1], [-1, -1, 1]]]
    np.testing.assert_allclose(pairs, expected, atol=1e-3)


def test_hottest_fifths_overlap_wholly_or_not_at_all() -> None:
    left, right = np.zeros((5, 5)), np.zeros((5, 5))
    left[:, 0] = right[:, -1] = 1
    pairs = pair_agreements([[explain(left), explain(2 * left), explain(right)]], "iou")
    np.testing.assert_allclose(pairs, [[[1, 1, 0], [1, 1, 0], [0, 0, 1]]], atol=1e-6)


@pytest.mark.parametrize("measure", MEASURES)
def test_each_image_is_measured_by_itself(measure: Any) -> None:
    rows = [[explain(noise(3 * row + at)) for at in range(3)] for row in range(4)]
    pairs = pair_agreements(rows, measure)
    assert pairs.shape == (4, 3, 3)
    np.testing.assert_array_equal(pairs, pairs.transpose(0, 2, 1))
    assert (pairs[:, range(3), range(3)] == 1).all()
    for at, row in enumerate(rows):
        np.testing.assert_allclose(pair_agreements([row], measure)[0], pairs[at])
    assert np.unique(pairs).size > 9


def test_maps_of_two_grids_agree_where_they_say_the_same() -> None:
    coarse = np.add.outer(np.arange(4), np.arange(4)) + 1.0
    fine = np.add.outer(np.arange(16), np.arange(16)) + 1.0
    assert pair_agreements([[explain(coarse), explain(fine)]], "spearman")[0, 0, 1] > 0.98


def test_crops_are_compared_on_what_both_saw() -> None:
    """Two crops of one slope agree; read without their places they would not."""
    left, right = Box(0, 0, 100, 100), Box(20, 0, 120, 100)

    def peak(box: Box) -> Explanation:
        centres = box.left + 2 * np.arange(50) + 1
        return explain(np.tile(np.exp(-(((centres - 60) / 15) ** 2)), (50, 1)), (120, 100), box)

    apart = replace(peak(right), canvas=left, region=left)
    assert pair_agreements([[peak(left), peak(right)]], "spearman")[0, 0, 1] > 0.999
    assert pair_agreements([[peak(left), apart]], "spearman")[0, 0, 1] < 0.9


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("state", ["flat", "nan"])
def test_without_evidence_nothing_is_compared(measure: Any, state: str) -> None:
    row = [explain(noise(0)), explain(noise(1), state=state), explain(noise(0))]
    expected = [[[1, NAN, 1], [NAN, NAN, NAN], [1, NAN, 1]]]
    np.testing.assert_allclose(pair_agreements([row], measure), expected)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_map_that_is_even_where_both_saw_the_image_is_not_compared(measure: Any) -> None:
    heatmap = np.zeros((16, 16))
    heatmap[0] = 1
    row = [explain(heatmap, (96, 48), Box(0, -24, 96, 72)), explain(noise(0), (96, 48))]
    assert np.isnan(pair_agreements([row], measure)[0, 0, 1])


def test_crops_without_a_common_part_are_not_compared() -> None:
    halves = Box(0, 0, 48, 96), Box(48, 0, 96, 96)
    row = [explain(noise(0), canvas=half) for half in halves]
    np.testing.assert_array_equal(pair_agreements([row], "spearman"), [[[1, NAN], [NAN, 1]]])


def test_of_no_images_or_one_column_there_is_little_to_say() -> None:
    assert pair_agreements([], "spearman").shape == (0, 0, 0)
    np.testing.assert_array_equal(pair_agreements([[explain(noise(0))]], "iou"), [[[1]]])


def test_a_measure_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(
        ArgumentError, match=r"^measure must be one of spearman, iou, not 'cosine'$"
    ):
        pair_agreements([[explain(noise(0))]], "cosine")  # type: ignore[arg-type]
    assert set(MEASURES) == set(AGREEMENT_TITLES)


# over the images


def test_the_matrix_is_the_mean_over_the_images_that_count() -> None:
    pairs = np.array(
        [
            [[1, 0.5, NAN], [0.5, 1, NAN], [NAN, NAN, NAN]],
            [[1, -0.1, 0.3], [-0.1, 1, NAN], [0.3, NAN, 1]],
        ]
    )
    np.testing.assert_allclose(
        agreement_matrix(pairs, 3), [[1, 0.2, 0.3], [0.2, 1, NAN], [0.3, NAN, 1]]
    )


def test_the_matrix_of_no_images_holds_no_numbers() -> None:
    assert np.isnan(agreement_matrix(np.zeros((0, 2, 2)), 2)).all()
    assert agreement_matrix(pair_agreements([], "spearman"), 0).shape == (0, 0)


def as_pairs(*means: float) -> Any:
    return np.array([[[1, mean], [mean, 1]] for mean in means])


def test_images_come_in_order_of_agreement_the_lowest_first() -> None:
    assert least_agreed(as_pairs(0.5, -0.2, 0.9, 0.0)) == [1, 3, 0, 2]


def test_images_that_agree_alike_keep_their_order() -> None:
    assert least_agreed(as_pairs(0.5, 0.2, 0.5, 0.2)) == [1, 3, 0, 2]


def test_images_in_which_nothing_can_be_compared_come_last() -> None:
    order = least_agreed(as_pairs(NAN, 1.0, NAN, -1.0))
    assert order == [3, 1, 0, 2]
    assert all(type(at) is int for at in order)


def test_the_agreement_of_an_image_is_the_mean_over_its_pairs_without_its_diagonal() -> None:
    pairs = np.full((2, 3, 3), NAN)
    pairs[:, range(3), range(3)] = 1
    pairs[0, [0, 0, 1], [1, 2, 2]] = [0.9, 0.0, 0.0]  # 0.3
    pairs[1, [0, 0], [1, 2]] = [0.0, 0.4]  # 0.2, with the third left out
    assert least_agreed(pairs) == [1, 0]
