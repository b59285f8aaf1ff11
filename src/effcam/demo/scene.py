"""What is known of a drawn scene: its objects, and its parts, which can be taken away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image

from effcam.errors import ArgumentError
from effcam.images.geometry import Box
from effcam.images.refs import ImageRef
from effcam.images.truth import Truth

if TYPE_CHECKING:
    from numpy.typing import NDArray

Redraw: TypeAlias = Callable[[frozenset[str]], Image.Image]
"""Draws a scene again without the parts of these names."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneObject:
    """An object in a scene.

    Attributes:
        label: Its class.
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
class ScenePart:
    """A part of a scene that can be taken away.

    Attributes:
        name: Its name, as `Scene.without` takes it.
        mask: (height, width) bool, true where it can be seen.
    """

    name: str
    mask: NDArray[np.bool] = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A picture of one or several objects among distractors, with its annotations.

    `effcam.compare` accepts scenes like photos.

    Attributes:
        image: The picture, in RGB.
        objects: The objects that have a class; each of another one.
        name: The name of the picture in a comparison.
        parts: The parts that `without` can take away, of which no two share a pixel.
        redraw: Draws the picture without the parts of some names; ``None`` if that is not possible.
    """

    image: Image.Image
    objects: tuple[SceneObject, ...]
    name: str
    parts: tuple[ScenePart, ...] = field(default=(), kw_only=True)
    redraw: Redraw | None = field(default=None, kw_only=True, repr=False)

    @property
    def label(self) -> str:
        """The class of the first object."""
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
        mask = union_of([each.mask for each in self.objects], self.mask)
        truth = Truth(
            label=labels[0] if len(labels) == 1 else None,
            labels=labels if len(labels) > 1 else None,
            boxes=tuple(each.box for each in self.objects),
            mask=mask,
        )
        return ImageRef(self.name, self.image, truth)

    def without(self, *names: str) -> Image.Image:
        """Return the picture without some of its parts, all else being equal to the last bit.

        What a part covers, shades or shines on comes to light. So what a model really uses can be
        measured: the part without which its score falls.

        Args:
            names: The names of one or more of the scene's `parts`.

        Raises:
            ArgumentError: If the scene has no such part.

        >>> from effcam.demo import scenes
        >>> (scene,) = scenes(1, size=64)
        >>> [part.name for part in scene.parts]
        ['object', 'distractors']
        >>> scene.without("object").size
        (64, 64)
        """
        known = [part.name for part in self.parts]
        unknown = [name for name in names if name not in known]
        if unknown or not names or self.redraw is None:
            given = ", ".join(map(repr, names)) or "none"
            raise ArgumentError(
                f"give one or more of the parts of {self.name}, not {given}: it has "
                f"{', '.join(known) or 'none'}"
            )
        return self.redraw(frozenset(names))

    def is_hit(self, heat: NDArray[np.float32]) -> bool:
        """Return whether the first object `is_hit` by a map on the picture.

        Args:
            heat: (height, width) float32, as from `effcam.Explanation.upsampled`.
        """
        return self.objects[0].is_hit(heat)


def union_of(masks: Sequence[NDArray[np.bool]], like: NDArray[np.bool]) -> NDArray[np.bool]:
    """Return where any of some masks is, (height, width) of another one."""
    found = np.zeros_like(like)
    for each in masks:
        found |= each
    return found


def box_around(mask: NDArray[np.bool]) -> Box:
    """Return the smallest box around a mask that is true somewhere."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def visible(masks: Sequence[NDArray[np.bool]]) -> list[NDArray[np.bool]]:
    """Return what can be seen of each of some masks, of which later ones lie on top."""
    return [mask & ~union_of(masks[at + 1 :], mask) for at, mask in enumerate(masks)]
