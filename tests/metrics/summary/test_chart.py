"""The chart: a point per column, intervals, labels, and figures that cannot be plotted."""

from __future__ import annotations

import io
import itertools
import sys
from typing import Any

import numpy as np
import pytest

from effcam.errors import ArgumentError, CellError, OutputError
from effcam.metrics.summary import Figure, Measure, Summary

COLUMNS = ("alexnet", "densenet121", "resnet152", "EB0", "EB3")
NASTY = ("a<b>", "x|y", "R&D_50%", "back\\slash{1}", "Größe #1 ~^$")
AREA = Figure("effective_area", "effective area", "focus", "lower", "%")
SIZE = Figure("parameters", "parameters", "model", "lower", "M")
GINI = Figure("gini", "Gini", "focus", "higher", "", 3)
GAME = Figure("pointing_game", "pointing game", "localisation", "higher", "%")
ENERGY = Figure("energy", "energy inside", "localisation", "higher", "%")
ACCURACY = Figure("accuracy", "accuracy", "model", "higher", "%")
FLOPS = Figure("flops", "operations", "model", "lower", "G")
TIME = Figure("time", "time", "model", "lower", "ms")


def measured(
    figure: Figure,
    values: list[float],
    half: float = np.nan,
    baselines: dict[str, float] | None = None,
) -> Measure:
    """Return a measure with intervals of ``half`` to each side, or with none."""
    array = np.array(values)
    return Measure(
        figure=figure,
        values=array,
        low=array - half,
        high=array + half,
        baselines=baselines or {},
    )


def build(columns: tuple[str, ...] = COLUMNS) -> Summary:
    game, energy = [0.712, 0.834, 0.846, 0.871, 0.865], [0.412, 0.523, 0.571, 0.589, np.nan]
    measures = (
        measured(AREA, [0.312, 0.221, 0.18, 0.121, 0.126], 0.015),
        measured(GINI, [0.412, 0.523, 0.571, 0.689, 0.68], 0.02),
        measured(GAME, game, 0.02, {"centre": 0.612, "uniform": 0.231}),
        measured(ENERGY, energy, 0.018, {"uniform": 0.235}),
        measured(ACCURACY, [0.565, 0.744, 0.783, 0.777, 0.816], 0.028),
        measured(SIZE, [61.1e6, 7.98e6, 60.19e6, 5.29e6, 12.23e6]),
        measured(FLOPS, [0.71e9, 2.83e9, 11.5e9, 0.39e9, 1.83e9]),
        measured(TIME, [0.0021, 0.0312, 0.0621, 0.0153, 0.0287]),
    )
    return Summary(columns=columns, images=1000, used=812, measures=measures)


def single() -> Summary:
    """Return the summary of one column."""
    return Summary(columns=("EB0",), images=1, used=1, measures=(measured(AREA, [0.25]),))


