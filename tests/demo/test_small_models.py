"""The small models of scenes of known truth: what they were trained for is what they use."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

import effcam
from effcam.demo import Scene, look_alike_scenes, marked_scenes, tetromino_scenes
from effcam.demo.models import SMALL_KINDS, WEIGHTS
from effcam.demo.tetrominoes import RULES

HELD_OUT = 7_000
SIDE = 80
MADE: dict[str, Callable[[], Sequence[Scene]]] = {
    "clean": lambda: marked_scenes(40, seed=HELD_OUT, size=SIDE),
    "look_alikes": lambda: look_alike_scenes(40, seed=HELD_OUT, size=SIDE),
    "linear": lambda: tetromino_scenes(40, seed=HELD_OUT, size=SIDE),
    "multiplicative": lambda: tetromino_scenes(40, seed=HELD_OUT, size=SIDE, rule="multiplicative"),
    "rotated": lambda: tetromino_scenes(40, seed=HELD_OUT, size=SIDE, rule="rotated"),
}


def probabilities(model: str, scenes: Sequence[Scene], *without: str) -> list[float]:
    """Return the probability of each scene's class, perhaps without a part."""
    images = [each.without(*without) if without else each.image for each in scenes]
    targets = [each.target for each in scenes]
    comparison = effcam.compare(images, model, target=targets, progress=False)
    return [cell.probability or 0.0 for cell in comparison]


@pytest.mark.parametrize("kind", MADE)
def test_they_know_their_classes(kind: str) -> None:
    scenes = MADE[kind]()
    comparison = effcam.compare([each.image for each in scenes], f"demo_{kind}", progress=False)
    right = np.mean(
        [c.predicted == each.target for c, each in zip(comparison, scenes, strict=True)]
    )
    assert right > (0.9 if kind in RULES else 0.6)


def test_the_shortcut_learner_follows_the_mark_and_the_clean_one_does_not() -> None:
    scenes = marked_scenes(40, seed=HELD_OUT, size=SIDE)
    found = {}
    for kind in ("shortcut", "clean"):
        comparison = effcam.compare([each.image for each in scenes], f"demo_{kind}", progress=False)
        pairs = list(zip(comparison, scenes, strict=True))
        found[kind] = np.mean([cell.predicted == each.mark for cell, each in pairs])
    assert found["shortcut"] > 0.7
    assert found["clean"] < 0.3


def test_a_look_alike_is_told_by_its_detail() -> None:
    scenes = look_alike_scenes(40, seed=HELD_OUT, size=SIDE)
    whole = probabilities("demo_look_alikes", scenes)
    twin = probabilities("demo_look_alikes", scenes, "detail")
    assert np.mean(whole) - np.mean(twin) > 0.2


def test_they_take_less_than_300_kb_together() -> None:
    sizes = [(WEIGHTS / f"demo_{kind}.safetensors").stat().st_size for kind in SMALL_KINDS]
    assert sum(sizes) < 300_000
