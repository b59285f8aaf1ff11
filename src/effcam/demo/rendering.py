"""A lit ground onto which things are laid, and the picture that is taken of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from effcam.demo import shading
from effcam.demo.rng import Chance
from effcam.demo.shading import Colour, Plane
from effcam.demo.shapes import Outline, Point, placed, signed_distance

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONTRAST = 0.25
AMBIENT = 0.35
GRAIN = 0.02


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a thing lies, and how: its middle and radius in px, its angle's cosine and sine."""

    at: Point
    radius: float
    turn: Point
    stretch: float

    def overlaps(self, other: Spot) -> bool:
        """Return whether two things would lie on one another."""
        dx, dy = self.at[0] - other.at[0], self.at[1] - other.at[1]
        near = 0.9 * (self.radius + other.radius)
        return dx * dx + dy * dy < near * near


class Stage:
    """A ground under one light, onto which things are laid, the later above the earlier."""

    def __init__(self, chance: Chance, width: int, height: int) -> None:
        self._light = shading.light_from(chance.direction(), chance.between(0.9, 1.7))
        self._ground = _ground_colours(chance)
        ground = chance.pick(shading.GROUNDS)
        colours, relief = ground(chance, height, width, *self._ground)
        self._picture = colours * self._brightness(shading.lit(relief, self._light))[..., None]

    def lay(self, chance: Chance, outline: Outline, spot: Spot) -> NDArray[np.bool_]:
        """Lay a thing onto the ground and returns where it is seen: (height, width) bool."""
        first, second = self._thing_colours(chance)
        material, shine = chance.pick(shading.MATERIALS), chance.between(0, 0.6)
        thick = spot.radius * chance.between(0.15, 0.35)
        # The thing and its shadow are made whole, and then cut where the picture ends.
        reach = math.ceil(1.45 * spot.radius + 2.5 * thick + 2)
        left, top = math.floor(spot.at[0]) - reach, math.floor(spot.at[1]) - reach
        at = spot.at[0] - left, spot.at[1] - top
        shape = placed(outline, at, spot.radius, spot.turn, spot.stretch)
        distance = signed_distance(shape, 2 * reach, 2 * reach)
        share = material(chance, *_own_axes(2 * reach, at, spot), 1.5 / spot.radius)
        shade = shading.lit(shading.domed(distance, thick), self._light)
        colours = shading.mix(first, second, share) * self._brightness(shade)[..., None]
        colours += shine * shading.gloss(shade, self._light)[..., None]
        shadow = self._shadow(distance, thick)
        there, here = _overlap(self._picture, left, top, 2 * reach)
        ground = self._picture[there] * (1 - shadow[here])[..., None]
        covered = np.clip(0.5 - distance[here], 0, 1)
        self._picture[there] = shading.blend(ground, colours[here], covered)
        seen = np.zeros(self._picture.shape[:2], bool)
        seen[there] = distance[here] < 0
        return seen

    def develop(self, chance: Chance) -> NDArray[np.uint8]:
        """Return the picture with the light's falling off and a camera's grain: (h, w, 3)."""
        height, width = self._picture.shape[:2]
        y, x = np.indices((height, width), dtype=np.float32)
        across, down = x / width * 2 - 1, y / height * 2 - 1
        light = 1 + chance.between(0.05, 0.2) * (across * self._light.x + down * self._light.y)
        light = light - chance.between(0.04, 0.14) * (across * across + down * down)
        grain = chance.field(height, width, 3) + chance.field(height, width, 3) - 1
        picture = self._picture * light[..., None] + GRAIN * grain
        pixels: NDArray[np.uint8] = np.floor(np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
        return pixels

    def _brightness(self, shade: Plane) -> Plane:
        return AMBIENT + (1 - AMBIENT) * shade

    def _shadow(self, distance: Plane, thick: float) -> Plane:
        """Return how much of the light a thing takes from what lies below it: (h, w) in [0, 1]."""
        right = round(-self._light.x / self._light.z * thick)
        down = round(-self._light.y / self._light.z * thick)
        cast = np.roll(distance, (down, right), (0, 1))
        soft = max(thick * 0.6, 1.0)
        beside = np.clip(1 - distance / max(thick * 0.5, 1.0), 0, 1)
        left = (1 - 0.55 * shading.smooth(0.5 - cast / soft)) * (1 - 0.3 * beside * beside)
        shadow: Plane = 1 - left
        return shadow

    def _thing_colours(self, chance: Chance) -> tuple[Colour, Colour]:
        """Return two colours, the first of which stands out from the ground."""
        while True:
            hue, saturation = chance.between(0, 1), chance.between(0.15, 0.95)
            first = shading.colour(hue, saturation, chance.between(0.3, 0.95))
            if min(shading.difference(first, ground) for ground in self._ground) > CONTRAST:
                break
        second = shading.colour(
            hue + chance.between(-0.15, 0.15),
            saturation * chance.between(0.3, 1),
            chance.between(0.25, 0.95),
        )
        return first, second


def _ground_colours(chance: Chance) -> tuple[Colour, Colour]:
    hue, saturation = chance.between(0, 1), chance.between(0.05, 0.5)
    value = chance.between(0.35, 0.9)
    second = shading.colour(
        hue + chance.between(-0.06, 0.06),
        saturation * chance.between(0.6, 1.2),
        value * chance.between(0.6, 0.85),
    )
    return shading.colour(hue, saturation, value), second


def _own_axes(side: int, at: Point, spot: Spot) -> tuple[Plane, Plane]:
    """Return the coordinates of a thing's own, in units of its radius: twice (side, side)."""
    y, x = np.indices((side, side), dtype=np.float32)
    dx, dy = (x - at[0]) / spot.radius, (y - at[1]) / spot.radius
    cosine, sine = spot.turn
    return cosine * dx + sine * dy, cosine * dy - sine * dx


Window: TypeAlias = tuple[slice, slice]


def _overlap(picture: Plane, left: int, top: int, side: int) -> tuple[Window, Window]:
    """Return what a square covers of a picture, and which part of the square that is."""
    cuts = [
        (max(start, 0), max(min(start + side, most), 0), start)
        for start, most in zip((top, left), picture.shape, strict=False)
    ]
    there = [slice(start, stop) for start, stop, _ in cuts]
    here = [slice(start - offset, max(stop - offset, 0)) for start, stop, offset in cuts]
    return (there[0], there[1]), (here[0], here[1])
