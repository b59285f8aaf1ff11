"""The outlines of the objects in scenes, and the distance of every pixel to them.

An outline fits the circle of radius 1 around (0, 0); x goes right and y down, as in images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from effcam.demo.rng import Rng

if TYPE_CHECKING:
    from numpy.typing import NDArray

Point: TypeAlias = tuple[float, float]
Loop: TypeAlias = list[Point]


@dataclass(frozen=True, slots=True)
class Outline:
    """A flat shape: the union of some closed loops, less the union of others."""

    parts: tuple[Loop, ...]
    holes: tuple[Loop, ...] = ()


def signed_distance(outline: Outline, height: int, width: int) -> NDArray[np.float32]:
    """Return each pixel centre's distance to the outline: (height, width), < 0 inside, px.

    Args:
        outline: Its loops in px, pixel (0, 0) covering the square from (0, 0) to (1, 1).
        height: The height in px.
        width: The width in px.
    """
    y, x = np.indices((height, width), dtype=np.float32) + np.float32(0.5)
    distance = _union(outline.parts, x, y)
    if outline.holes:
        distance = np.maximum(distance, -_union(outline.holes, x, y))
    return distance


def _union(
    loops: Sequence[Loop], x: NDArray[np.float32], y: NDArray[np.float32]
) -> NDArray[np.float32]:
    distances = [_to_loop(loop, x, y) for loop in loops]
    nearest = distances[0]
    for distance in distances[1:]:
        nearest = np.minimum(nearest, distance)
    return nearest


def _to_loop(loop: Loop, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the distance to the nearest edge, negative where a ray crosses the loop oddly."""
    nearest = np.full(x.shape, np.inf, np.float32)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(loop, loop[1:] + loop[:1], strict=True):
        across, down = np.float32(bx - ax), np.float32(by - ay)
        if across == 0 and down == 0:
            continue
        dx, dy = x - np.float32(ax), y - np.float32(ay)
        along = (dx * across + dy * down) / (across * across + down * down)
        along = np.clip(along, np.float32(0), np.float32(1))
        ex, ey = dx - along * across, dy - along * down
        nearest = np.minimum(nearest, ex * ex + ey * ey)
        if down != 0:
            spans = (y >= np.float32(ay)) != (y >= np.float32(by))
            inside ^= spans & (dx < dy / down * across)
    return np.where(inside, -np.sqrt(nearest), np.sqrt(nearest))


def placed(
    outline: Outline, at: Point, radius: float, turn: Point, stretch: float = 1.0
) -> Outline:
    """Return the outline in px: stretched, turned, scaled and moved.

    Args:
        outline: An outline in the unit circle.
        at: Its centre, px.
        radius: The length of its unit, px.
        turn: The cosine and the sine of the angle.
        stretch: Its width divided by its height.
    """
    cosine, sine = turn
    wide, tall = radius * math.sqrt(stretch), radius / math.sqrt(stretch)

    def place(loop: Loop) -> Loop:
        return [
            (
                at[0] + cosine * (wide * x) - sine * (tall * y),
                at[1] + sine * (wide * x) + cosine * (tall * y),
            )
            for x, y in loop
        ]

    return Outline(tuple(map(place, outline.parts)), tuple(map(place, outline.holes)))


# loops


def _round(loop: Loop, times: int = 2) -> Loop:
    """Return the loop with its corners cut several times (Chaikin 1974)."""
    for _ in range(times):
        pairs = zip(loop, loop[1:] + loop[:1], strict=True)
        loop = [
            point
            for (ax, ay), (bx, by) in pairs
            for point in (
                (0.75 * ax + 0.25 * bx, 0.75 * ay + 0.25 * by),
                (0.25 * ax + 0.75 * bx, 0.25 * ay + 0.75 * by),
            )
        ]
    return loop


def _spoke(turns: float, radius: float = 1.0) -> Point:
    """Return the point at a share of a full turn, rounded, since sines differ by machine."""
    angle = 2 * math.pi * turns
    return radius * round(math.cos(angle), 9), radius * round(math.sin(angle), 9)


def _disc(x: float, y: float, radius: float, corners: int = 20) -> Loop:
    around = (_spoke(corner / corners, radius) for corner in range(corners))
    return [(x + dx, y + dy) for dx, dy in around]


def _bar(left: float, top: float, right: float, bottom: float) -> Loop:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _mirrored(half: Loop) -> Loop:
    """Return the loop of a right half, from top to bottom, with its mirror image."""
    return half + [(-x, y) for x, y in reversed(half) if x != 0]


def _flipped(loop: Loop) -> Loop:
    return [(-x, y) for x, y in loop]


# the ten classes


def _arrow() -> Outline:
    shaft = [(0.15, 0.24), (-1, 0.24), (-1, -0.24), (0.15, -0.24)]
    return Outline(([(1, 0), (0.15, 0.72), *shaft, (0.15, -0.72)],))


def _bone() -> Outline:
    knobs = [_disc(x, y, 0.3) for x in (-0.68, 0.68) for y in (-0.25, 0.25)]
    return Outline((_bar(-0.7, -0.19, 0.7, 0.19), *knobs))


def _butterfly() -> Outline:
    upper = _round(
        [(0.02, -0.08), (0.3, -0.7), (0.78, -0.95), (1.02, -0.6), (0.8, -0.05), (0, 0.1)]
    )
    lower = _round([(0.02, -0.02), (0.62, 0.06), (0.86, 0.42), (0.6, 0.92), (0.24, 0.78), (0, 0.2)])
    body = _round(
        [(0, -0.62), (0.13, -0.45), (0.11, 0.55), (0, 0.75), (-0.11, 0.55), (-0.13, -0.45)]
    )
    return Outline((upper, lower, _flipped(upper), _flipped(lower), body))


