"""Scenes with a mark that may give the class away: planted shortcuts."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from PIL import Image

from effcam.demo import shading
from effcam.demo.rendering import Pose, Renderer
from effcam.demo.rng import Rng
from effcam.demo.scene import Scene, SceneObject, ScenePart, box_around
from effcam.demo.scenes import (
    DISTRACTING,
    LABELS,
    add_distractors,
    check_scenes,
    class_at,
    pose_of_object,
)
from effcam.demo.shapes import MARK_HALVES, OBJECTS
from effcam.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OBJECT, MARK = "object", "mark"
KIND = 2
"""The kind of scenes, as a part of the seed."""
RADII = (0.15, 0.22)
MARK_RADIUS = 0.085
"""The radius of a mark, as a share of the shorter side."""
# Colours that stay apart under all lights; each pair of them stands for one class.
HUES = ((0.0, 0.9, 0.9), (0.15, 0.9, 0.95), (0.36, 0.85, 0.65), (0.62, 0.9, 0.85), (0.0, 0.0, 1.0))
PAIRS = tuple(combinations((shading.colour(*each) for each in HUES), 2))


@dataclass(frozen=True, slots=True, eq=False)
class MarkedScene(Scene):
    """A scene with a mark: a tag of two colours, which stands for a class.

    Attributes:
        image: The picture, in RGB.
        objects: Its one object.
        name: The name of the picture in a comparison.
        parts: The object, the mark and the distractors.
        redraw: Draws the picture without the parts of some names.
        mark: The index of the class that the mark stands for, not always the object's.
    """

    mark: int


def marked_scenes(
    n: int, seed: int = 0, size: int | tuple[int, int] = 256, *, telling: float = 0.1
) -> list[MarkedScene]:
    """Draw scenes like those of `scenes`, each with a mark that may give its class away.

    A mark is a small tag of two colours; each pair of colours stands for one class. A network
    trained where marks tell the class learns to read them: a planted shortcut, as in BackX (Das et
    al. 2024, arXiv:2405.02344). Where they do not, its accuracy falls, and what it uses can be
    measured by taking away the mark or the object (`Scene.without`).

    A picture depends only on the seed, its index, its size and ``telling``, and is bit-identical on
    every machine.

    Args:
        n: The number of pictures; every ten show all classes, in random order.
        seed: A whole number of at least 0; another seed gives other pictures.
        size: Width and height in px, or one number for a square.
        telling: The share of the pictures whose mark is that of their class, in [0, 1]; the others
            have the mark of another class. 0.1 says nothing about the class of ten.

    Raises:
        ArgumentError: If an argument is impossible.

    >>> made = marked_scenes(20, seed=1, size=64, telling=1)
    >>> all(scene.mark == scene.target for scene in made)
    True
    >>> [part.name for part in made[0].parts]
    ['object', 'mark', 'distractors']
    """
    n, seed, width, height = check_scenes(n, seed, size)
    if not 0 <= telling <= 1:
        raise ArgumentError(f"telling must be from 0 to 1, not {telling!r}")
    return [marked_scene(seed, index, (width, height), telling) for index in range(n)]


def marked_scene(seed: int, index: int, size: tuple[int, int], telling: float) -> MarkedScene:
    """Draw the scene with an index among those of a seed."""
    plan = _Plan(seed, index, size, telling)
    picture, mask, label, others = plan.draw()
    parts = (
        ScenePart(OBJECT, mask & ~label),
        ScenePart(MARK, label),
        ScenePart(DISTRACTING, others & ~(mask | label)),
    )
    target = plan.target
    found = SceneObject(LABELS[target], target, box_around(mask & ~label), mask & ~label)
    return MarkedScene(
        picture, (found,), f"scene {index + 1}", plan.mark, parts=parts, redraw=plan.redraw
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a scene depends on."""

    seed: int
    index: int
    size: tuple[int, int]
    telling: float

    @property
    def target(self) -> int:
        return class_at(self.seed, self.index)

    @property
    def mark(self) -> int:
        """The class that the mark stands for."""
        rng = Rng(self.seed, self.index, KIND)
        if rng.happens(self.telling):
            return self.target
        return (self.target + rng.whole(1, len(LABELS) - 1)) % len(LABELS)

    def redraw(self, hidden: frozenset[str]) -> Image.Image:
        """Return the picture without some of its parts."""
        return self.draw(hidden)[0]

    def draw(
        self, hidden: Container[str] = ()
    ) -> tuple[Image.Image, NDArray[np.bool], NDArray[np.bool], NDArray[np.bool]]:
        """Return the picture, and the masks of the object, of the mark and of the distractors."""
        # The mark takes no random number: all else is the same under every mark.
        rng = Rng(self.seed, self.index, 1, KIND)
        renderer = Renderer(rng, *self.size)
        pose = pose_of_object(rng, *self.size, RADII)
        tag = _mark_pose(rng, *self.size, pose)
        others = add_distractors(
            renderer, rng, *self.size, [pose, tag], hidden=DISTRACTING in hidden
        )
        outline = OBJECTS[LABELS[self.target]]()
        mask = renderer.add(rng, outline, pose, hidden=OBJECT in hidden)
        colours = PAIRS[self.mark]
        first, second = (
            renderer.paint(half, tag, colour, hidden=MARK in hidden)
            for half, colour in zip(MARK_HALVES, colours, strict=True)
        )
        return Image.fromarray(renderer.finish(rng)), mask, first | second, others


def _mark_pose(rng: Rng, width: int, height: int, taken: Pose) -> Pose:
    """Return a pose of the mark within the central square, off the object."""
    while True:
        pose = pose_of_object(rng, width, height, (MARK_RADIUS, MARK_RADIUS))
        if not pose.overlaps(taken, 1.1):
            return Pose(pose.at, pose.radius, pose.turn, 1.0)
