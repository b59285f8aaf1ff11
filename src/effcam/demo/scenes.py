"""Pictures of things that lie on the ground, of which one has a class: each with label and mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from effcam.demo.rendering import Spot, Stage
from effcam.demo.rng import Chance
from effcam.demo.shapes import DISTRACTORS, THINGS, pebble
from effcam.errors import ArgumentError, check_number
from effcam.images.geometry import Box
from effcam.images.refs import ImageRef
from effcam.images.truth import Truth

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABELS: tuple[str, ...] = tuple(THINGS)
"""The ten classes of the scenes and of the demo models, in the order of their indices."""

MIN_SIZE, MAX_SIZE = 32, 4096
# Of the shorter side: how far the object keeps from the edges of the central square, which a
# usual transform crops to 7/8, and the radii of the things.
MARGIN = 0.07
RADII = (0.10, 0.17)
CRUMBS = (0.007, 0.022)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A picture with one object of a class among distractors, and what is known of it.

    `effcam.compare` takes scenes as it takes photos.

    Attributes:
        image: The picture, in RGB.
        label: The object's class, one of ten.
        target: The index of that class.
        box: The smallest box around the object, px.
        mask: (height, width) bool, true where the object is.
        name: What to call the picture in a comparison.
    """

    image: Image.Image
    label: str
    target: int
    box: Box
    mask: NDArray[np.bool] = field(repr=False)
    name: str

    @property
    def ref(self) -> ImageRef:
        """The picture under its name and with its truth, as a comparison refers to it."""
        truth = Truth(label=self.target, boxes=(self.box,), mask=self.mask)
        return ImageRef(self.name, self.image, truth)

    def is_hit(self, heat: NDArray[np.float32]) -> bool:
        """Return whether the strongest point of a map over the picture lies in the object's box.

        This is the pointing game of Zhang et al. 2016 (arXiv 1608.00507), without a tolerance.

        Args:
            heat: (height, width) float32, as `effcam.Explanation.upsampled` gives it. A map that
                is the same everywhere points nowhere, and is no hit.
        """
        y, x = np.unravel_index(int(heat.argmax()), heat.shape)
        inside = self.box.left <= x < self.box.right and self.box.top <= y < self.box.bottom
        return bool(inside and heat[y, x] > heat.min())


def scenes(n: int, seed: int = 0, size: int | tuple[int, int] = 256) -> list[Scene]:
    """Return pictures that look somewhat like photos, of which everything is known.

    Things lie on a ground and are lit from one side. One in each picture has a class, of the ten
    in `effcam.demo.LABELS`; its place, size, angle, colour and material are drawn at random. The
    distractors share all of these. A picture depends on the seed, its position and its size alone,
    to the last bit, on every machine.

    Args:
        n: How many; their classes take turns in random order.
        seed: A whole number from 0 on; another one gives other pictures.
        size: Width and height in px, or one number for a square. The object lies in the central
            square, inset by 7 %, so that a usual central crop shows it whole.

    Raises:
        ArgumentError: If an argument is impossible.

    >>> scene = scenes(3, seed=1, size=64)[2]
    >>> scene.image.size, scene.mask.shape
    ((64, 64), (64, 64))
    >>> scene.label in LABELS, scene.box.width < 64
    (True, True)
    """
    width, height = _check_size(size)
    n, seed = check_number("n", n), check_number("seed", seed, least=0)
    return [scene(seed, index, width, height) for index in range(n)]


def _check_size(size: object) -> tuple[int, int]:
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


def scene(seed: int, index: int, width: int, height: int) -> Scene:
    """Return the scene at one position of those of a seed."""
    chance = Chance(seed, index)
    target = _turn(seed, index)
    stage = Stage(chance, width, height)
    spot = _spot(chance, width, height)
    taken = [spot]
    for _ in range(chance.whole(3, 5)):
        other = _free_spot(chance, width, height, taken)
        if other is not None:
            stage.lay(chance, chance.pick(DISTRACTORS)(chance), other)
            taken.append(other)
    for crumb in _crumbs(chance, width, height):
        stage.lay(chance, pebble(chance), crumb)
    mask = stage.lay(chance, THINGS[LABELS[target]](), spot)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    picture = Image.fromarray(stage.develop(chance))
    return Scene(picture, LABELS[target], target, box, mask, f"scene {index + 1}")


def _turn(seed: int, index: int) -> int:
    """Return the class of a scene: every ten scenes in a row show all ten, in random order."""
    block, place = divmod(index, len(LABELS))
    chance = Chance(seed, block, len(LABELS))
    order = list(range(len(LABELS)))
    for last in range(len(order) - 1, 0, -1):
        other = chance.whole(0, last)
        order[last], order[other] = order[other], order[last]
    return order[place]


def _spot(chance: Chance, width: int, height: int) -> Spot:
    """Return where the object lies: whole within the central square, short of its margin.

    The middle is where maps that know nothing tend to point, so objects lie there half as often.
    """
    side = min(width, height)
    while True:
        radius = side * chance.between(*RADII)
        reach = side * (0.5 - MARGIN) - 1.1 * radius
        dx, dy = chance.between(-reach, reach), chance.between(-reach, reach)
        if dx * dx + dy * dy > radius * radius or chance.happens(0.5):
            break
    at = width / 2 + dx, height / 2 + dy
    return Spot(at, radius, chance.direction(), chance.between(0.88, 1.14))


def _free_spot(chance: Chance, width: int, height: int, taken: Sequence[Spot]) -> Spot | None:
    """Return a place for a distractor, which the picture's edge may cut, or ``None``."""
    side = min(width, height)
    for _ in range(12):
        radius = side * chance.between(*RADII)
        at = chance.between(0, width), chance.between(0, height)
        spot = Spot(at, radius, chance.direction(), chance.between(0.88, 1.14))
        if not any(spot.overlaps(other) for other in taken):
            return spot
    return None


def _crumbs(chance: Chance, width: int, height: int) -> list[Spot]:
    side = min(width, height)
    return [
        Spot(
            (chance.between(0, width), chance.between(0, height)),
            side * chance.between(*CRUMBS),
            chance.direction(),
            chance.between(0.5, 2),
        )
        for _ in range(chance.whole(8, 24))
    ]
