"""Scenes: drawn pictures of objects among distractors, each with its label, box and mask."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from effcam.demo.rendering import Pose, Renderer
from effcam.demo.rng import Rng
from effcam.demo.scene import Scene, SceneObject, ScenePart, box_around, union_of, visible
from effcam.demo.shapes import DISTRACTORS, OBJECTS, pebble
from effcam.errors import ArgumentError, check_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABELS: tuple[str, ...] = tuple(OBJECTS)
"""The ten classes of the scenes and of the demo models, in the order of their indices."""

MIN_SIZE, MAX_SIZE = 32, 4096
# As shares of the shorter side: the object's distance to the edges of the central square, which a
# usual transform crops to 7/8, and the radii of objects and pebbles.
MARGIN = 0.07
RADII = (0.10, 0.17)
PEBBLE_RADII = (0.007, 0.022)
OBJECT_NAMES = ("object", "object 2", "object 3")
DISTRACTING = "distractors"
"""The names of a scene's parts."""
MOST_OBJECTS = 3
"""The most objects with a class in a scene: more do not fit."""


def scenes(
    n: int, seed: int = 0, size: int | tuple[int, int] = 256, *, objects: int = 1
) -> list[Scene]:
    """Draw pictures that look somewhat like photos, with complete annotations.

    Objects lie on a ground and are lit from one side. One object in each picture has a class, one
    of the ten in `effcam.demo.LABELS`; its position, size, angle, colour and material are random,
    and so are those of the distractors. A picture depends only on the seed, its index, its size
    and the number of objects, and is bit-identical on every machine.

    Args:
        n: The number of pictures; every ten show all classes, in random order.
        seed: A whole number of at least 0; another seed gives other pictures.
        size: Width and height in px, or one number for a square. The object lies in the central
            square, inset by 7 %, so that a usual central crop shows all of it.
        objects: The number of objects with a class in each picture, 1 to 3, each of another class:
            pictures with several labels.

    Raises:
        ArgumentError: If an argument is impossible.

    >>> scene = scenes(3, seed=1, size=64)[2]
    >>> scene.image.size, scene.mask.shape
    ((64, 64), (64, 64))
    >>> scene.label in LABELS, scene.box.width < 64
    (True, True)
    """
    n, seed, width, height = check_scenes(n, seed, size)
    if check_number("objects", objects) > MOST_OBJECTS:
        raise ArgumentError(f"objects must be from 1 to {MOST_OBJECTS}, not {objects!r}")
    return [scene(seed, index, (width, height), objects) for index in range(n)]


def check_scenes(n: object, seed: object, size: object) -> tuple[int, int, int, int]:
    """Return the number of pictures, their seed, their width and their height.

    Raises:
        ArgumentError: If one of them is impossible.
    """
    return (check_number("n", n), check_number("seed", seed, least=0), *check_size(size))


def check_size(size: object) -> tuple[int, int]:
    """Return the width and the height of pictures.

    Raises:
        ArgumentError: If it is not a possible size.
    """
    pair = (size, size) if isinstance(size, Integral) else size
    if (
        not isinstance(pair, Sequence)
        or len(pair) != 2
        or not all(
            isinstance(each, Integral) and MIN_SIZE <= int(each) <= MAX_SIZE for each in pair
        )
    ):
        raise ArgumentError(
            f"size must be a number of px from {MIN_SIZE} to {MAX_SIZE}, or a (width, height) pair "
            f"of them, not {size!r}"
        )
    return int(pair[0]), int(pair[1])


