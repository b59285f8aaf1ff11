"""Scenes: drawn pictures of objects among distractors, each with its label, box and mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from effcam.demo.rendering import Pose, Renderer
from effcam.demo.rng import Rng
from effcam.demo.shapes import DISTRACTORS, OBJECTS, pebble
from effcam.errors import ArgumentError, check_number
from effcam.images.geometry import Box
from effcam.images.refs import ImageRef
from effcam.images.truth import Truth

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
MOST_OBJECTS = 3
"""The most objects with a class in a scene: more do not fit."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneObject:
    """An object in a scene.

    Attributes:
        label: Its class, one of ten.
        target: The index of that class.
        box: The smallest box around what can be seen of it, px.
        mask: (height, width) bool, true where it can be seen.
    """

    label: str
    target: int
    box: Box
    mask: NDArray[np.bool] = field(repr=False)

    def is_hit(self, heat: NDArray[np.float32]) -> bool:
        """Return whether the hottest point of a map on the picture is in the object's box.

        This is the pointing game of Zhang et al. 2016 (arXiv 1608.00507), without a tolerance.

        Args:
            heat: (height, width) float32, as from `effcam.Explanation.upsampled`. A constant map
                is not a hit.
        """
        y, x = np.unravel_index(int(heat.argmax()), heat.shape)
        inside = self.box.left <= x < self.box.right and self.box.top <= y < self.box.bottom
        return bool(inside and heat[y, x] > heat.min())


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A picture of one or several objects among distractors, with its annotations.

    `effcam.compare` accepts scenes like photos.

    Attributes:
        image: The picture, in RGB.
        objects: The objects that have a class; each of another one.
        name: The name of the picture in a comparison.
    """

    image: Image.Image
    objects: tuple[SceneObject, ...]
    name: str

    @property
    def label(self) -> str:
        """The class of the first object, one of ten."""
        return self.objects[0].label

    @property
    def target(self) -> int:
        """The index of that class."""
        return self.objects[0].target

    @property
    def box(self) -> Box:
        """The smallest box around the first object, px."""
        return self.objects[0].box

    @property
    def mask(self) -> NDArray[np.bool]:
        """(height, width) bool, true where the first object is."""
        return self.objects[0].mask

    @property
    def ref(self) -> ImageRef:
        """The picture with its name and annotations, as a comparison refers to it."""
        labels = tuple(each.label for each in self.objects)
        mask = _together([each.mask for each in self.objects], self.mask)
        truth = Truth(
            label=labels[0] if len(labels) == 1 else None,
            labels=labels if len(labels) > 1 else None,
            boxes=tuple(each.box for each in self.objects),
            mask=mask,
        )
        return ImageRef(self.name, self.image, truth)

    def is_hit(self, heat: NDArray[np.float32]) -> bool:
        """Return whether the first object `is_hit` by a map on the picture.

        Args:
            heat: (height, width) float32, as from `effcam.Explanation.upsampled`.
        """
        return self.objects[0].is_hit(heat)


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
    width, height = check_size(size)
    n, seed = check_number("n", n), check_number("seed", seed, least=0)
    if check_number("objects", objects) > MOST_OBJECTS:
        raise ArgumentError(f"objects must be from 1 to {MOST_OBJECTS}, not {objects!r}")
    return [scene(seed, index, width, height, objects) for index in range(n)]


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


def scene(seed: int, index: int, width: int, height: int, objects: int = 1) -> Scene:
    """Draw the scene with an index among those of a seed."""
    # Scenes of one object are those of the first release, to the last bit.
    rng = Rng(seed, index) if objects == 1 else Rng(seed, index, objects)
    targets = _classes_at(rng, seed, index, objects)
    renderer = Renderer(rng, width, height)
    poses = _poses(rng, width, height, objects)
    add_distractors(renderer, rng, width, height, poses)
    masks = [
        renderer.add(rng, OBJECTS[LABELS[target]](), pose)
        for target, pose in zip(targets, poses, strict=True)
    ]
    found = [
        # Objects drawn later lie on top.
        _annotated(target, mask & ~_together(masks[at + 1 :], mask))
        for at, (target, mask) in enumerate(zip(targets, masks, strict=True))
    ]
    picture = Image.fromarray(renderer.finish(rng))
    return Scene(picture, tuple(found), f"scene {index + 1}")


def _together(masks: Sequence[NDArray[np.bool]], like: NDArray[np.bool]) -> NDArray[np.bool]:
    """Return where any of some masks is, (height, width) of another one."""
    found = np.zeros_like(like)
    for each in masks:
        found |= each
    return found


def add_distractors(
    renderer: Renderer, rng: Rng, width: int, height: int, objects: Sequence[Pose]
) -> None:
    """Draw distractors and pebbles; the distractors do not overlap the objects."""
    taken = list(objects)
    for _ in range(rng.whole(3, 5)):
        other = _free_pose(rng, width, height, taken)
        if other is not None:
            renderer.add(rng, rng.pick(DISTRACTORS)(rng), other)
            taken.append(other)
    for small in _pebbles(rng, width, height):
        renderer.add(rng, pebble(rng), small)


def box_around(mask: NDArray[np.bool]) -> Box:
    """Return the smallest box around a mask that is true somewhere."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def _annotated(target: int, mask: NDArray[np.bool]) -> SceneObject:
    return SceneObject(LABELS[target], target, box_around(mask), mask)


def _classes_at(rng: Rng, seed: int, index: int, objects: int) -> list[int]:
    """Return the classes of a scene's objects, all different."""
    found = [_class_at(seed, index)]
    while len(found) < objects:
        other = rng.whole(0, len(LABELS) - 1)
        if other not in found:
            found.append(other)
    return found


def _poses(rng: Rng, width: int, height: int, objects: int) -> list[Pose]:
    """Return poses of objects that do not overlap."""
    poses = [pose_of_object(rng, width, height)]
    while len(poses) < objects:
        other = pose_of_object(rng, width, height)
        if not any(other.overlaps(each) for each in poses):
            poses.append(other)
    return poses


def _class_at(seed: int, index: int) -> int:
    """Return the class of a scene: each block of ten scenes shows all ten, in random order."""
    block, place = divmod(index, len(LABELS))
    rng = Rng(seed, block, len(LABELS))
    order = list(range(len(LABELS)))
    for last in range(len(order) - 1, 0, -1):
        other = rng.whole(0, last)
        order[last], order[other] = order[other], order[last]
    return order[place]


def pose_of_object(rng: Rng, width: int, height: int) -> Pose:
    """Return a pose of the object within the central square and its margin.

    Uninformed maps tend to point at the centre, so objects lie there half as often.
    """
    side = min(width, height)
    while True:
        radius = side * rng.between(*RADII)
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
