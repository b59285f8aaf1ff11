"""Figures and measures: the best column, significant differences, and values as text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from effcam.errors import ArgumentError
from effcam.metrics.summary import Difference, Fact, Figure, Measure, Summary

AREA = Figure("effective_area", "effective area", "focus", "lower", "%")


def exact(figure: Figure, values: list[float]) -> Measure:
    return Measure(figure=figure, values=np.array(values))


# The best, and significant differences


def pair(p_value: float, better: Any = "higher") -> Measure:
    """Return columns of 0.5 and 0.4, of 8 images, with the corrected p-value of their test."""
    below, above, p_values = np.full((3, 2, 2), np.nan)
    # The interval is that of the pair alone: it may exclude zero where the test is not significant.
    below[0, 1], above[0, 1], p_values[0, 1] = 0.02, 0.3, p_value
    return Measure(
        figure=Figure("k", "title", "focus", better),
        values=np.array([0.5, 0.4]),
        counts=np.array([8, 8]),
        difference_low=below,
        difference_high=above,
        p_values=p_values,
    )


def timed(low: list[float], high: list[float]) -> Measure:
    """Return times with the ranges of their batches."""
    return Measure(
        figure=Figure("seconds", "time per image", "model", "lower", "ms"),
        values=(np.array(low) + np.array(high)) / 2,
        low=np.array(low),
        high=np.array(high),
        spread="batches",
    )


@pytest.mark.parametrize(
    ("p_value", "apart"), [(0.0, True), (0.05, True), (0.051, False), (1, False), (np.nan, False)]
)
def test_columns_differ_only_by_the_corrected_test(p_value: float, apart: bool) -> None:
    measure = pair(p_value)
    assert measure.tells_apart(0, 1) is apart
    assert measure.tells_apart(1, 0) is apart
    assert measure.compared(0, 1) is not np.isnan(p_value)


def test_one_triangle_of_differences_is_mirrored_with_its_sign() -> None:
    measure = pair(0.02)
    assert (measure.difference_low[1, 0], measure.difference_high[1, 0]) == (-0.3, -0.02)
    assert measure.p_values[1, 0] == 0.02


@pytest.mark.parametrize(("better", "best"), [("higher", 0), ("lower", 1), (None, None)])
def test_best_goes_by_the_better_side(better: Any, best: int | None) -> None:
    assert pair(0.01, better).best() == best


def test_best_ignores_nan_and_is_none_of_nothing() -> None:
    figure = Figure("k", "t", "g", "lower")
    assert exact(figure, [np.nan, 3.0, 2.0]).best() == 2
    assert exact(figure, [np.nan, np.nan]).best() is None
    assert exact(figure, [np.nan, np.nan]).among_best() == ()


def test_among_best_includes_columns_that_do_not_differ() -> None:
    assert pair(0.06).among_best() == (0, 1)
    assert pair(0.01).among_best() == (0,)


def test_of_exact_values_only_equal_ones_are_among_the_best() -> None:
    figure = Figure("k", "t", "g", "higher")
    assert exact(figure, [2.0, 1.999, 2.0, np.nan]).among_best() == (0, 2)
    assert exact(figure, [2.0, 1.999, 2.0, np.nan]).winners() == (0, 2)


def test_without_a_test_no_figure_of_images_has_a_winner() -> None:
    assert pair(np.nan).among_best() == (0, 1)
    assert pair(np.nan).winners() == ()


def test_times_differ_only_if_their_batches_do_not_overlap() -> None:
    measure = timed([1, 2, 3], [2.5, 4, 5])
    assert [measure.tells_apart(0, other) for other in (1, 2)] == [False, True]
    assert measure.among_best() == (0, 1)
    assert measure.winners() == ()
    assert timed([1, 2], [2, 3]).winners() == ()
    assert timed([1, 2.1], [2, 3]).winners() == (0,)


def test_times_of_few_batches_have_no_winner() -> None:
    measure = timed([np.nan, np.nan], [np.nan, np.nan])
    once = Measure(figure=measure.figure, values=np.array([0.001, 0.9]), spread="batches")
    assert once.winners() == ()
    assert not once.compared(0, 1)


def test_a_column_without_value_is_never_among_the_best() -> None:
    measure = Measure(
        figure=AREA,
        values=np.array([0.1, np.nan, 0.2]),
        counts=np.array([9, 0, 9]),
        p_values=np.full((3, 3), 0.9),
    )
    assert measure.among_best() == (0, 2)


def test_no_column_stands_out_where_all_are_among_the_best() -> None:
    assert pair(0.06).winners() == ()
    assert pair(0.01).winners() == (0,)
    assert exact(AREA, [0.2]).winners() == ()


def test_arrays_are_copied_and_cannot_be_written() -> None:
    values = np.array([1.0, 2.0])
    measure = Measure(figure=AREA, values=values)
    values[0] = 5
    assert measure.values[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        measure.values[0] = 3


def test_wrong_shapes_are_refused_with_both_shapes() -> None:
    with pytest.raises(ArgumentError, match=r"low of 'effective_area' .*\(2,\), not \(3,\)"):
        Measure(figure=AREA, values=np.zeros(2), low=np.zeros(3))
    with pytest.raises(ArgumentError, match=r"difference_low .*\(2, 2\), not \(2,\)"):
        Measure(figure=AREA, values=np.zeros(2), difference_low=np.zeros(2))
    with pytest.raises(ArgumentError, match="'grid' has 1 entries, but there are 2 columns"):
        Summary(columns=("a", "b"), images=1, used=1, facts=(Fact("grid", ("7 x 7",)),))


# Values as text


@pytest.mark.parametrize(
    ("unit", "digits", "value", "text"),
    [
        ("%", 1, 0.3124, "31.2 %"),
        ("", 3, 0.5, "0.500"),
        ("ms", 1, 0.0021, "2.1 ms"),
        ("M", 1, 61.1e6, "61.1 M"),
        ("G", 2, 0.714e9, "0.71 G"),
        ("%", 1, float("nan"), "-"),
        ("%", 1, -0.0001, "0.0 %"),
        ("", 0, 12.0, "12"),
    ],
)
def test_units_scale_what_is_shown(unit: Any, digits: int, value: float, text: str) -> None:
    assert Figure("k", "t", "g", None, unit, digits).show(value, unit=True) == text


def test_difference_reads_as_a_sentence_in_both_directions() -> None:
    up = Difference(AREA, "a", "b", 0.1, 0.05, 0.16)
    down = Difference(AREA, "a", "b", -0.1, -0.16, -0.05)
    end = "95 % interval [5.0, 16.0]"
    assert str(up) == f"effective area: a is 10.0 percentage points higher than b, {end}"
    assert str(down) == f"effective area: a is 10.0 percentage points lower than b, {end}"
    bare = Difference(AREA, "a", "b", 0.1, float("nan"), float("nan"))
    assert str(bare) == "effective area: a is 10.0 percentage points higher than b"
    time = Figure("time", "time", "model", "lower", "ms")
    assert "a is 5.0 ms higher than b" in str(Difference(time, "a", "b", 0.005, 0.001, 0.009))
