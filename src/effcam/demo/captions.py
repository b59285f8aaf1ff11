"""Scenes with captions: drawn pictures of named objects in named colours on a named ground."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, permutations
from types import MappingProxyType
from typing import TypeAlias

from PIL import Image

from effcam.demo import shading
from effcam.demo.rendering import Pose, Renderer
from effcam.demo.rng import Rng
from effcam.demo.scene import Scene, SceneObject, box_around
from effcam.demo.scenes import (
    LABELS,
    MOST_OBJECTS,
    add_distractors,
    check_scenes,
    pose_of_object,
)
from effcam.demo.shading import Colour
from effcam.demo.shapes import OBJECTS
from effcam.errors import check_number

Range: TypeAlias = tuple[float, float]

# Ranges of hue, saturation and value. They lie apart: no colour is between two names.
COLOURS = MappingProxyType(
    {
        "red": ((-0.025, 0.025), (0.75, 0.95), (0.6, 0.95)),
        "yellow": ((0.135, 0.175), (0.7, 0.95), (0.75, 0.95)),
        "green": ((0.29, 0.4), (0.6, 0.9), (0.4, 0.8)),
        "blue": ((0.58, 0.66), (0.65, 0.95), (0.55, 0.95)),
        "purple": ((0.76, 0.82), (0.5, 0.85), (0.5, 0.9)),
        "white": ((0.0, 1.0), (0.0, 0.06), (0.9, 1.0)),
    }
)
"""The colours of the objects in scenes with captions, by name."""
GROUNDS = tuple(shading.GROUNDS)
"""The names of the grounds."""
# How many of its radii an object keeps free around it, so that no object covers another one.
CLEARANCE = 1.2


@dataclass(frozen=True, slots=True, eq=False)
class ColouredObject(SceneObject):
    """An object in a scene with captions.

    Attributes:
        label: Its class, one of ten.
        target: The index of that class.
        box: The smallest box around it, px.
        mask: (height, width) bool, true where it is.
        colour: The name of its colour, such as ``"red"``.
    """

    colour: str


@dataclass(frozen=True, slots=True)
class Caption:
    """What is said of a scene: some of its objects, each with its colour or without, its ground.

    Attributes:
        objects: (colour, label) of each object named; the colour is ``None`` if it is not named.
        ground: The ground, or ``None`` if it is not named.

    >>> caption = Caption((("blue", "star"), (None, "arrow")), "sand")
    >>> print(caption)
    a blue star and an arrow on sand
    """

    objects: tuple[tuple[str | None, str], ...]
    ground: str | None = None

    def __str__(self) -> str:
        phrases = [_phrase(*each) for each in self.objects]
        return " and ".join(phrases) + (f" on {self.ground}" if self.ground else "")

    @property
    def exchanged(self) -> Caption:
        """The caption whose objects have each other's colours, in reversed order.

        >>> print(Caption((("red", "arrow"), ("blue", "star"))).exchanged)
        a blue arrow and a red star
        """
        colours = [colour for colour, _ in reversed(self.objects)]
        labels = [label for _, label in self.objects]
        return Caption(tuple(zip(colours, labels, strict=True)), self.ground)

    def is_true_of(self, full: Caption) -> bool:
        """Return whether it is true of a scene, given all that can be said of the scene.

        >>> full = Caption((("red", "arrow"), ("blue", "star")), "sand")
        >>> Caption(((None, "star"),)).is_true_of(full)
        True
        >>> Caption((("red", "star"),)).is_true_of(full)
        False
        """
        if self.ground not in (None, full.ground):
            return False
        return any(
            all(
                label == shown and colour in (None, its)
                for (colour, label), (its, shown) in zip(self.objects, chosen, strict=True)
            )
            for chosen in permutations(full.objects, len(self.objects))
        )


@dataclass(frozen=True, slots=True, eq=False)
class CaptionedScene(Scene):
    """A picture of one to three objects of different classes, in colours that have a name.

    Attributes:
        image: The picture, in RGB.
        objects: The objects, in random order, each with its ``colour``.
        name: The name of the picture in a comparison.
        parts: Empty: these scenes cannot be drawn without a part.
        redraw: ``None``, likewise.
        ground: The name of the ground.
    """

    objects: tuple[ColouredObject, ...]
    ground: str

    @property
    def caption(self) -> Caption:
        """All that can be said of the scene."""
        return Caption(tuple((each.colour, each.label) for each in self.objects), self.ground)


def captioned_scenes(
    n: int, seed: int = 0, size: int | tuple[int, int] = 256, *, objects: int = 2
) -> list[CaptionedScene]:
    """Draw pictures like those of `scenes`, of several objects whose colours have names.

    A picture depends only on the seed, its index, its size and the number of objects, and is
    bit-identical on every machine.

    Args:
        n: The number of pictures.
        seed: A whole number of at least 0; another seed gives other pictures.
        size: Width and height in px, or one number for a square. All objects lie in the central
            square, inset by 7 %.
        objects: The number of objects in each picture, from 1 to 3.

    Raises:
        ArgumentError: If an argument is impossible.

    >>> scene = captioned_scenes(3, seed=1, size=64)[2]
    >>> [each.label in LABELS for each in scene.objects], scene.ground in GROUNDS
    ([True, True], True)
    """
    n, seed, width, height = check_scenes(n, seed, size)
    objects = check_number("objects", objects, most=MOST_OBJECTS)
    return [captioned_scene(seed, index, width, height, objects) for index in range(n)]


def captioned_scene(seed: int, index: int, width: int, height: int, objects: int) -> CaptionedScene:
    """Draw the scene with an index among those of a seed."""
    rng = Rng(seed, index, objects, 1)
    targets = _different(rng, len(LABELS), objects)
    renderer = Renderer(rng, width, height)
    poses = _poses(rng, width, height, objects)
    add_distractors(renderer, rng, width, height, poses)
    drawn = []
    for target, pose in zip(targets, poses, strict=True):
        name, colours = _named_colours(rng, renderer)
        mask = renderer.add(rng, OBJECTS[LABELS[target]](), pose, colours)
        drawn.append(ColouredObject(LABELS[target], target, box_around(mask), mask, name))
    picture = Image.fromarray(renderer.finish(rng))
    return CaptionedScene(picture, tuple(drawn), f"scene {index + 1}", renderer.ground)


def _different(rng: Rng, count: int, n: int) -> list[int]:
    """Return n different numbers below a count, in random order."""
    left = list(range(count))
    return [left.pop(rng.whole(0, len(left) - 1)) for _ in range(n)]


def _poses(rng: Rng, width: int, height: int, n: int) -> list[Pose]:
    while True:
        poses = [pose_of_object(rng, width, height) for _ in range(n)]
        if not any(one.overlaps(other, CLEARANCE) for one, other in combinations(poses, 2)):
            return poses


def _named_colours(rng: Rng, renderer: Renderer) -> tuple[str, tuple[Colour, Colour]]:
    """Return a colour's name, and two shades of it, of which the first contrasts with the ground.

    There always is one: the two colours of a ground are alike, and the named ones are not.
    """
    while True:
        name = rng.pick(tuple(COLOURS))
        hue, saturation, value = (rng.between(*limits) for limits in COLOURS[name])
        first = shading.colour(hue, saturation, value)
        if renderer.contrasts(first):
            break
    hues, _, _ = COLOURS[name]
    faded, darker = rng.between(0.75, 1), rng.between(0.65, 1)
    return name, (first, shading.colour(rng.between(*hues), saturation * faded, value * darker))


def _phrase(colour: str | None, label: str) -> str:
    words = f"{colour} {label}" if colour else label
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
