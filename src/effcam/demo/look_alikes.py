"""Scenes whose classes come in pairs that differ in one part: what tells them apart is known."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from effcam.demo.rendering import Renderer
from effcam.demo.rng import Rng
from effcam.demo.scene import Scene, SceneObject, ScenePart, box_around
from effcam.demo.scenes import (
    DISTRACTING,
    add_distractors,
    check_scenes,
    class_at,
    pose_of_object,
)
from effcam.demo.shapes import LOOK_ALIKES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOOK_ALIKE_LABELS: tuple[str, ...] = tuple(LOOK_ALIKES)
"""The eight classes of `look_alike_scenes`, in the order of their indices, twins side by side."""
OBJECT, DETAIL = "object", "detail"
KIND = 3
"""The kind of scenes, as a part of the seed."""
# Larger than other objects, since a part of them must be seen.
RADII = (0.16, 0.24)


def look_alike_scenes(n: int, seed: int = 0, size: int | tuple[int, int] = 256) -> list[Scene]:
    """Draw scenes of classes that come in pairs of twins, which differ in one part.

    A fish has a back fin or not, a gear a hole, a key teeth, a clover a stem; all else is as in
    `scenes`, but for larger objects. The part named ``"detail"`` is where an object and its twin
    differ; without it, the picture shows the twin.

    A picture depends only on the seed, its index and its size, and is bit-identical on every
    machine.

    Args:
        n: The number of pictures; every eight show all classes, in random order.
        seed: A whole number of at least 0; another seed gives other pictures.
        size: Width and height in px, or one number for a square.

    Raises:
        ArgumentError: If an argument is impossible.

    >>> scene = look_alike_scenes(3, seed=1, size=64)[2]
    >>> scene.label in LOOK_ALIKE_LABELS, [part.name for part in scene.parts]
    (True, ['object', 'detail', 'distractors'])
    """
    n, seed, width, height = check_scenes(n, seed, size)
    return [look_alike_scene(seed, index, width, height) for index in range(n)]


def look_alike_scene(seed: int, index: int, width: int, height: int) -> Scene:
    """Draw the scene with an index among those of a seed."""
    plan = _Plan(seed, index, width, height)
    picture, mask, twin, others = plan.draw()
    target = plan.target
    detail = mask ^ twin
    parts = (
        ScenePart(OBJECT, mask & ~detail),
        ScenePart(DETAIL, detail),
        ScenePart(DISTRACTING, others & ~(mask | twin)),
    )
    found = SceneObject(LOOK_ALIKE_LABELS[target], target, box_around(mask), mask)
    return Scene(picture, (found,), f"scene {index + 1}", parts=parts, redraw=plan.redraw)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a scene depends on."""

    seed: int
    index: int
    width: int
    height: int

    @property
    def target(self) -> int:
        return class_at(self.seed, self.index, len(LOOK_ALIKE_LABELS))

    def redraw(self, hidden: frozenset[str]) -> Image.Image:
        """Return the picture without some of its parts."""
        return self.draw(hidden)[0]

    def draw(
        self, hidden: Container[str] = ()
    ) -> tuple[Image.Image, NDArray[np.bool], NDArray[np.bool], NDArray[np.bool]]:
        """Return the picture, and the masks of the object, of its twin and of the distractors."""
        rng = Rng(self.seed, self.index, 1, KIND)
        renderer = Renderer(rng, self.width, self.height)
        pose = pose_of_object(rng, self.width, self.height, RADII)
        others = add_distractors(
            renderer, rng, self.width, self.height, [pose], hidden=DISTRACTING in hidden
        )
        # Twins have neighbouring indices; both take the same random numbers.
        own, twin = (LOOK_ALIKES[LOOK_ALIKE_LABELS[at]]() for at in (self.target, self.target ^ 1))
        gone, exchanged = OBJECT in hidden, DETAIL in hidden
        twin_mask = renderer.add(rng.copy(), twin, pose, hidden=gone or not exchanged)
        mask = renderer.add(rng, own, pose, hidden=gone or exchanged)
        return Image.fromarray(renderer.finish(rng)), mask, twin_mask, others
