"""Parts of scenes: what they say they cover, and pictures without them."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import effcam
from effcam.demo import (
    LABELS,
    LOOK_ALIKE_LABELS,
    Scene,
    look_alike_scenes,
    marked_scenes,
    scenes,
    tetromino_scenes,
)
from effcam.errors import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 96
KINDS: Mapping[str, Callable[[], Sequence[Scene]]] = {
    "one object": lambda: scenes(3, seed=5, size=SIDE),
    "three objects": lambda: scenes(2, seed=5, size=SIDE, objects=3),
    "marked": lambda: marked_scenes(3, seed=5, size=SIDE, telling=1),
    "look-alikes": lambda: look_alike_scenes(4, seed=5, size=SIDE),
    "linear": lambda: tetromino_scenes(3, seed=5, size=SIDE),
    "multiplicative": lambda: tetromino_scenes(3, seed=5, size=SIDE, rule="multiplicative"),
    "rotated": lambda: tetromino_scenes(3, seed=5, size=SIDE, rule="rotated"),
}


@pytest.fixture(scope="module", params=KINDS)
def made(request: pytest.FixtureRequest) -> Sequence[Scene]:
    return KINDS[request.param]()


def changed(scene: Scene, *names: str) -> NDArray[np.bool]:
    """Return (height, width) where the picture without some parts differs."""
    before, after = np.asarray(scene.image), np.asarray(scene.without(*names))
    return np.asarray((before != after).any(-1))


def mask_of(scene: Scene, name: str) -> NDArray[np.bool]:
    return next(part.mask for part in scene.parts if part.name == name)


def test_no_two_parts_share_a_pixel(made: Sequence[Scene]) -> None:
    for scene in made:
        assert np.sum([part.mask for part in scene.parts], 0).max() == 1
        assert all(part.mask.any() for part in scene.parts)


def test_without_a_part_its_pixels_change_and_none_far_away(made: Sequence[Scene]) -> None:
    for scene in made:
        for part in scene.parts:
            where = changed(scene, part.name)
            assert where[part.mask].mean() > 0.9, part.name
            # Shadows and soft edges reach beyond it, but not across the picture.
            near, reach = part.mask.copy(), SIDE // 4
            for axis in (0, 1):
                near = np.any([np.roll(near, by, axis) for by in range(-reach, reach + 1)], 0)
            assert not (where & ~near).any(), part.name


def test_parts_can_be_taken_away_together(made: Sequence[Scene]) -> None:
    for scene in made:
        first = scene.parts[0]
        together = changed(scene, *(part.name for part in scene.parts))
        assert together[first.mask].mean() > 0.9


def test_a_scene_stays_itself_in_another_process(made: Sequence[Scene]) -> None:
    copy: Scene = pickle.loads(pickle.dumps(made[0]))  # noqa: S301 - our own
    name = made[0].parts[0].name
    assert np.array_equal(np.asarray(copy.without(name)), np.asarray(made[0].without(name)))


def test_an_unknown_part_is_refused_by_name(made: Sequence[Scene]) -> None:
    first = made[0].parts[0].name
    with pytest.raises(ArgumentError, match=f"not 'objcet': it has {first}"):
        made[0].without("objcet")
    with pytest.raises(ArgumentError, match="not none"):
        made[0].without()


def test_scenes_with_captions_have_no_parts_to_take_away() -> None:
    (scene,) = effcam.demo.captioned_scenes(1, size=64)
    with pytest.raises(ArgumentError, match="it has none"):
        scene.without("object")


def test_a_mark_tells_the_class_as_often_as_it_is_said_to() -> None:
    made = marked_scenes(60, seed=1, size=32, telling=0.7)
    right = np.mean([scene.mark == scene.target for scene in made])
    assert 0.5 < right < 0.9
    assert not any(scene.mark == scene.target for scene in marked_scenes(20, size=32, telling=0))


def test_only_the_mark_depends_on_what_it_tells() -> None:
    told, untold = (marked_scenes(1, seed=3, size=SIDE, telling=share)[0] for share in (1, 0))
    without = [np.asarray(scene.without("mark")) for scene in (told, untold)]
    assert np.array_equal(*without)
    assert told.mark != untold.mark
    assert not np.array_equal(np.asarray(told.image), np.asarray(untold.image))


def test_marks_of_one_class_are_alike_and_those_of_others_are_not() -> None:
    found: dict[str, list[NDArray[np.float64]]] = {label: [] for label in LABELS}
    for scene in marked_scenes(40, seed=2, size=128, telling=1):
        found[scene.label].append(np.asarray(scene.image, float)[mask_of(scene, "mark")].mean(0))
    within = np.mean([np.std(each, 0).max() for each in found.values()])
    between = np.std([np.mean(each, 0) for each in found.values()], 0).max()
    assert between > 2 * within


def test_a_look_alike_differs_from_its_twin_in_a_detail() -> None:
    for scene in look_alike_scenes(8, seed=4, size=SIDE):
        twin = LOOK_ALIKE_LABELS[scene.target ^ 1]
        assert twin != scene.label
        assert twin.split()[0] == scene.label.split()[0]
        assert 0 < mask_of(scene, "detail").sum() < mask_of(scene, "object").sum()


def brightness(rule: Any) -> tuple[NDArray[np.float64], NDArray[np.bool]]:
    """Return (n, 2) the mean lightness of both places, and whether each picture shows an L."""
    made = tetromino_scenes(60, seed=6, rule=rule)
    places = {scene.target: scene.mask for scene in tetromino_scenes(2, seed=0)}
    grey = np.array([np.asarray(scene.image, float)[..., 0] for scene in made])
    means = np.stack([grey[:, places[target]].mean(1) for target in (0, 1)], 1)
    return means, np.array([scene.target == 1 for scene in made])


def test_under_the_linear_rule_alone_the_brighter_place_tells_the_class() -> None:
    for rule, low, high in (("linear", 0.95, 1.01), ("rotated", 0.25, 0.75)):
        means, wanted = brightness(rule)
        assert low < np.mean((means[:, 1] > means[:, 0]) == wanted) < high


def test_the_multiplicative_rule_damps_the_noise_of_one_place() -> None:
    for scene in tetromino_scenes(6, seed=6, rule="multiplicative"):
        grey = np.asarray(scene.image, float)[..., 0]
        own, other = (grey[part.mask].std() for part in scene.parts)
        assert own < 0.5 * other


GOLDEN = {
    "marked": "f68e57bd49829202",
    "look-alikes": "abbca4124b6e36ee",
    "linear": "aa91c5ee5accf59e",
    "multiplicative": "57b0fc259065ebbd",
    "rotated": "312e11a19a910e93",
}


@pytest.mark.parametrize("kind", GOLDEN)
def test_new_kinds_are_these_to_the_last_bit(kind: str) -> None:
    scene = KINDS[kind]()[1]
    found = scene.image.tobytes() + scene.mask.tobytes()
    assert hashlib.sha256(found).hexdigest()[:16] == GOLDEN[kind]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: marked_scenes(1, telling=1.5), "telling must be from 0 to 1"),
        (lambda: marked_scenes(-1), "n must be a whole number"),
        (lambda: look_alike_scenes(1, seed=-1), "seed must be a whole number"),
        (lambda: look_alike_scenes(1, size=8), "size must be"),
        (lambda: tetromino_scenes(1, rule="diagonal"), "rule must be 'linear' or"),
        (lambda: tetromino_scenes(1, size=(64, 32)), "size must be one number"),
    ],
)
def test_impossible_kinds_are_refused(draw: Callable[[], object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        draw()
