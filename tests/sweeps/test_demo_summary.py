"""The summary ranks correctly where the truth is known: on scenes, for models trained on them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

import effcam
from effcam import Box, Comparison, Explanation, Summary
from effcam.demo import MODELS, Scene, scenes
from effcam.metrics import spearman

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.slow

COUNT = 200
SOME = 50
"""How many of the scenes the shuffled models see."""
SEED = 9_100
SIZE = 160
LOCALISATION = (
    "pointing_game",
    "energy_pointing_game",
    "mass_area_ratio",
    "max_box_acc",
    "max_box_acc_v2",
    "pixel_average_precision",
)


@pytest.fixture(scope="module")
def held_out() -> list[Scene]:
    """Return scenes that no model was trained on."""
    return scenes(COUNT, SEED, SIZE)


@pytest.fixture(scope="module")
def comparison(held_out: list[Scene]) -> Comparison:
    return effcam.compare(held_out, MODELS, device="cpu", progress=False)


@pytest.fixture(scope="module")
def summary(comparison: Comparison) -> Summary:
    return comparison.summary()


def shuffled(label: str) -> effcam.Model:
    """Return a demo model with the values of each weight in random order."""
    model = effcam.load_model(MODELS[label], device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.module.parameters():
            order = torch.randperm(weight.numel(), generator=generator)
            weight.copy_(weight.flatten()[order].view_as(weight))
    return model


@pytest.fixture(scope="module")
def chance(held_out: list[Scene]) -> Summary:
    """Return the summary of the same models with shuffled weights."""
    models = {label: shuffled(label) for label in MODELS}
    found = effcam.compare(held_out[:SOME], models, device="cpu", progress=False)
    return found.summary(fair=False)


def test_the_scenes_own_truth_is_measured_against(
    comparison: Comparison, summary: Summary, held_out: list[Scene]
) -> None:
    given = comparison.summary(
        labels=[scene.label for scene in held_out],
        boxes=[scene.box for scene in held_out],
        masks={scene.name: scene.mask for scene in held_out},
    )
    assert given.used == summary.used < COUNT
    for measure, other in zip(summary.measures, given.measures, strict=True):
        assert measure.figure == other.figure
        np.testing.assert_array_equal(measure.values, other.values)
        assert measure.baselines == other.baselines


def test_accuracy_is_of_all_scenes(
    comparison: Comparison, summary: Summary, held_out: list[Scene]
) -> None:
    for label in MODELS:
        right = [
            comparison[row, label].predicted == scene.target for row, scene in enumerate(held_out)
        ]
        assert summary[label, "accuracy"] == pytest.approx(np.mean(right))
        assert summary[label, "accuracy"] > 0.85


@pytest.mark.parametrize("key", LOCALISATION)
def test_every_model_is_above_the_baselines(summary: Summary, key: str) -> None:
    measure = summary.measure(key)
    assert set(measure.baselines) == {"centre", "uniform"}
    assert (measure.low > max(measure.baselines.values())).all()


@pytest.mark.parametrize("key", ["pointing_game", "energy_pointing_game"])
@pytest.mark.parametrize("label", MODELS)
def test_each_model_is_above_itself_with_shuffled_weights(
    comparison: Comparison, chance: Summary, label: str, key: str
) -> None:
    trained = comparison.take(range(SOME)).summary(fair=False)
    # None of its maps may have any heat left.
    blind = float(np.nan_to_num(chance[label, key]))
    assert trained[label, key] > 2 * blind
    assert trained.measure(key).low[list(MODELS).index(label)] > blind


def test_with_shuffled_weights_models_are_near_the_baselines(chance: Summary) -> None:
    energy = chance.measure("energy_pointing_game")
    assert np.nanmax(energy.values) < 1.5 * energy.baselines["centre"]
    assert (chance.measure("accuracy").values < 0.25).all()


@pytest.fixture(scope="module")
def evenly(held_out: list[Scene]) -> Summary:
    """Return the summary of three models whose cells divide the input evenly, as elsewhere."""
    some = {label: MODELS[label] for label in ("alexnet", "densenet", "resnet")}
    found = effcam.compare(held_out, some, placement="even", device="cpu", progress=False)
    return found.summary()


@pytest.mark.parametrize("label", ["densenet", "resnet"])
def test_drawn_evenly_two_of_the_models_point_at_objects_more_often_than_alexnet(
    evenly: Summary, label: str
) -> None:
    pointing = evenly.measure("pointing_game")
    better, worse = (evenly.columns.index(each) for each in (label, "alexnet"))
    # The grids differ, so the two are not tested against each other, however far apart they are.
    assert pointing.low[better] > pointing.high[worse]
    assert not pointing.compared(better, worse)
    found = evenly.differences("pointing_game")
    assert not any("alexnet" in (each.one, each.other) for each in found)


def test_alexnet_points_at_objects_more_often_where_its_cells_lie(
    summary: Summary, evenly: Summary
) -> None:
    own, drawn = (each.measure("pointing_game") for each in (summary, evenly))
    at, before = summary.columns.index("alexnet"), evenly.columns.index("alexnet")
    assert own.low[at] > drawn.high[before]


def cell_means(mask: NDArray[np.bool_], cells: int = 14) -> NDArray[np.float32]:
    """Return the share of each cell of a grid over the image that lies on the object."""
    picture = Image.fromarray(mask.astype(np.float32))
    return np.asarray(picture.resize((cells, cells), Image.Resampling.BOX))


def test_maps_of_the_object_itself_are_above_random_ones_in_everything(
    comparison: Comparison, held_out: list[Scene]
) -> None:
    rng = np.random.default_rng(0)
    whole = Box(0, 0, SIZE, SIZE)

    def covering(cell: Explanation, heatmap: NDArray[np.float32]) -> Explanation:
        return replace(cell, heatmap=heatmap, region=whole, canvas=whole, state="ok")

    cells = []
    for row, scene in enumerate(held_out):
        cell = comparison[row, "resnet"]
        cells += [
            replace(covering(cell, cell_means(scene.mask)), column="object"),
            replace(covering(cell, rng.random((14, 14), dtype=np.float32)), column="random"),
        ]
    facts = (comparison.facts[2],) * 2
    made = replace(comparison, columns=("object", "random"), cells=tuple(cells), facts=facts)
    summary = made.summary(fair=False)
    for key in LOCALISATION:
        measure = summary.measure(key)
        assert measure.values[0] > measure.values[1], key
        assert measure.tells_apart(0, 1), key
        assert measure.values[0] > max(measure.baselines.values()), key
    assert summary["object", "pointing_game"] > 0.98
    assert summary["object", "max_box_acc_v2"] > 0.9
    # Random heat is as dense on the object as anywhere.
    assert summary["random", "mass_area_ratio"] == pytest.approx(1, abs=0.1)
    assert summary["random", "energy_pointing_game"] == pytest.approx(
        summary.measure("energy_pointing_game").baselines["uniform"], abs=0.02
    )
    assert summary["object", "effective_area"] < summary["random", "effective_area"]
    assert summary["object", "gini"] > summary["random", "gini"]


def mean_agreement(comparison: Comparison, row: int) -> float:
    """The mean rank correlation of the models' maps over the part of a scene that all saw."""
    cells = [comparison[row, label] for label in comparison.columns]
    edges = np.array([cell.region.as_tuple() for cell in cells])
    assert np.ptp(edges, axis=0).max() < 1  # of the crops of several input sizes
    left, top = np.ceil(edges[:, :2].max(0)).astype(int)
    right, bottom = edges[:, 2:].min(0).astype(int)
    maps = [cell.evidence(SIZE, SIZE)[top:bottom, left:right] for cell in cells]
    pairs = [(i, j) for i in range(len(maps)) for j in range(i)]
    return float(np.mean([spearman(maps[i], maps[j]) for i, j in pairs]))


def test_the_most_disagreed_scenes_are_the_least_agreed_on(comparison: Comparison) -> None:
    count = 6
    worst = comparison.most_disagreed(count)
    names = [image.name for image in worst.images]
    assert len(set(names)) == count
    assert set(names) < {image.name for image in comparison.images}
    own = [mean_agreement(worst, row) for row in range(count)]
    assert np.diff(own).min() > -0.02  # measured at another size
    rest = [
        mean_agreement(comparison, row)
        for row in range(60)
        if comparison.images[row].name not in names
    ]
    assert max(own) < min(rest) + 0.02
    assert worst.columns == comparison.columns
    for row, name in enumerate(names):
        for label in worst.columns:
            assert worst[row, label] is comparison[name, label]


def test_alexnet_agrees_least_with_the_others(comparison: Comparison) -> None:
    for measure in ("spearman", "iou"):
        matrix = comparison.agreement(measure=measure)
        np.testing.assert_array_equal(matrix, matrix.T)
        np.testing.assert_array_equal(np.diag(matrix), 1)
        off = matrix.copy()
        np.fill_diagonal(off, np.nan)
        assert np.nanmean(off, axis=1).argmin() == 0
        assert (matrix > 0.2).all()
