"""Render objects on a lit ground."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from effcam.demo import shading
from effcam.demo.rng import Rng
from effcam.demo.shading import Colour, Plane
from effcam.demo.shapes import Outline, Point, placed, signed_distance

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONTRAST = 0.25
AMBIENT = 0.35
GRAIN = 0.02


@dataclass(frozen=True, slots=True)
class Pose:
    """The pose of an object: centre and radius in px, cosine and sine of its angle, and stretch."""

    at: Point
    radius: float
    turn: Point
    stretch: float

    def overlaps(self, other: Pose, reach: float = 0.9) -> bool:
        """Return whether two objects would overlap, if each reaches that many of its radii."""
        dx, dy = self.at[0] - other.at[0], self.at[1] - other.at[1]
        near = reach * (self.radius + other.radius)
        return dx * dx + dy * dy < near * near


class Renderer:
    """A ground with one light, to which objects are added, each on top of those before.

    Attributes:
        ground: The name of the ground, one of `effcam.demo.shading.GROUNDS`.
    """

    def __init__(self, rng: Rng, width: int, height: int) -> None:
        self._light = shading.light_from(rng.direction(), rng.between(0.9, 1.7))
        self._colours = _ground_colours(rng)
        self.ground = rng.pick(tuple(shading.GROUNDS))
        ground = shading.GROUNDS[self.ground]
        colours, relief = ground(rng, height, width, *self._colours)
        self._picture = colours * self._brightness(shading.lit(relief, self._light))[..., None]

    def add(
        self,
        rng: Rng,
        outline: Outline,
        pose: Pose,
        colours: tuple[Colour, Colour] | None = None,
        *,
        hidden: bool = False,
    ) -> NDArray[np.bool_]:
        """Draw an object on the ground, and return its mask: (height, width) bool.

        Args:
            rng: The random number generator.
            outline: The object's outline.
            pose: Where it lies.
            colours: Its two colours; ``None`` for random ones that contrast with the ground.
            hidden: Whether to leave the picture as it is, with the same random numbers used.
        """
        first, second = colours or self._object_colours(rng)
        material, shine = rng.pick(shading.MATERIALS), rng.between(0, 0.6)
        thick = pose.radius * rng.between(0.15, 0.35)
        # Draw the whole object and its shadow, then cut them at the edges of the picture.
        reach = math.ceil(1.45 * pose.radius + 2.5 * thick + 2)
        left, top = math.floor(pose.at[0]) - reach, math.floor(pose.at[1]) - reach
        at = pose.at[0] - left, pose.at[1] - top
        shape = placed(outline, at, pose.radius, pose.turn, pose.stretch)
        distance = signed_distance(shape, 2 * reach, 2 * reach)
        share = material(rng, *_own_axes(2 * reach, at, pose), 1.5 / pose.radius)
        shade = shading.lit(shading.domed(distance, thick), self._light)
        surface = shading.mix(first, second, share) * self._brightness(shade)[..., None]
        surface += shine * shading.gloss(shade, self._light)[..., None]
        shadow = self._shadow(distance, thick)
        there, here = _overlap(self._picture, left, top, 2 * reach)
        if not hidden:
            ground = self._picture[there] * (1 - shadow[here])[..., None]
            covered = np.clip(0.5 - distance[here], 0, 1)
            self._picture[there] = shading.blend(ground, surface[here], covered)
        seen = np.zeros(self._picture.shape[:2], bool)
        seen[there] = distance[here] < 0
        return seen

    def paint(
        self, outline: Outline, pose: Pose, colour: Colour, *, hidden: bool = False
    ) -> NDArray[np.bool_]:
        """Paint a flat shape of one colour, like a printed label; return its mask, as `add` does.

        Args:
            outline: The shape's outline.
            pose: Where it lies, all of it within the picture.
            colour: Its colour.
            hidden: Whether to leave the picture as it is.
        """
        height, width = self._picture.shape[:2]
        shape = placed(outline, pose.at, pose.radius, pose.turn, pose.stretch)
        distance = signed_distance(shape, height, width)
        if not hidden:
            covered = np.clip(0.5 - distance, 0, 1)
            above = np.asarray(colour, np.float32)
            self._picture[:] = shading.blend(self._picture, above, covered)
        painted: NDArray[np.bool_] = distance < 0
        return painted

    def contrasts(self, colour: Colour) -> bool:
        """Return whether a colour differs enough from those of the ground."""
        return min(shading.difference(colour, ground) for ground in self._colours) > CONTRAST

    def finish(self, rng: Rng) -> NDArray[np.uint8]:
        """Return the picture with light falloff and noise: (h, w, 3) uint8."""
        height, width = self._picture.shape[:2]
        y, x = np.indices((height, width), dtype=np.float32)
        across, down = x / width * 2 - 1, y / height * 2 - 1
        light = 1 + rng.between(0.05, 0.2) * (across * self._light.x + down * self._light.y)
        light = light - rng.between(0.04, 0.14) * (across * across + down * down)
        grain = rng.field(height, width, 3) + rng.field(height, width, 3) - 1
        picture = self._picture * light[..., None] + GRAIN * grain
        pixels: NDArray[np.uint8] = np.floor(np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
        return pixels

    def _brightness(self, shade: Plane) -> Plane:
        return AMBIENT + (1 - AMBIENT) * shade

    def _shadow(self, distance: Plane, thick: float) -> Plane:
        """Return the share of light that an object takes from the ground: (h, w) in [0, 1]."""
        right = round(-self._light.x / self._light.z * thick)
        down = round(-self._light.y / self._light.z * thick)
        cast = np.roll(distance, (down, right), (0, 1))
        soft = max(thick * 0.6, 1.0)
        beside = np.clip(1 - distance / max(thick * 0.5, 1.0), 0, 1)
        left = (1 - 0.55 * shading.smooth(0.5 - cast / soft)) * (1 - 0.3 * beside * beside)
        shadow: Plane = 1 - left
        return shadow

    def _object_colours(self, rng: Rng) -> tuple[Colour, Colour]:
        """Return two colours, of which the first contrasts with the ground."""
        while True:
            hue, saturation = rng.between(0, 1), rng.between(0.15, 0.95)
            first = shading.colour(hue, saturation, rng.between(0.3, 0.95))
            if self.contrasts(first):
                break
        second = shading.colour(
            hue + rng.between(-0.15, 0.15),
            saturation * rng.between(0.3, 1),
            rng.between(0.25, 0.95),
        )
        return first, second


def _ground_colours(rng: Rng) -> tuple[Colour, Colour]:
    hue, saturation = rng.between(0, 1), rng.between(0.05, 0.5)
    value = rng.between(0.35, 0.9)
    second = shading.colour(
        hue + rng.between(-0.06, 0.06),
        saturation * rng.between(0.6, 1.2),
        value * rng.between(0.6, 0.85),
    )
    return shading.colour(hue, saturation, value), second


def _own_axes(side: int, at: Point, pose: Pose) -> tuple[Plane, Plane]:
    """Return an object's own coordinates in units of its radius: two of (side, side)."""
    y, x = np.indices((side, side), dtype=np.float32)
    dx, dy = (x - at[0]) / pose.radius, (y - at[1]) / pose.radius
    cosine, sine = pose.turn
    return cosine * dx + sine * dy, cosine * dy - sine * dx


Window: TypeAlias = tuple[slice, slice]


def _overlap(picture: Plane, left: int, top: int, side: int) -> tuple[Window, Window]:
    """Return the part of a picture that a square covers, and the same part of the square."""
    cuts = [
        (max(start, 0), max(min(start + side, most), 0), start)
        for start, most in zip((top, left), picture.shape, strict=False)
    ]
    there = [slice(start, stop) for start, stop, _ in cuts]
    here = [slice(start - offset, max(stop - offset, 0)) for start, stop, offset in cuts]
    return (there[0], there[1]), (here[0], here[1])
