"""Grounds, materials, light and shadow: (height, width, 3) float32 colours in [0, 1].

Only operations that IEEE 754 rounds exactly are used, so that a scene has the same pixels on every
machine: no sines, no exponentials, no sums whose order depends on the processor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from effcam.demo.rng import Rng

if TYPE_CHECKING:
    from numpy.typing import NDArray

# All are float32: Python's own numbers do not widen an array.
Plane: TypeAlias = "NDArray[np.floating[Any]]"
Colour: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Light:
    """The direction to the light: a unit vector (right, down, towards the viewer)."""

    x: float
    y: float
    z: float


def light_from(direction: tuple[float, float], height: float) -> Light:
    """Return the light from a horizontal direction and a height above the ground."""
    length = math.sqrt(1 + height * height)
    return Light(direction[0] / length, direction[1] / length, height / length)


# colour


def colour(hue: float, saturation: float, value: float) -> Colour:
    """Return the RGB colour of a hue, a saturation and a value, each in [0, 1]."""

    def channel(offset: float) -> float:
        place = (offset + 6 * hue) % 6
        return value - value * saturation * max(0.0, min(place, 4 - place, 1.0))

    return channel(5), channel(3), channel(1)


def difference(first: Colour, second: Colour) -> float:
    """Return the visible difference of two colours, from 0 to about 1, weighted by channel."""
    weights = (0.3, 0.5, 0.2)
    pairs = zip(weights, first, second, strict=True)
    return math.sqrt(sum(weight * (a - b) * (a - b) for weight, a, b in pairs))


def mix(first: Colour, second: Colour, share: Plane) -> Plane:
    """Return the colours from the first, where ``share`` (h, w) is 0, to the second, at 1."""
    return blend(np.asarray(first, np.float32), np.asarray(second, np.float32), share)


def blend(below: Plane, above: Plane, share: Plane) -> Plane:
    """Return the colours where ``above`` covers a share (h, w) of ``below``."""
    blended: Plane = below + (above - below) * share[..., None]
    return blended


# fields


def smooth(values: Plane) -> Plane:
    """Return a soft step: 0 below 0, 1 above 1, without corners between."""
    inside: Plane = np.clip(values, 0, 1)
    return inside * inside * (3 - 2 * inside)


def noise(
    rng: Rng, size: tuple[int, int], cells: float, octaves: int = 4, fade: float = 0.5
) -> Plane:
    """Return cloudy noise in [0, 1]: (height, width).

    Args:
        rng: The random number generator.
        size: The height and the width in px.
        cells: The number of noise cells along the shorter side.
        octaves: The number of layers, each with cells of half the size.
        fade: How strong each layer is, relative to the one before.
    """
    height, width = size
    total = np.zeros(size, np.float32)
    strength, most = 1.0, 0.0
    for _ in range(octaves):
        side = min(height, width)
        pitch = side / cells
        # Draw the same numbers at every size, so that a scene looks the same at each.
        down, across = (math.ceil(cells * edge / side - 1e-9) + 2 for edge in size)
        lattice = rng.field(down, across)
        total += strength * _spread(lattice, height, width, pitch)
        most += strength
        strength *= fade
        cells *= 2
    return total / most


def _spread(lattice: Plane, height: int, width: int, pitch: float) -> Plane:
    """Interpolate a lattice whose points are ``pitch`` px apart."""
    rows, down = _places(height, pitch)
    columns, across = _places(width, pitch)
    left = lattice[:, columns] + (lattice[:, columns + 1] - lattice[:, columns]) * across
    spread: Plane = left[rows] + (left[rows + 1] - left[rows]) * down[:, None]
    return spread


def _places(pixels: int, pitch: float) -> tuple[NDArray[np.intp], Plane]:
    position = (np.arange(pixels, dtype=np.float32) + 0.5) / pitch
    cell = np.floor(position)
    return cell.astype(np.intp), smooth(position - cell)


def wave(values: Plane) -> Plane:
    """Return a triangle wave of period 1, in [0, 1]."""
    folded: Plane = np.abs(2 * (values - np.floor(values)) - 1)
    return folded


def stripes(values: Plane, soft: float) -> Plane:
    """Return bands of 0 and 1 with period 1, their edges ``soft`` periods wide."""
    return smooth((wave(values) - 0.5) / max(2 * soft, 1e-3) + 0.5)


# light


def lit(relief: Plane, light: Light) -> Plane:
    """Return how light falls on a relief (h, w), heights in px: 1 where it is level."""
    slope_x, slope_y = np.zeros_like(relief), np.zeros_like(relief)
    slope_x[:, 1:-1] = (relief[:, 2:] - relief[:, :-2]) * 0.5
    slope_y[1:-1] = (relief[2:] - relief[:-2]) * 0.5
    facing = light.z - slope_x * light.x - slope_y * light.y
    bright = facing / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    return np.maximum(bright, 0) / light.z


def gloss(shade: Plane, light: Light) -> Plane:
    """Return the specular highlights of a lit surface, in [0, 1]."""
    bright: Plane = np.clip(shade * light.z, 0, 1)
    for _ in range(5):
        bright = bright * bright
    return bright


def domed(distance: Plane, radius: float) -> Plane:
    """Return the height of an object with a rounded edge: (h, w), px.

    Args:
        distance: The signed distance to its outline, < 0 inside, px.
        radius: How wide and how high its edge is, px.
    """
    inward: Plane = np.clip(-distance / radius, 0, 1)
    height: Plane = radius * np.sqrt(inward * (2 - inward))
    return height


# grounds: (h, w, 3) colours and the (h, w) relief in px


Ground: TypeAlias = Callable[[Rng, int, int, Colour, Colour], tuple[Plane, Plane]]


def _axes(height: int, width: int, turn: tuple[float, float]) -> tuple[Plane, Plane]:
    """Return coordinates in units of the shorter side, turned."""
    side = min(height, width)
    y, x = np.indices((height, width), dtype=np.float32) / side
    cosine, sine = turn[0], turn[1]
    return cosine * x + sine * y, cosine * y - sine * x


def _stone(rng: Rng, height: int, width: int, first: Colour, second: Colour) -> tuple[Plane, Plane]:
    clouds = noise(rng, (height, width), rng.between(3, 7), 6, 0.62)
    share = smooth((clouds - 0.32) * 2.8)
    return mix(first, second, share), clouds * (min(height, width) * 0.05)


def _wood(rng: Rng, height: int, width: int, first: Colour, second: Colour) -> tuple[Plane, Plane]:
    along, across = _axes(height, width, rng.direction())
    warp = noise(rng, (height, width), 2, 3)
    grain = wave(across * rng.between(9, 16) + warp * rng.between(3, 6))
    fibres = wave(across * 61 + along * 2 + warp * 9)
    share = 0.7 * grain + 0.3 * fibres
    planks = across * rng.between(2.5, 4)
    gap = smooth(1 - wave(planks + 0.5) * 26)
    colours = mix(first, second, share) * (1 - 0.75 * gap)[..., None]
    return colours, (share * 0.006 - gap * 0.012) * min(height, width)


def _cloth(rng: Rng, height: int, width: int, first: Colour, second: Colour) -> tuple[Plane, Plane]:
    along, across = _axes(height, width, rng.direction())
    threads = rng.between(36, 60)
    weave = wave(along * threads) * wave(across * threads)
    bands = rng.between(3, 7)
    plaid = 0.5 * (stripes(along * bands, 0.02) + stripes(across * bands, 0.02))
    folds = noise(rng, (height, width), 2, 2)
    colours = mix(first, second, plaid * rng.between(0.15, 0.8))
    colours = colours * (0.86 + 0.14 * weave)[..., None]
    return colours, (folds * 0.10 + weave * 0.004) * min(height, width)


def _sand(rng: Rng, height: int, width: int, first: Colour, second: Colour) -> tuple[Plane, Plane]:
    _, across = _axes(height, width, rng.direction())
    dunes = noise(rng, (height, width), 3, 4)
    grains = noise(rng, (height, width), 90, 2, 0.8)
    ripples = wave(across * rng.between(7, 14) + dunes * 4)
    share = 0.45 * grains + 0.35 * dunes + 0.2 * ripples
    relief = ripples * 0.016 + dunes * 0.06 + grains * 0.006
    return mix(first, second, smooth(share)), relief * min(height, width)


def _tiles(rng: Rng, height: int, width: int, first: Colour, second: Colour) -> tuple[Plane, Plane]:
    along, across = _axes(height, width, rng.direction())
    count = rng.between(2.5, 5)
    u, v = along * count, across * count
    odd = (np.floor(u) + np.floor(v)) % 2
    joint = np.minimum(1 - wave(u), 1 - wave(v))
    gap = smooth(1 - joint * 18)
    clouds = noise(rng, (height, width), 5, 5, 0.6)
    share = odd * rng.between(0, 0.8) + clouds * 0.35
    colours = mix(first, second, np.clip(share, 0, 1))
    colours = colours * (1 - 0.5 * gap)[..., None]
    return colours, (clouds * 0.015 - gap * 0.02) * min(height, width)


GROUNDS: dict[str, Ground] = {
    "stone": _stone,
    "wood": _wood,
    "cloth": _cloth,
    "sand": _sand,
    "tiles": _tiles,
}


# materials: the share of an object's second colour, from its own coordinates


Material: TypeAlias = Callable[[Rng, Plane, Plane, float], Plane]


def _plain(rng: Rng, x: Plane, y: Plane, pixel: float) -> Plane:
    del rng, y, pixel
    return np.zeros_like(x)


def _mottled(rng: Rng, x: Plane, y: Plane, pixel: float) -> Plane:
    del y, pixel
    return smooth(noise(rng, (x.shape[0], x.shape[1]), rng.between(3, 8), 3, 0.6) * 2 - 0.5)


def _striped(rng: Rng, x: Plane, y: Plane, pixel: float) -> Plane:
    turn, rate = rng.direction(), rng.between(1.2, 2.6)
    place = x * turn[0] + y * turn[1] + rng.between(0, 1)
    return stripes(place * rate, pixel * rate)


def _dotted(rng: Rng, x: Plane, y: Plane, pixel: float) -> Plane:
    rate = rng.between(1.4, 2.6)
    u = x * rate + rng.between(0, 1)
    v = y * rate + rng.between(0, 1)
    u, v = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
    radius = rng.between(0.2, 0.34)
    edge = (radius - np.sqrt(u * u + v * v)) / (pixel * rate)
    share: Plane = np.clip(edge + 0.5, 0, 1)
    return share


def _checked(rng: Rng, x: Plane, y: Plane, pixel: float) -> Plane:
    rate = rng.between(0.9, 1.8)
    first = stripes(x * rate + rng.between(0, 1), pixel * rate)
    second = stripes(y * rate + rng.between(0, 1), pixel * rate)
    return first + second - 2 * first * second


def _fading(rng: Rng, x: Plane, y: Plane, pixel: float) -> Plane:
    del pixel
    turn = rng.direction()
    place = x * turn[0] + y * turn[1]
    return smooth(place * 0.6 + 0.5)


MATERIALS: tuple[Material, ...] = (_plain, _mottled, _striped, _dotted, _checked, _fading)
