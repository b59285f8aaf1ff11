"""Checkpoints of a training compared: one network at a time, animations, and the timeline."""

from __future__ import annotations

import gc
import itertools
import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import effcam
from effcam import Box, Comparison, ModelSpec, Preprocess
from effcam.comparison.pictures.frames import frames
from effcam.comparison.pictures.placement import column_headings
from effcam.comparison.pictures.style import Style
from effcam.drawing import overlay
from effcam.errors import ArgumentError, CellError
from effcam.models.traced_layers import TRACED
from effcam.models.training_stage import TrainingStage
from tests.nets import ConvNet

EPOCHS = 4
PREPROCESS = Preprocess(size=(32, 32), resize=(32, 32), mode="squash")
PHOTOS = [*np.random.default_rng(0).random((7, 32, 40, 3))]
BOXES = [Box(2, 2, 20, 20)] * len(PHOTOS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training: files as Lightning writes them, and ``last.ckpt``."""
    folder = tmp_path_factory.mktemp("run")
    for epoch in range(EPOCHS):
        torch.manual_seed(epoch)
        state = {f"model.{name}": value for name, value in ConvNet().state_dict().items()}
        content = {
            "epoch": epoch,
            "global_step": 10 * (epoch + 1),
            "state_dict": state | {"criterion.weight": torch.ones(5)},
            "callbacks": {},
        }
        torch.save(content, folder / f"epoch={epoch}-val_acc=0.{epoch + 1}25.ckpt")
    torch.save(content, folder / "last.ckpt")
    return folder


def spec(make: Any = ConvNet) -> ModelSpec:
    return ModelSpec("mine", constructor=make, preprocess=PREPROCESS)


def compare(run: Path, count: int = len(PHOTOS), **options: Any) -> Comparison:
    columns = effcam.checkpoints(run / "epoch=*.ckpt", spec())
    return effcam.compare(PHOTOS[:count], columns, device="cpu", progress=False, **options)


@pytest.fixture(scope="module")
def compared(run: Path) -> Comparison:
    return compare(run)


def test_the_columns_are_what_their_files_hold(compared: Comparison) -> None:
    assert compared.columns == ("epoch 0", "epoch 1", "epoch 2", "epoch 3")
    torch.manual_seed(2)
    known = effcam.compare(
        PHOTOS[0],
        effcam.load_model(ConvNet().eval(), preprocess=PREPROCESS),
        device="cpu",
        progress=False,
    )
    np.testing.assert_allclose(compared[0, "epoch 2"].heatmap, known[0, 0].heatmap, atol=1e-5)
    assert [str(each.training) for each in compared.facts][2:] == [
        "epoch 2, step 30, val_acc 0.325",
        "epoch 3, step 40, val_acc 0.425",
    ]


def test_one_network_is_alive_at_a_time_and_one_trace_is_enough(run: Path) -> None:
    alive: weakref.WeakSet[torch.nn.Module] = weakref.WeakSet()
    counts = []

    def build() -> ConvNet:
        gc.collect()
        counts.append(len(alive))
        net = ConvNet()
        alive.add(net)
        return net

    TRACED._found.clear()
    effcam.compare(PHOTOS[0], effcam.checkpoints(run, spec(build)), device="cpu", progress=False)
    assert len(counts) >= EPOCHS + 1
    # A network may be built again, to learn the number of classes.
    assert max(counts) <= 1
    assert len(TRACED._found) == 1


def test_last_which_equals_an_epoch_is_kept_and_agrees_with_it(run: Path) -> None:
    columns = effcam.checkpoints(run, spec())
    assert list(columns)[-2:] == ["epoch 3", "epoch 3 (last)"]
    found = effcam.compare(PHOTOS[:2], columns, device="cpu", progress=False)
    assert found.agreement()[3, 4] == pytest.approx(1)
    # Epochs and steps are those of two columns, which lie on one another.
    (line,) = found.timeline(figures=["gini"]).axes[0].lines
    assert [float(each) for each in line.get_xdata()] == [0, 1, 2, 3, 3]


# Pictures


def test_headings_have_the_metric_that_most_columns_have(compared: Comparison) -> None:
    details = [heading.detail for heading in column_headings(compared)]
    assert [each.split(" · ")[0] for each in details] == [f"val_acc 0.{n}25" for n in range(1, 5)]
    stages = [
        TrainingStage(0),
        TrainingStage(1, 9, {"loss": 2}),
        TrainingStage(2, 9, {"loss": 1, "acc": 0.5}),
        None,
    ]
    facts = tuple(
        replace(each, training=stage) for each, stage in zip(compared.facts, stages, strict=True)
    )
    found = [
        each.detail.split(" · ")[0] for each in column_headings(replace(compared, facts=facts))
    ]
    assert found == ["features", "loss 2", "loss 1", "features"]


def test_an_animation_over_epochs_has_a_frame_for_each(
    compared: Comparison, tmp_path: Path
) -> None:
    file = compared.take([0, 1, 2]).save(tmp_path / "epochs.gif", rows="models", width=64)
    with Image.open(file) as animation:
        assert animation.n_frames == EPOCHS  # type: ignore[attr-defined]
        assert animation.info["duration"] == 1000
        width, height = animation.size
    assert 3 * 64 < width < 3 * 64 + 40
    assert height > 2 * 52  # the photos, and the heat below them


def test_an_animation_over_many_columns_is_quicker(compared: Comparison, tmp_path: Path) -> None:
    one = compared.take([0])
    many = replace(
        one,
        columns=tuple(map(str, range(40))),
        cells=tuple(replace(one.cells[n % 4], column=str(n)) for n in range(40)),
        facts=(),
    )
    for seconds, expected in ((None, 500), (0.1, 100)):
        file = many.save(tmp_path / "many.gif", rows="models", width=64, seconds=seconds)
        with Image.open(file) as animation:
            assert animation.info["duration"] == expected


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("original", [True, False])
def test_a_frame_names_its_column_and_shows_the_photos_side_by_side(
    compared: Comparison, images: int, original: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "effcam.comparison.pictures.frames.sheet",
        lambda headings, rows, **style: calls.append({"headings": headings, "rows": rows, **style}),
    )
    part = compared.take(range(images))
    list(frames(part, Style(rows="models", original=original, title="Run 1", width=64)))
    assert len(calls) == EPOCHS
    detail = "val_acc 0.225 · features · 8\u00a0x\u00a08"
    names = [image.name for image in part.images]
    headings = [each.title for each in calls[1]["headings"]]
    shape = [len(row) for row in calls[1]["rows"]]
    if images == 1:
        assert calls[1]["title"] == "Run 1"
        assert headings == ["Original", "epoch 1"][not original :]
        assert calls[1]["headings"][-1].detail == detail
        assert shape == [1 + original]
    else:
        assert calls[1]["title"] == f"Run 1 · epoch 1 · {detail}"
        assert headings == names
        assert shape == [3] * (1 + original)
    cell, heat = part[images - 1, "epoch 1"], calls[1]["rows"][-1][-1]
    assert heat.lines == cell.caption()
    photo = overlay.fit(cell.image.photo().picture, 64, 64)
    assert heat.picture == cell.over(photo, alpha=0.5, colormap="turbo")


# The timeline


def test_the_timeline_has_the_summarys_figures(compared: Comparison) -> None:
    labels = [0, 1, 2, 3, 4, 0, 1]
    known = {"boxes": BOXES, "labels": labels}
    table = compared.timeline_table(**known)  # type: ignore[arg-type]
    assert json.loads(json.dumps(table)) == table
    summary = compared.summary(**known, fair=False)  # type: ignore[arg-type]
    assert [row["column"] for row in table] == list(compared.columns)
    assert [(row["epoch"], row["step"]) for row in table] == [
        (epoch, 10 * (epoch + 1)) for epoch in range(EPOCHS)
    ]
    assert [row["logged_val_acc"] for row in table] == [0.125, 0.225, 0.325, 0.425]
    for key in ("effective_area", "energy_pointing_game", "accuracy"):
        measure = summary.measure(key)
        assert [row[key] for row in table] == list(measure.values)
        assert [row[f"{key}_low"] for row in table] == list(measure.low)
        assert [row[f"{key}_n"] for row in table] == [7] * EPOCHS


def test_agreement_with_the_last_is_a_column_of_the_agreement(compared: Comparison) -> None:
    found = [row["agreement_with_last"] for row in compared.timeline_table()]
    assert found[-1] is None
    np.testing.assert_allclose(
        np.array(found[:-1], float), compared.agreement()[:-1, -1], atol=1e-12
    )
    row = compared.timeline_table()[0]
    low, value, high = (row[f"agreement_with_last{end}"] for end in ("_low", "", "_high"))
    assert -1 <= low < value < high <= 1  # type: ignore[operator]


def test_what_is_not_annotated_is_not_shown(compared: Comparison) -> None:
    keys = {key for row in compared.timeline_table() for key in row}
    assert {"effective_area", "agreement_with_last"} <= keys
    assert keys.isdisjoint({"energy_pointing_game", "accuracy"})
    assert len(compared.timeline().axes) == 2
    assert len(compared.timeline(boxes=BOXES, labels=[0] * 7).axes) == 4


def staged(compared: Comparison, *stages: TrainingStage | None) -> Comparison:
    facts = [
        replace(each, training=stage) for each, stage in zip(compared.facts, stages, strict=True)
    ]
    return replace(compared, facts=tuple(facts))


S = TrainingStage


@pytest.mark.parametrize(
    ("stages", "axis", "order"),
    [
        ([S(3), S(1), S(0.5), S(2)], "epoch", [2, 1, 3, 0]),
        ([S(0, 4), S(0, 8), S(1, 12), S(1, 16)], "step", [0, 1, 2, 3]),
        ([S(None, 9), S(None, 7), S(None, 8), S(None, 6)], "step", [3, 1, 2, 0]),
        ([S(0), S(1), S(2), None], "column, in the order given", [0, 1, 2, 3]),
        ([None] * 4, "column, in the order given", [0, 1, 2, 3]),
        # Other networks of the same epochs and steps are of another training.
        ([S(0, 4), S(0, 4), S(1, 8), S(1, 8)], "column, in the order given", [0, 1, 2, 3]),
    ],
)
def test_the_axis_is_the_epoch_the_step_or_the_column(
    compared: Comparison, stages: list[TrainingStage | None], axis: str, order: list[int]
) -> None:
    given = staged(compared, *stages)
    chart = given.timeline(figures=["gini", "agreement_with_last"])
    assert chart.axes[-1].get_xlabel() == axis
    rows = given.timeline_table(figures=["gini"])
    assert [row["column"] for row in rows] == [given.columns[at] for at in order]
    gini = given.summary().measure("gini").values[order]
    np.testing.assert_allclose(np.asarray(chart.axes[0].lines[0].get_ydata(), float), gini)
    # The last is that of the axis.
    last = given.columns[order[-1]]
    assert chart.axes[1].get_title("left") == f"rank correlation of maps with those of {last}"


def test_several_methods_have_a_line_and_a_last_column_each(run: Path) -> None:
    found = compare(run, 3, method=["gradcam", "layercam"])
    chart = found.timeline()
    assert [line.get_label() for line in chart.axes[0].lines] == ["gradcam", "layercam"]
    (legend,) = chart.legends
    assert [text.get_text() for text in legend.get_texts()] == ["gradcam", "layercam"]
    rows = {row["column"]: row for row in found.timeline_table()}
    agreement = found.agreement()
    place = {column: at for at, column in enumerate(found.columns)}
    for method in ("gradcam", "layercam"):
        own = [column for column in found.columns if column.endswith(method)]
        first, last = place[own[0]], place[own[-1]]
        assert rows[own[0]]["agreement_with_last"] == pytest.approx(agreement[first, last])
        assert rows[own[-1]]["agreement_with_last"] is None


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_in_the_chart_covers_anything_else(run: Path, theme: Any) -> None:
    long = {
        f"{'a model of a long name ' * 2}{n}": model
        for n, model in enumerate([*effcam.checkpoints(run / "epoch=*.ckpt", spec()).values()] * 6)
    }
    long = {name: replace(model, training=None) for name, model in long.items()}
    found = effcam.compare(PHOTOS[:2], long, device="cpu", progress=False)
    chart = found.timeline(boxes=BOXES[:2], labels=[0, 1], theme=theme)
    chart.draw_without_rendering()
    texts = [text for axes in chart.axes for text in axes.get_xticklabels()]
    shown = [text for text in texts if text.get_text() and text.get_visible()]
    titles = [each for axes in chart.axes for each in (axes.title, axes._left_title)]  # type: ignore[attr-defined]
    boxes = [text.get_window_extent() for text in titles if text.get_text()]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert len(shown) <= 16
    page = chart.bbox
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 for box in boxes)
    bottom = chart.texts[-1].get_window_extent()
    assert bottom.y0 >= page.y0
    assert not any(bottom.overlaps(axes.xaxis.label.get_window_extent()) for axes in chart.axes)


def test_the_chart_says_on_what_it_rests(compared: Comparison, run: Path) -> None:
    assert compared.timeline()._supxlabel.get_text() == (  # type: ignore[attr-defined]
        "7 images; bands: 95 % interval; columns explain different classes"
    )
    found = compare(run, 2, target=1)
    assert found.timeline()._supxlabel.get_text() == "2 images; no intervals below 6 images"  # type: ignore[attr-defined]


def test_a_chart_is_saved_in_each_format(compared: Comparison, tmp_path: Path) -> None:
    for name in ("a.png", "a.svg", "a.pdf"):
        compared.timeline(theme="dark").savefig(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    image: Any = compared.timeline()
    assert image._repr_png_().startswith(b"\x89PNG")


def test_what_makes_no_timeline_is_refused(compared: Comparison, run: Path) -> None:
    one = effcam.checkpoints(run / "last.ckpt", spec())
    alone = effcam.compare(PHOTOS[0], one, device="cpu", progress=False)
    with pytest.raises(ArgumentError, match="a timeline needs two or more models"):
        alone.timeline()
    with pytest.raises(CellError, match=r"no figure is called 'ginni'\. Did you mean 'gini'"):
        compared.timeline(figures=["ginni"])
    with pytest.raises(ArgumentError, match="no column has a value of any figure"):
        compared.timeline(figures=[])
    with pytest.raises(ArgumentError, match="theme must be 'light' or 'dark', not 'blue'"):
        compared.timeline(theme="blue")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="fair must be True or False, not None"):
        compared.timeline(fair=None)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="there are no images"):
        compared.take([]).timeline()