def points(chart: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the positions of the markers, (points, 2)."""
    return np.asarray(chart.axes[0].containers[0].lines[0].get_xydata())


def shown_texts(chart: Any) -> dict[str, Any]:
    return {text.get_text(): text for text in chart.axes[0].texts}


def test_chart_has_a_point_per_column_at_its_value() -> None:
    chart = build().plot("parameters", "effective_area")
    np.testing.assert_allclose(points(chart)[3], (5.29, 12.1))
    assert len(points(chart)) == 5
    assert set(COLUMNS) <= set(shown_texts(chart))


def test_chart_has_error_bars_as_long_as_the_intervals() -> None:
    _, _, (across, up) = build().plot("accuracy", "effective_area").axes[0].containers[0].lines
    low, high = up.get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((29.7, 32.7))
    left, right = across.get_segments()[0][:, 0]
    assert (left, right) == pytest.approx((53.7, 59.3))


def test_chart_leaves_out_columns_without_value() -> None:
    chart = build().plot("parameters", "energy")
    assert len(points(chart)) == 4
    assert "EB3" not in shown_texts(chart)


def test_chart_names_figures_units_and_better_sides() -> None:
    axes = build().plot("time", "gini").axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time, ms ↓", "Gini ↑")


@pytest.mark.parametrize(
    ("x", "scale"), [("parameters", "log"), ("flops", "log"), ("time", "linear")]
)
def test_only_sizes_have_a_logarithmic_axis(x: str, scale: str) -> None:
    assert build().plot(x, "gini").axes[0].get_xscale() == scale


def test_chart_draws_baselines_as_dashed_lines_with_names() -> None:
    chart = build().plot("parameters", "pointing_game")
    dashed = [line for line in chart.axes[0].lines if line.get_linestyle() == "--"]
    assert sorted(line.get_ydata()[0] for line in dashed) == pytest.approx([23.1, 61.2])
    assert {"centre", "uniform"} <= set(shown_texts(chart))


def test_names_of_close_baselines_do_not_cover_each_other() -> None:
    measure = measured(AREA, [0.1, 0.9], 0.01, baselines={"a": 0.5, "b": 0.501, "c": 0.502})
    across = measured(SIZE, [1e6, 2e6])
    summary = Summary(columns=("x", "y"), images=9, used=9, measures=(measure, across))
    texts = shown_texts(summary.plot())
    boxes = [texts[name].get_window_extent() for name in "abc"]
    assert boxes[0].y1 <= boxes[1].y0 + 1e-6
    assert boxes[1].y1 <= boxes[2].y0 + 1e-6


def test_labels_cover_neither_each_other_nor_points_nor_the_edge() -> None:
    # To the right of its point, a label in the middle would cover the next point, the last one the
    # edge.
    across = measured(TIME, [0, 0.015, 0.016, 0.018, 0.030])
    up = measured(AREA, [0.3, 0.20, 0.201, 0.20, 0.3], 0.05)
    labels = ("a first", "second model", "third model", "fourth model", "a last of a long label")
    summary = Summary(columns=labels, images=9, used=9, measures=(across, up))
    chart = summary.plot("time")
    boxes = [shown_texts(chart)[label].get_window_extent() for label in labels]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    places = chart.axes[0].transData.transform(points(chart))
    assert not any(box.contains(*place) for box in boxes for place in places)
    inside = chart.axes[0].bbox
    assert all(inside.x0 <= box.x0 and box.x1 <= inside.x1 for box in boxes)


def test_chart_prefers_localisation_then_focus_then_figures_with_a_better_side() -> None:
    summary = build()
    assert summary.plot().axes[0].get_ylabel() == "pointing game, % ↑"
    by_group = {
        group: tuple(each for each in summary.measures if each.figure.group in group)
        for group in (("focus", "model"), ("model",))
    }
    labels = [
        Summary(columns=COLUMNS, images=1, used=1, measures=measures).plot().axes[0].get_ylabel()
        for measures in by_group.values()
    ]
    assert labels == ["effective area, % ↓", "accuracy, % ↑"]


def test_chart_names_what_it_cannot_plot() -> None:
    with pytest.raises(CellError, match=r"'parameter'.* Did you mean 'parameters'"):
        build().plot("parameter")
    with pytest.raises(CellError, match="no figure is called 'parameters'"):
        single().plot()
    with pytest.raises(CellError, match="no figure to plot against 'effective_area'"):
        single().plot("effective_area")
    nothing = measured(Figure("b", "b", "focus", "lower"), [np.nan])
    summary = Summary(columns=("a",), images=1, used=1, measures=(*single().measures, nothing))
    with pytest.raises(ArgumentError, match="no column has values of both 'effective_area' and"):
        summary.plot("effective_area", "b")


def test_chart_does_not_interpret_labels() -> None:
    chart = build(("$x_1$", "$\\frac$", *NASTY[:3])).plot()
    stream = io.BytesIO()
    chart.savefig(stream, format="svg")
    assert "$x_1$" in shown_texts(chart)


def test_chart_is_displayed_in_notebooks_without_pyplot() -> None:
    before = "matplotlib.pyplot" in sys.modules
    image: Any = build().plot()
    assert image._repr_png_().startswith(b"\x89PNG")
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_chart_without_matplotlib_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(OutputError, match=r"figures need matplotlib: pip install matplotlib"):
        build().plot()
