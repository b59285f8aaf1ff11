"""The whole pipeline means something: on scenes of known truth, heat lies on the object.

Five hundred held-out scenes, a third each square, tall and wide, go through the five demo models as
a user's photos would. An error in the mapping from photo to model or back fails these tests.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import effcam
from effcam import Box, Comparison, Explanation
from effcam.demo import MODELS, Scene, scenes

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.slow

COUNT = 500
SEED = 9_000
FORMATS = ((208, 208), (208, 320), (320, 208))


@pytest.fixture(scope="module")
def held_out() -> list[Scene]:
    """Return scenes that no model was trained on; square, tall and wide ones alternate."""
    counts = [len(range(start, COUNT, len(FORMATS))) for start in range(len(FORMATS))]
    kinds = [
        scenes(count, SEED + index, size)
        for index, (count, size) in enumerate(zip(counts, FORMATS, strict=True))
    ]
    turns = zip(cycle(map(iter, kinds)), range(COUNT), strict=False)
    return [next(kind) for kind, _ in turns]


@pytest.fixture(scope="module")
def comparison(held_out: list[Scene]) -> Comparison:
    return effcam.compare(held_out, MODELS, progress=False)


def share_of_hits(cells: list[Explanation], held_out: list[Scene]) -> float:
    pairs = zip(cells, held_out, strict=True)
    return float(np.mean([scene.is_hit(cell.upsampled()) for cell, scene in pairs]))


def column(comparison: Comparison, label: str) -> list[Explanation]:
    return [comparison[row, label] for row in range(len(comparison.images))]


def centre_hits(held_out: list[Scene]) -> float:
    """Return how often the centre of the image lies in the object's box."""

    def centred(scene: Scene) -> NDArray[np.float32]:
        heat = np.zeros(scene.mask.shape, np.float32)
        heat[scene.mask.shape[0] // 2, scene.mask.shape[1] // 2] = 1
        return heat

    return float(np.mean([scene.is_hit(centred(scene)) for scene in held_out]))


@pytest.mark.parametrize("label", MODELS)
def test_each_model_is_right_on_held_out_scenes(
    label: str, comparison: Comparison, held_out: list[Scene]
) -> None:
    cells = column(comparison, label)
    right = [cell.predicted == scene.target for cell, scene in zip(cells, held_out, strict=True)]
    assert np.mean(right) >= 0.9


@pytest.mark.parametrize("label", MODELS)
def test_heat_hits_the_object_three_times_as_often_as_the_centre(
    label: str, comparison: Comparison, held_out: list[Scene]
) -> None:
    hits = share_of_hits(column(comparison, label), held_out)
    assert hits >= 3 * centre_hits(held_out)


def test_three_of_the_five_hit_most_objects(comparison: Comparison, held_out: list[Scene]) -> None:
    hits = [share_of_hits(column(comparison, label), held_out) for label in MODELS]
    assert sum(each >= 0.7 for each in hits) >= 3, hits


def test_it_is_as_good_on_every_format(comparison: Comparison, held_out: list[Scene]) -> None:
    for kind in range(len(FORMATS)):
        some = held_out[kind :: len(FORMATS)]
        cells = column(comparison, "resnet")[kind :: len(FORMATS)]
        assert share_of_hits(cells, some) >= 0.7


def test_a_wrong_mapping_onto_the_photo_would_be_noticed(
    comparison: Comparison, held_out: list[Scene]
) -> None:
    """Heat over the whole photo, instead of over the seen part, misses the object."""
    oblong = [row for row in range(COUNT) if row % len(FORMATS)]
    scene_of = [held_out[row] for row in oblong]
    right = [comparison[row, "resnet"] for row in oblong]
    wrong = [
        replace(cell, region=Box(0, 0, *cell.size), canvas=Box(0, 0, *cell.size)) for cell in right
    ]
    turned = [replace(cell, heatmap=cell.heatmap.T) for cell in right]
    assert share_of_hits(right, scene_of) >= 0.7
    assert share_of_hits(wrong, scene_of) < 0.6
    assert share_of_hits(turned, scene_of) < 0.4


def shuffled(label: str) -> effcam.Model:
    """Return a demo model with the values of each weight in random order."""
    model = effcam.load_model(MODELS[label], device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.module.parameters():
            order = torch.randperm(weight.numel(), generator=generator)
            weight.copy_(weight.flatten()[order].view_as(weight))
    return model


def test_with_its_weights_shuffled_a_model_falls_to_chance(held_out: list[Scene]) -> None:
    some = held_out[:200]
    models = {label: shuffled(label) for label in MODELS}
    blind = effcam.compare(some, models, progress=False)
    chance = float(np.mean([_evenly(scene) for scene in some]))
    for label in MODELS:
        cells = column(blind, label)
        right = [cell.predicted == scene.target for cell, scene in zip(cells, some, strict=True)]
        assert np.mean(right) < 0.2
        assert share_of_hits(cells, some) < chance + 0.12


def _evenly(scene: Scene) -> float:
    """Return how often a point in the central square lies in the object's box."""
    return scene.box.width * scene.box.height / min(scene.image.size) ** 2
