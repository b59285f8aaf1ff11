"""The summary of hand-made comparisons, whose figures are known in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from effcam import Box, Comparison, Explanation, Summary
from effcam.errors import AnnotationError, ArgumentError, CellError, TargetError
from effcam.images.refs import ImageRef
from effcam.images.truth import Truth
from effcam.metrics import Faithfulness, max_box_acc
from effcam.metrics.sampling import grids_differ
from effcam.metrics.summary.definitions import FIGURES
from effcam.models.facts import ModelFacts

SIZE = (64, 64)
CLASSES = ("ant", "bee", "cow")
FOCUS = ("effective_area", "gini", "half_mass_area")
POINTS = ("pointing_game", "energy_pointing_game", "mass_area_ratio")
BOXED = ("max_box_acc", "max_box_acc_v2")


def delta(row: int = 3, column: int = 3, cells: int = 8) -> Any:
    """Return a map whose heat is in one cell; 8 cells a side are 8 px each."""
    heatmap = np.zeros((cells, cells), np.float32)
    heatmap[row, column] = 1
    return heatmap


def even(cells: int = 8) -> Any:
    return np.ones((cells, cells), np.float32)


def noise(seed: int, cells: int = 8) -> Any:
    return np.random.default_rng(seed).random((cells, cells), dtype=np.float32)


def cone(cells: int = 64) -> Any:
    """Return a map that falls from its middle to its edges; its level sets are squares."""
    across = np.abs(np.arange(cells) - (cells - 1) / 2)
    return (cells / 2 - np.maximum.outer(across, across)).astype(np.float32)


def centred(side: float) -> Box:
    """Return a square in the middle of the image."""
    return Box(32 - side / 2, 32 - side / 2, 32 + side / 2, 32 + side / 2)


def facts(name: str, classes: Sequence[str] = CLASSES, **changes: Any) -> ModelFacts:
    known = ModelFacts(
        name=name,
        weights="as given",
        parameters=2_000_000,
        flops=3_000_000_000,
        input_size=(64, 96),
        grid=(8, 8),
        target_layer="layer4",
        seconds=0.02,
        labels=tuple(classes),
        synonyms=tuple((each,) for each in classes),
    )
    return replace(known, **changes)


def build(
    maps: Sequence[Sequence[Any]],
    *,
    predicted: Sequence[Sequence[int]] | None = None,
    targets: Sequence[Sequence[int]] | None = None,
    truths: Sequence[Truth | None] | None = None,
    known: Sequence[ModelFacts] | None = None,
    canvas: Box | None = None,
    size: tuple[int, int] = SIZE,
) -> Comparison:
    """Return a comparison, a row per image; models predict and explain class 0 by default."""
    columns = tuple("ABCDE"[: len(maps[0])])
    models = [facts(name) for name in columns] if known is None else known
    seen = predicted or [[0] * len(columns)] * len(maps)
    asked = targets or seen
    canvas = canvas or Box(0, 0, *size)
    images = tuple(
        ImageRef(f"{at}.png", Image.new("RGB", size), truths[at] if truths else None)
        for at in range(len(maps))
    )
    cells = tuple(
        Explanation(
            image=images[at],
            column=column,
            model=column,
            weights="as given",
            method="gradcam",
            target_layer="layer4",
            target=asked[at][place],
            label=(models[place].labels if models else CLASSES)[asked[at][place]],
            probability=0.5,
            predicted=seen[at][place],
            predicted_label=(models[place].labels if models else CLASSES)[seen[at][place]],
            predicted_probability=0.5 + at / 10,
            heatmap=np.asarray(row[place], np.float32),
            size=size,
            region=canvas.clip(*size),
            canvas=canvas,
            frame=canvas,
            state="ok",
        )
        for at, row in enumerate(maps)
        for place, column in enumerate(columns)
    )
    return Comparison(images, columns, cells, facts=tuple(models))


def keys(summary: Summary) -> list[str]:
    return [measure.figure.key for measure in summary.measures]


def values(summary: Summary, key: str) -> list[float]:
    return summary.measure(key).values.tolist()


def note(summary: Summary, words: str) -> str:
    """Return the only note that contains these words."""
    (found,) = [each for each in summary.notes if words in each]
    return found


# focus


def test_even_heat_spreads_over_the_whole_image() -> None:
    summary = build([[even()]]).summary()
    assert values(summary, "effective_area") == pytest.approx([1])
    assert values(summary, "gini") == pytest.approx([0], abs=1e-9)
    assert values(summary, "half_mass_area") == pytest.approx([0.5])


@pytest.mark.parametrize(
    ("canvas", "share"), [(Box(0, 0, 32, 64), 0.5), (Box(16, 16, 48, 48), 0.25)]
)
def test_even_heat_over_a_crop_spreads_over_its_share_of_the_image(
    canvas: Box, share: float
) -> None:
    summary = build([[even()]], canvas=canvas).summary()
    assert values(summary, "effective_area") == pytest.approx([share])
    assert values(summary, "gini") == pytest.approx([1 - share])
    assert values(summary, "half_mass_area") == pytest.approx([share / 2])


def test_even_heat_over_padding_spreads_over_the_image_alone() -> None:
    summary = build([[even()]], canvas=Box(0, -32, 64, 96)).summary()
    assert values(summary, "effective_area") == pytest.approx([1])


def test_a_fine_grid_is_measured_as_the_coarse_one_beside_it() -> None:
    across = np.exp(-(((np.arange(32) + 0.5) / 32 - 0.45) ** 2) / (2 * 0.08**2))
    fine = np.outer(across, across)
    coarse = fine.reshape(4, 8, 4, 8).mean((1, 3))
    alone = build([[fine]]).summary()["A", "effective_area"]
    one, other = values(build([[fine, coarse]]).summary(), "effective_area")
    assert other > 2 * alone
    assert one == pytest.approx(other, rel=0.1)
    assert values(build([[coarse]]).summary(), "effective_area") == pytest.approx([other])


# localisation


def test_a_point_of_heat_in_its_box_is_a_hit_with_all_its_heat() -> None:
    # Bilinear heat of the cell from 24 to 32 px extends half a cell further: from 16 to 40.
    boxes = [Box(16, 16, 40, 40)]
    summary = build([[delta(), delta(7, 7)]]).summary(boxes=boxes)
    assert values(summary, "pointing_game") == [1, 0]
    assert values(summary, "energy_pointing_game") == pytest.approx([1, 0], abs=1e-6)
    assert values(summary, "mass_area_ratio") == pytest.approx([64**2 / 24**2, 0], abs=1e-5)


def test_a_box_of_one_cell_holds_nine_sixteenths_of_its_heat() -> None:
    summary = build([[delta()]]).summary(boxes=[Box(24, 24, 32, 32)])
    assert values(summary, "energy_pointing_game") == pytest.approx([9 / 16])
    assert values(summary, "mass_area_ratio") == pytest.approx([9 / 16 * 64])


def test_constant_heat_has_density_1_and_points_nowhere() -> None:
    summary = build([[even()]]).summary(boxes=[Box(10, 20, 31, 53)])
    share = 21 * 33 / 64**2
    assert values(summary, "pointing_game") == [0]
    assert values(summary, "energy_pointing_game") == pytest.approx([share], rel=1e-5)
    assert values(summary, "mass_area_ratio") == pytest.approx([1], rel=1e-5)


def test_every_figure_of_localisation_has_its_baselines() -> None:
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    maps = [[noise(2 * at), noise(2 * at + 1)] for at in range(4)]
    summary = build(maps).summary(boxes=[centred(32)] * 4, masks=[mask] * 4)
    found = [each for each in summary.measures if each.figure.group == "localisation"]
    assert [each.figure.key for each in found] == [*POINTS, *BOXED, "pixel_average_precision"]
    for measure in found:
        assert list(measure.baselines) == ["centre", "uniform"]
    uniform = {each.figure.key: each.baselines["uniform"] for each in found}
    assert uniform["energy_pointing_game"] == pytest.approx(0.25)
    assert uniform["mass_area_ratio"] == pytest.approx(1)
    assert uniform["pixel_average_precision"] == pytest.approx(0.25)
    # The pixels whose centres are in the box, or at most 3 % of 64 px from it.
    assert 0.25 < uniform["pointing_game"] < 36**2 / 64**2
    centre = {each.figure.key: each.baselines["centre"] for each in found}
    assert centre["pointing_game"] == 1
    # Within a standard deviation of the middle, both ways.
    assert centre["energy_pointing_game"] == pytest.approx((0.6827 / 0.9545) ** 2, abs=0.01)
    for measure in summary.measures:
        if measure.figure.group != "localisation":
            assert measure.baselines == {}


def test_a_map_that_is_its_mask_ranks_every_pixel_right() -> None:
    mask = np.zeros((64, 64), bool)
    mask[5:40, 12:20] = True
    summary = build([[mask, ~mask, even(64)]] * 2).summary(masks=[mask, mask])
    right, wrong, blind = values(summary, "pixel_average_precision")
    share = mask.mean()
    assert right == pytest.approx(1)
    assert blind == pytest.approx(share)
    assert wrong == pytest.approx(share)  # all of its pixels are in the last level, with all others
    assert values(summary, "energy_pointing_game") == pytest.approx([1, 0, share], abs=1e-5)
    assert keys(summary)[-4:] == [*POINTS, "pixel_average_precision"]


def test_ignored_pixels_of_a_mask_are_not_measured() -> None:
    mask, ignored = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    mask[:, :16] = True
    ignored[:, 16:32] = True
    heatmap = np.zeros((64, 64), np.float32)
    heatmap[:, :32] = 1
    truths = [Truth(mask=mask, ignored=ignored), Truth(mask=mask)]
    maps = [[heatmap], [heatmap]]
    for truth, expected in zip(truths, (1, 0.5), strict=True):
        summary = build(maps, truths=[truth, truth]).summary()
        assert values(summary, "pixel_average_precision") == pytest.approx([expected])


def test_a_map_without_evidence_misses_but_has_no_share_of_heat() -> None:
    comparison = build([[delta()], [delta()]])
    cells = (comparison.cells[0], replace(comparison.cells[1], state="flat"))
    summary = replace(comparison, cells=cells).summary(boxes=[Box(16, 16, 40, 40)] * 2)
    for key, value, count in (
        ("pointing_game", 0.5, 2),
        ("energy_pointing_game", 1, 1),
        ("effective_area", None, 1),
    ):
        measure = summary.measure(key)
        assert measure.counts.tolist() == [count]
        if value is not None:
            assert measure.values == pytest.approx([value])


def test_the_threshold_of_a_box_is_chosen_on_other_images() -> None:
    # With a high threshold this map gives the box of a small object, with a low one of a large one.
    boxes = [centred(60), centred(14)]
    same = max_box_acc([cone(), cone()], [[each] for each in boxes])
    assert same == 0.5
    summary = build([[cone()], [cone()]]).summary(boxes=boxes)
    # The best threshold for one image is wrong for the other.
    assert values(summary, "max_box_acc") == [0]
    assert values(summary, "max_box_acc_v2") == [0]
    alike = build([[cone()], [cone()]]).summary(boxes=[centred(14)] * 2)
    assert values(alike, "max_box_acc") == [1]
    assert values(alike, "max_box_acc_v2") == [1]


def test_a_box_around_the_largest_part_or_any_part() -> None:
    # Two hot parts; the smaller one is the object.
    heatmap = np.zeros((64, 64), np.float32)
    heatmap[4:12, 4:12] = heatmap[24:60, 24:60] = 1
    summary = build([[heatmap], [heatmap]]).summary(boxes=[Box(4, 4, 12, 12)] * 2)
    assert values(summary, "max_box_acc") == [0]
    assert values(summary, "max_box_acc_v2") == [1]


def test_one_image_alone_has_no_threshold_from_another() -> None:
    summary = build([[delta()]]).summary(boxes=[Box(16, 16, 40, 40)])
    assert set(POINTS) <= set(keys(summary))
    assert not set(BOXED) & set(keys(summary))


def test_localisation_counts_the_images_that_have_an_object() -> None:
    box = Box(16, 16, 40, 40)
    maps = [[delta()], [delta(7, 7)], [noise(0)]]
    summary = build(maps).summary(boxes=[box, box, None])
    assert values(summary, "pointing_game") == [0.5]
    assert summary.measure("pointing_game").counts.tolist() == [2]
    assert summary.measure("max_box_acc").counts.tolist() == [2]
    assert summary.measure("effective_area").counts.tolist() == [3]


def test_without_boxes_and_masks_there_is_no_localisation() -> None:
    summary = build([[noise(0)]]).summary(labels=[0])
    assert not set(POINTS) & set(keys(summary))


def test_given_annotations_take_precedence_over_those_of_the_images() -> None:
    truth = Truth(label=0, boxes=(Box(16, 16, 40, 40),))
    comparison = build([[delta()], [delta()]], truths=[truth, truth])
    summary = comparison.summary()
    assert values(summary, "accuracy") == [1]
    assert values(summary, "pointing_game") == [1]
    elsewhere = comparison.summary(boxes=[Box(48, 48, 64, 64)] * 2, labels={"0.png": 1})
    assert values(elsewhere, "accuracy") == [0.5]
    assert values(elsewhere, "pointing_game") == [0]


def test_the_order_of_the_images_does_not_matter() -> None:
    maps = [[noise(2 * at), noise(2 * at + 1)] for at in range(6)]
    boxes = [Box(8 * at, 4 * at, 8 * at + 20, 4 * at + 30) for at in range(6)]
    comparison = build(maps, truths=[Truth(boxes=(box,)) for box in boxes])
    there, back = comparison.summary(), comparison.take([5, 4, 3, 2, 1, 0]).summary()
    for key in (*FOCUS, *POINTS):
        assert values(there, key) == pytest.approx(values(back, key))


def test_columns_of_different_grids_are_neither_tested_nor_marked_in_localisation() -> None:
    # B points at the object, A and C beside it; A has a finer grid.
    maps = [[delta(at % 3, at % 2), delta(2, 2, 4), delta(0, at % 3, 4)] for at in range(12)]
    summary = build(maps).summary(
        boxes=[Box(32, 32, 48, 48)] * 12, masks=[np.eye(64, dtype=bool)] * 12
    )
    for measure in summary.measures:
        if measure.figure.group == "localisation":
            tested = np.isfinite(measure.p_values)
            assert (tested[1, 2], tested[0].any()) == (True, False)
            assert not np.isfinite(measure.difference_low[~tested]).any()
            assert measure.winners() == ()
    game = summary.measure("pointing_game")
    assert np.isfinite(game.low).all()
    assert game.tells_apart(1, 2)
    assert [each.other for each in summary.differences("pointing_game")] == ["C"]
    (sentence,) = [each for each in summary.findings() if " highest pointing game," in each]
    assert sentence.endswith("different from C; there is no test against A.")
    assert "size=" in note(summary, "not tested and not marked in figures of localisation")
    assert np.isfinite(summary.measure("effective_area").p_values[0, 1])
    alike = build([row[1:] for row in maps]).summary(boxes=[Box(32, 32, 48, 48)] * 12)
    assert alike.measure("pointing_game").winners() == (0,)
    assert not any("not marked" in each for each in alike.notes)


def test_grids_differ_by_the_size_of_their_cells_in_the_image() -> None:
    crop, whole = Box(0, 0, 32, 32), Box(0, 0, *SIZE)
    nearly = Box(0, 0, 62, 62)
    cells = build([[even(), even(4), even(), even()]]).cells
    placed = [
        replace(cell, canvas=box, region=box, frame=box)
        for cell, box in zip(cells, (whole, crop, nearly, crop), strict=True)
    ]
    expected = [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1], [1, 1, 1, 0]]
    np.testing.assert_array_equal(grids_differ(placed), np.array(expected, bool))


def test_the_columns_beside_it_do_not_change_a_models_localisation() -> None:
    maps = [[noise(2 * at), noise(2 * at + 1, 5)] for at in range(6)]
    boxes = [Box(8 * at, 4 * at, 8 * at + 20, 4 * at + 30) for at in range(6)]
    both = build(maps).summary(boxes=boxes)
    alone = build([row[1:] for row in maps]).summary(boxes=boxes)
    for key in (*POINTS, *BOXED):
        assert both["B", key] == pytest.approx(alone["A", key])


# which images count

RIGHT = [[0, 0], [1, 0], [0, 0], [2, 2], [0, 0]]
"""What two models predict in five images."""
LABELS = [0, 0, 0, 1, None]
"""Their classes: both are right on the first and the third, and the last is not known."""


def test_accuracy_is_of_all_labelled_images_and_heat_of_those_that_all_get_right() -> None:
    maps = [[delta(), delta(7, 7)]] * 5
    summary = build(maps, predicted=RIGHT).summary(labels=LABELS, boxes=[Box(16, 16, 40, 40)] * 5)
    assert (summary.images, summary.used) == (5, 2)
    assert values(summary, "accuracy") == [0.5, 0.75]
    assert summary.measure("accuracy").counts.tolist() == [4, 4]
    for key in ("confidence", *FOCUS, *POINTS, *BOXED):
        assert summary.measure(key).counts.tolist() == [2, 2]
    # Those of the first and the third image.
    assert values(summary, "confidence") == pytest.approx([0.6, 0.6])
    assert values(summary, "pointing_game") == [1, 0]


def test_labels_select_the_images() -> None:
    comparison = build([[noise(0), noise(1)]] * 5, predicted=RIGHT)
    assert comparison.summary(labels=LABELS).used == 2
    assert comparison.summary(labels=LABELS, fair=True).used == 2
    assert comparison.summary(labels=LABELS, fair=False).used == 5
    assert comparison.summary().used == 5


def test_without_labels_the_fair_images_are_those_predicted_alike() -> None:
    comparison = build([[noise(0), noise(1)]] * 5, predicted=RIGHT)
    summary = comparison.summary(fair=True)
    assert summary.used == 4
    assert "accuracy" not in keys(summary)
    assert values(summary, "confidence") == pytest.approx([np.mean([0.5, 0.7, 0.8, 0.9])] * 2)


def test_fair_images_are_explained_by_one_class() -> None:
    targets = [[0, 0], [0, 0], [0, 1], [2, 2], [1, 1]]
    comparison = build([[noise(0), noise(1)]] * 5, predicted=[[0, 0]] * 5, targets=targets)
    # Whether right or not, the two maps of the third image explain different classes.
    assert comparison.summary(labels=[0] * 5).used == 4
    assert comparison.summary(fair=True).used == 4


def test_models_of_different_class_sets_agree_by_class_name() -> None:
    known = [facts("A"), facts("B", ("dog", "ANT", "bee", "cow"))]
    comparison = build([[noise(0), noise(1)]] * 3, predicted=[[0, 1], [0, 0], [1, 2]], known=known)
    assert comparison.summary(fair=True).used == 2
    summary = comparison.summary(labels=["ant", "ant", "bee"])
    assert summary.used == 2
    assert values(summary, "accuracy") == pytest.approx([1, 2 / 3])


def test_labels_are_indices_or_names() -> None:
    comparison = build([[noise(0), noise(1)]] * 3, predicted=[[0, 0], [1, 1], [2, 0]])
    by_index = comparison.summary(labels=[0, 1, 2])
    by_name = comparison.summary(labels=["Ant", "bee ", "COW"])
    mixed = comparison.summary(labels={"0.png": 0, "1": "bee", "2.png": np.int64(2)})
    for summary in (by_index, by_name, mixed):
        assert values(summary, "accuracy") == pytest.approx([1, 2 / 3])
        assert summary.used == 2


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("antt", r"^A has no class called 'antt'\. Did you mean 'ant'"),
        ("fly", r"^B has no class called 'fly'"),
        (3, "^B is|^class 3 is out of range: B has the 3 classes 0 to 2"),
        (-1, "^class -1 is out of range: A has the 4 classes"),
    ],
)
def test_a_label_that_a_model_does_not_know_is_an_error(label: int | str, message: str) -> None:
    known = [facts("A", (*CLASSES, "fly")), facts("B")]
    comparison = build([[noise(0), noise(1)]] * 2, known=known)
    with pytest.raises(TargetError, match=message):
        comparison.summary(labels=[0, label])


def test_without_facts_labels_are_indices() -> None:
    comparison = build([[noise(0), noise(1)]] * 2, predicted=[[0, 0], [1, 0]], known=[])
    summary = comparison.summary(labels=[0, 1])
    assert values(summary, "accuracy") == [1, 0.5]
    assert summary.facts == ()
    assert not {"parameters", "flops", "seconds"} & set(keys(summary))
    with pytest.raises(ArgumentError, match=r"^label 'ant' is a name, but .*: give indices$"):
        comparison.summary(labels=["ant", "bee"])


def test_without_fair_images_only_facts_of_models_are_left() -> None:
    comparison = build([[noise(0), noise(1)]] * 3, predicted=[[0, 1]] * 3)
    summary = comparison.summary(labels=[0, 0, 1], boxes=[Box(16, 16, 40, 40)] * 3)
    assert summary.used == 0
    assert values(summary, "accuracy") == pytest.approx([2 / 3, 1 / 3])
    assert np.isnan(summary.measure("confidence").values).all()
    assert not {*FOCUS, *POINTS} & set(keys(summary))
    assert "0 of 3 images" in note(summary, "fair=False")
    assert "0 of them" in str(summary)


def test_broken_annotations_are_refused() -> None:
    comparison = build([[noise(0)]] * 2)
    with pytest.raises(AnnotationError, match=r"image '1\.png': the box .* lies outside its 64"):
        comparison.summary(boxes=[centred(9), Box(70, 0, 90, 20)])
    with pytest.raises(AnnotationError, match=r"image '0\.png' is 64 x 64 px .*, its mask 32 x 64"):
        comparison.summary(masks=[np.ones((64, 32)), None])
    with pytest.raises(ArgumentError, match="the number of labels is 1, that of images 2"):
        comparison.summary(labels=[0])


# facts of models


def test_size_cost_and_speed_come_from_the_facts() -> None:
    known = [facts("A"), facts("B", parameters=5, flops=None, seconds=None)]
    summary = build([[noise(0), noise(1)]], known=known).summary()
    assert values(summary, "parameters") == [2e6, 5]
    assert values(summary, "seconds") == pytest.approx([0.02, np.nan], nan_ok=True)
    assert values(summary, "flops") == pytest.approx([3e9, np.nan], nan_ok=True)
    assert summary.measure("parameters").counts.tolist() == [0, 0]
    assert np.isnan(summary.measure("parameters").low).all()


def test_facts_that_no_model_has_get_no_column() -> None:
    known = [facts("A", flops=None, seconds=None)]
    assert keys(build([[noise(0)]], known=known).summary()) == ["confidence", "parameters", *FOCUS]


def test_layers_grids_and_inputs_are_facts() -> None:
    known = [facts("A"), facts("B", target_layer="a.b + c + d", grid=(3, 4))]
    summary = build([[noise(0), noise(1)]], known=known).summary()
    assert [(fact.title, fact.texts) for fact in summary.facts] == [
        ("looked at", ("layer4", "a.b + 2 more")),
        ("grid", ("8 x 8", "3 x 4")),
        ("input", ("64 x 96 px", "64 x 96 px")),
        ("saw", ("100 %", "100 %")),
    ]


def test_the_share_that_each_model_saw_is_noted() -> None:
    comparison = build([[noise(0), noise(1)]] * 2)
    words = "The models saw different shares of the images."
    assert not any(words in each for each in comparison.summary().notes)
    cells = list(comparison.cells)
    for at, side in (
        (1, 32),
        (3, 48),
    ):  # a quarter of the first image, nine sixteenths of the other
        crop = Box(0, 0, side, side)
        cells[at] = replace(cells[at], region=crop, canvas=crop, frame=crop)
    summary = replace(comparison, cells=tuple(cells)).summary()
    assert summary.facts[-1].texts == ("100 %", "41 %")
    assert 'all models with view="whole".' in note(summary, words)


def test_padding_does_not_count_as_seen() -> None:
    summary = build([[noise(0)]], canvas=Box(0, -32, 64, 96)).summary()
    assert summary.facts[-1].texts == ("100 %",)


def test_figures_have_a_fixed_order() -> None:
    mask = np.ones((64, 64), bool)
    summary = build([[noise(0), noise(1)]] * 3).summary(
        labels=[0] * 3, boxes=[centred(20)] * 3, masks=[mask] * 3
    )
    order = list(FIGURES)
    places = [order.index(key) for key in keys(summary)]
    assert places == sorted(places)
    assert keys(summary)[0] == "accuracy"
    assert "pixel_average_precision" in keys(summary)


def test_intervals_are_paired_over_the_images() -> None:
    # B has always a little less heat on the object than A: significant, though images differ.
    rng = np.random.default_rng(0)
    maps = []
    for share in rng.uniform(0.1, 0.9, 40):
        row = []
        for own in (share, share - 0.05):
            heatmap = np.zeros((64, 64), np.float32)
            heatmap[:, :32], heatmap[:, 32:] = own, 1 - own
            row.append(heatmap)
        maps.append(row)
    summary = build(maps).summary(boxes=[Box(0, 0, 32, 64)] * 40)
    measure = summary.measure("energy_pointing_game")
    assert measure.low[0] < measure.values[1] < measure.high[0]
    assert measure.tells_apart(0, 1)
    assert measure.difference_low[0, 1] == pytest.approx(0.05, abs=1e-4)


# notes


def test_nothing_is_said_of_right_predictions_where_nothing_is_predicted() -> None:
    cells = [[noise(0), noise(1)]] * 5
    comparison = build(cells)
    values = replace(
        comparison,
        cells=tuple(replace(each, predicted=None, kind="value") for each in comparison.cells),
    )
    summary = values.summary(labels=LABELS)
    assert summary.used == 5
    assert not any("Figures other than accuracy" in each for each in summary.notes)


def test_a_note_names_which_images_count() -> None:
    comparison = build([[noise(0), noise(1)]] * 5, predicted=RIGHT)
    assert note(comparison.summary(labels=LABELS), "Figures other than accuracy") == (
        "Figures other than accuracy use only the 2 of 5 images that every model predicts "
        "correctly, and that have one explained class; fair=False (--all-images) uses all images."
    )
    assert note(comparison.summary(fair=True), "Figures other than accuracy") == (
        "Figures other than accuracy use only the 4 of 5 images that every model predicts as the "
        "others do, and that have one explained class; fair=False (--all-images) uses all images."
    )


def test_maps_of_different_classes_are_noted() -> None:
    words = "do not compare; leave these images out with fair=True"
    differ = build([[noise(0), noise(1)]] * 5, predicted=RIGHT)
    assert words in note(differ.summary(), "predict or explain different classes")
    assert words in note(differ.summary(labels=LABELS, fair=False), "different classes")
    maps = [[noise(2 * at), noise(2 * at + 1)] for at in range(6)]
    assert build(maps).summary().notes == ()
    one = build([row[:1] for row in maps])
    assert one.summary(labels=[0, 1, 0] * 2, fair=False).notes == ()


FEW = "with fewer than 6 images there are no intervals and no tests of differences."


def test_too_few_images_for_intervals_are_noted() -> None:
    maps = [[noise(2 * at), noise(2 * at + 1)] for at in range(8)]
    five = build(maps[:5]).summary()
    assert note(five, FEW).startswith("All figures of images: ")
    assert "[" not in str(five).split("[ ]")[0]
    boxes = [Box(16, 16, 40, 40)] * 4 + [None] * 4
    some = build(maps).summary(boxes=boxes)
    titles = "pointing game, energy pointing game, mass / area, MaxBoxAcc, MaxBoxAccV2"
    assert note(some, FEW) == f"{titles}: {FEW}"
    assert not any(FEW in each for each in build(maps).summary().notes)


def test_too_few_images_for_any_significant_difference_are_noted() -> None:
    maps = [[noise(5 * at + column) for column in range(5)] for at in range(8)]
    summary = build(maps).summary()
    assert note(summary, "can be significant") == (
        "All figures of images: with 8 images no difference can be significant among 10 pairs of "
        "columns; it takes 9."
    )
    nine = build([*maps, maps[0]]).summary()
    assert not any("can be significant" in each for each in nine.notes)


def test_grids_that_differ_are_noted() -> None:
    summary = build([[noise(at), noise(at, 4), noise(at, 4)] for at in range(8)]).summary()
    assert note(summary, "coarsest").startswith("The grids of the maps differ.")
    alike = build([[noise(at), noise(at)] for at in range(8)]).summary()
    assert not any("coarsest" in each for each in alike.notes)


@pytest.mark.parametrize(
    ("precisions", "note"),
    [
        (("fp32", "fp32"), None),
        (("fp32", "unknown"), None),
        (("bf16", "bf16"), "The models ran in bf16; in fp32 figures are slightly different."),
        (
            ("bf16", "fp32"),
            (
                "The models ran in different precisions (A in bf16; B in fp32), and a small "
                "difference of figures may come from that; precision= (--precision) is for all."
            ),
        ),
    ],
)
def test_half_precision_is_noted(precisions: tuple[str, str], note: str | None) -> None:
    known = [facts(label, precision=each) for label, each in zip("AB", precisions, strict=True)]
    maps = [[noise(2 * at), noise(2 * at + 1)] for at in range(8)]
    assert build(maps, known=known).summary().notes == ((note,) if note else ())


def test_untrained_models_are_named() -> None:
    known = [facts("A", weights="random"), facts("B"), facts("C", weights="random")]
    maps = [[noise(3 * at), noise(3 * at + 1), noise(3 * at + 2)] for at in range(8)]
    summary = build(maps, known=known).summary()
    assert summary.notes == ("A, C: random weights, so the heat means nothing.",)


def test_cells_that_cover_a_part_of_the_input_are_noted() -> None:
    # Of 64 x 96 px, 8 x 8 cells of 6 x 9 px cover 48 x 72.
    known = [facts("A", pitch=(6.0, 9.0)), facts("B", pitch=(8.0, 12.0)), facts("C")]
    maps = [[noise(3 * at), noise(3 * at + 1), noise(3 * at + 2)] for at in range(8)]
    (found,) = build(maps, known=known).summary().notes
    assert found.startswith("A: the cells cover 56 % of the input, and past them heat falls to 0.")


def test_problems_of_a_columns_maps_are_noted_for_all_images() -> None:
    maps = [[noise(at), delta() + 0.01 * noise(at)] for at in range(5)]
    comparison = build(maps, predicted=RIGHT)
    cells = list(comparison.cells)
    cells[2] = replace(cells[2], state="flat")  # of an image that is not fair
    summary = replace(comparison, cells=tuple(cells)).summary(labels=LABELS)
    first, second = summary.notes[-2:]
    assert first.startswith("A: 1 of 5 maps has no positive evidence. Usually")
    assert second.startswith("B: the map is nearly the same for every image. Usually")


# faithfulness


def faithful(**changes: Any) -> Faithfulness:
    samples = {
        "insertion": np.array([[0.1, 0.2], [0.3, 0.4], [0.5, np.nan]]),
        "grid_pointing_game": np.array([[0.5, 0.25], [0.7, 0.25]]),
    }
    measured = Faithfulness(
        images=("0.png", "1.png", "2.png"),
        columns=("A", "B"),
        samples=samples,
        random={"insertion": np.array([[0.0, 0.1], [0.2, 0.3], [9.0, 9.0]])},
        known={"grid_pointing_game": {"random map": 0.25}},
        notes=("GridPG is of two mosaics.",),
    )
    return replace(measured, **changes)


def test_faithfulness_counts_fair_images_and_mosaics_all() -> None:
    comparison = build([[noise(0), noise(1)]] * 3, predicted=[[0, 0], [0, 0], [0, 1]])
    summary = comparison.summary(labels=[0, 0, 0], faithfulness=faithful())
    assert summary.used == 2
    insertion = summary.measure("insertion")
    assert insertion.values == pytest.approx([0.2, 0.3])
    assert insertion.counts.tolist() == [2, 2]
    assert insertion.baselines == pytest.approx({"random map": 0.15})
    mosaics = summary.measure("grid_pointing_game")
    assert mosaics.values == pytest.approx([0.6, 0.25])
    assert mosaics.baselines == {"random map": 0.25}
    assert "GridPG is of two mosaics." in summary.notes


def test_faithfulness_leaves_out_missing_values() -> None:
    summary = build([[noise(0), noise(1)]] * 3).summary(faithfulness=faithful())
    assert values(summary, "insertion") == pytest.approx([0.3, 0.3])
    assert summary.measure("insertion").counts.tolist() == [3, 2]


def test_without_faithfulness_there_are_no_such_figures() -> None:
    with pytest.raises(CellError, match="no figure is called 'insertion'"):
        build([[noise(0), noise(1)]] * 3).summary().measure("insertion")


@pytest.mark.parametrize(
    "changes",
    [{"columns": ("A", "C")}, {"images": ("0.png", "1.png")}, {"images": ("0.png", "2.png", "x")}],
)
def test_the_faithfulness_of_another_comparison_is_refused(changes: dict[str, Any]) -> None:
    message = r"^this faithfulness was measured for another comparison: of \d images and the col"
    with pytest.raises(ArgumentError, match=message):
        build([[noise(0), noise(1)]] * 3).summary(faithfulness=faithful(**changes))