def _clover(*, stem: bool = True) -> Outline:
    leaves = [_disc(*_spoke(turns, 0.5), 0.42) for turns in (-1 / 4, 1 / 12, 5 / 12)]
    stalk = _round(
        [(-0.06, 0), (0.06, 0), (0.12, 0.5), (0.34, 0.95), (0.14, 0.98), (-0.04, 0.55)], 1
    )
    return Outline((*leaves, _disc(0, 0, 0.25), *([stalk] if stem else [])))


def _crescent() -> Outline:
    return Outline((_disc(0, 0, 1, 40),), (_disc(0.48, 0, 0.8, 40),))


def _fish(*, fin: bool = True) -> Outline:
    top = [(1, 0), (0.72, -0.3), (0.3, -0.46), (-0.15, -0.34), (-0.5, -0.1), (-0.98, -0.52)]
    body = [*top, (-0.8, 0), *((x, -y) for x, y in reversed(top[1:]))]
    back = _round([(0.42, -0.34), (0.1, -0.74), (-0.2, -0.66), (-0.14, -0.28)], 1)
    return Outline((_round(body), *([back] if fin else [])), (_disc(0.62, -0.1, 0.07, 10),))


def _gear(*, hole: bool = True) -> Outline:
    teeth = 8
    rim = [(0.0, 0.72), (0.36, 0.72), (0.46, 1.0), (0.9, 1.0)]
    loop = [
        _spoke((tooth + turn) / teeth, radius) for tooth in range(teeth) for turn, radius in rim
    ]
    return Outline((loop,), (_disc(0, 0, 0.3),) if hole else ())


def _heart() -> Outline:
    half = [(0, -0.42), (0.2, -0.82), (0.66, -0.98), (1.06, -0.6), (0.92, 0.02), (0.42, 0.56)]
    return Outline((_round(_mirrored([*half, (0, 1.02)])),))


def _key(*, teeth: bool = True) -> Outline:
    bits = [_bar(0.52, 0.05, 0.68, 0.4), _bar(0.82, 0.05, 1, 0.46)] if teeth else []
    return Outline(
        (_disc(-0.56, 0, 0.44), _bar(-0.3, -0.11, 1, 0.11), *bits), (_disc(-0.6, 0, 0.2),)
    )


def _star() -> Outline:
    return Outline(([_spoke(-0.25 + tip / 10, 0.46 if tip % 2 else 1.0) for tip in range(10)],))


OBJECTS: dict[str, Callable[[], Outline]] = {
    "arrow": _arrow,
    "bone": _bone,
    "butterfly": _butterfly,
    "clover": _clover,
    "crescent": _crescent,
    "fish": _fish,
    "gear": _gear,
    "heart": _heart,
    "key": _key,
    "star": _star,
}
"""The ten classes, in the order of their indices."""


LOOK_ALIKES: dict[str, Callable[[], Outline]] = {
    "clover": _clover,
    "clover without stem": lambda: _clover(stem=False),
    "fish": _fish,
    "fish without fin": lambda: _fish(fin=False),
    "gear": _gear,
    "gear without hole": lambda: _gear(hole=False),
    "key": _key,
    "key without teeth": lambda: _key(teeth=False),
}
"""Pairs of classes that differ in one part, in the order of their indices."""

# Marks: tags of two halves, in the unit circle.
MARK_HALVES = (
    Outline((_bar(-0.75, -0.65, 0, 0.65),)),
    Outline((_bar(0, -0.65, 0.75, 0.65),)),
)


# distractors


def pebble(rng: Rng) -> Outline:
    """Return a random roundish outline."""
    corners = rng.whole(7, 10)
    loop = [_spoke(corner / corners, rng.between(0.62, 1)) for corner in range(corners)]
    return Outline((_round(loop),))


def _leaf(rng: Rng) -> Outline:
    belly = rng.between(0.32, 0.5)
    loop = [(-1, 0), (-0.4, -belly), (0.4, -belly), (1, 0), (0.4, belly), (-0.4, belly)]
    return Outline((_round(loop, 3),))


def _brick(rng: Rng) -> Outline:
    tall = rng.between(0.35, 0.75)
    return Outline((_bar(-0.85, -tall, 0.85, tall),))


def _button(rng: Rng) -> Outline:
    gap = rng.between(0.16, 0.3)
    return Outline((_disc(0, 0, 0.8, 30),), (_disc(-gap, 0, 0.09, 10), _disc(gap, 0, 0.09, 10)))


def _washer(rng: Rng) -> Outline:
    return Outline((_disc(0, 0, 0.85, 30),), (_disc(0, 0, rng.between(0.3, 0.55), 30),))


def _stick(rng: Rng) -> Outline:
    thick = rng.between(0.12, 0.2)
    bend = rng.between(-0.25, 0.25)
    top = [(-1, -thick), (0, bend - thick), (1, -thick)]
    return Outline((_round([*top, (1, thick), (0, bend + thick), (-1, thick)]),))


def _wedge(rng: Rng) -> Outline:
    tip = rng.between(-0.5, 0.5)
    return Outline((_round([(tip, -0.95), (0.95, 0.65), (-0.95, 0.65)], 1),))


DISTRACTORS: tuple[Callable[[Rng], Outline], ...] = (
    pebble,
    _leaf,
    _brick,
    _button,
    _washer,
    _stick,
    _wedge,
)
"""Objects without a class, with round parts, holes, bars and points as those with one."""