def scene(
    seed: int,
    index: int,
    size: tuple[int, int],
    objects: int = 1,
    radii: tuple[float, float] = RADII,
) -> Scene:
    """Draw the scene with an index among those of a seed; radii as shares of the shorter side."""
    plan = _Plan(seed, index, size, objects, radii)
    picture, targets, masks, others = plan.draw()
    seen = visible(masks)
    parts = [ScenePart(*each) for each in zip(OBJECT_NAMES, seen, strict=False)]
    parts.append(ScenePart(DISTRACTING, others & ~union_of(seen, others)))
    found = [
        SceneObject(LABELS[target], target, box_around(mask), mask)
        for target, mask in zip(targets, seen, strict=True)
    ]
    return Scene(
        picture, tuple(found), f"scene {index + 1}", parts=tuple(parts), redraw=plan.redraw
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a scene depends on."""

    seed: int
    index: int
    size: tuple[int, int]
    objects: int
    radii: tuple[float, float]

    def redraw(self, hidden: frozenset[str]) -> Image.Image:
        """Return the picture without some of its parts."""
        return self.draw(hidden)[0]

    def draw(
        self, hidden: Container[str] = ()
    ) -> tuple[Image.Image, list[int], list[NDArray[np.bool]], NDArray[np.bool]]:
        """Return a picture, its objects' classes and whole masks, and its distractors' mask."""
        # Scenes of one object are those of the first release, to the last bit.
        one = self.objects == 1
        rng = Rng(self.seed, self.index) if one else Rng(self.seed, self.index, self.objects)
        targets = _classes_at(rng, self.seed, self.index, self.objects)
        renderer = Renderer(rng, *self.size)
        poses = _poses(rng, self.size, self.objects, self.radii)
        others = add_distractors(renderer, rng, *self.size, poses, hidden=DISTRACTING in hidden)
        masks = [
            renderer.add(rng, OBJECTS[LABELS[target]](), pose, hidden=name in hidden)
            for name, target, pose in zip(OBJECT_NAMES, targets, poses, strict=False)
        ]
        return Image.fromarray(renderer.finish(rng)), targets, masks, others


def add_distractors(
    renderer: Renderer,
    rng: Rng,
    width: int,
    height: int,
    objects: Sequence[Pose],
    *,
    hidden: bool = False,
) -> NDArray[np.bool]:
    """Draw distractors and pebbles; the distractors do not overlap the objects.

    Returns:
        (height, width), where they are; they are not drawn if they are to be hidden.
    """
    taken, covered = list(objects), np.zeros((height, width), bool)
    for _ in range(rng.whole(3, 5)):
        other = _free_pose(rng, width, height, taken)
        if other is not None:
            covered |= renderer.add(rng, rng.pick(DISTRACTORS)(rng), other, hidden=hidden)
            taken.append(other)
    for small in _pebbles(rng, width, height):
        covered |= renderer.add(rng, pebble(rng), small, hidden=hidden)
    return covered


def _classes_at(rng: Rng, seed: int, index: int, objects: int) -> list[int]:
    """Return the classes of a scene's objects, all different."""
    found = [class_at(seed, index)]
    while len(found) < objects:
        other = rng.whole(0, len(LABELS) - 1)
        if other not in found:
            found.append(other)
    return found


def _poses(rng: Rng, size: tuple[int, int], objects: int, radii: tuple[float, float]) -> list[Pose]:
    """Return poses of objects that do not overlap."""
    poses = [pose_of_object(rng, *size, radii)]
    while len(poses) < objects:
        other = pose_of_object(rng, *size, radii)
        if not any(other.overlaps(each) for each in poses):
            poses.append(other)
    return poses


def class_at(seed: int, index: int, classes: int = len(LABELS)) -> int:
    """Return the class of a scene: each block of as many scenes shows all, in random order."""
    block, place = divmod(index, classes)
    rng = Rng(seed, block, classes)
    order = list(range(classes))
    for last in range(len(order) - 1, 0, -1):
        other = rng.whole(0, last)
        order[last], order[other] = order[other], order[last]
    return order[place]


def pose_of_object(rng: Rng, width: int, height: int, radii: tuple[float, float] = RADII) -> Pose:
    """Return a pose of the object within the central square and its margin.

    Uninformed maps tend to point at the centre, so objects lie there half as often.
    """
    side = min(width, height)
    while True:
        radius = side * rng.between(*radii)
        reach = side * (0.5 - MARGIN) - 1.1 * radius
        dx, dy = rng.between(-reach, reach), rng.between(-reach, reach)
        if dx * dx + dy * dy > radius * radius or rng.happens(0.5):
            break
    at = width / 2 + dx, height / 2 + dy
    return Pose(at, radius, rng.direction(), rng.between(0.88, 1.14))


def _free_pose(rng: Rng, width: int, height: int, taken: Sequence[Pose]) -> Pose | None:
    """Return a free pose for a distractor, which the picture's edge may cut, or ``None``."""
    side = min(width, height)
    for _ in range(12):
        radius = side * rng.between(*RADII)
        at = rng.between(0, width), rng.between(0, height)
        pose = Pose(at, radius, rng.direction(), rng.between(0.88, 1.14))
        if not any(pose.overlaps(other) for other in taken):
            return pose
    return None


def _pebbles(rng: Rng, width: int, height: int) -> list[Pose]:
    side = min(width, height)
    return [
        Pose(
            (rng.between(0, width), rng.between(0, height)),
            side * rng.between(*PEBBLE_RADII),
            rng.direction(),
            rng.between(0.5, 2),
        )
        for _ in range(rng.whole(8, 24))
    ]
