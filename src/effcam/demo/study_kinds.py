"""The networks of the study of figures, and the kinds of pictures that they are trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

from effcam.demo.look_alikes import LOOK_ALIKE_LABELS, look_alike_scene
from effcam.demo.marked_scenes import MarkedScene, marked_scene
from effcam.demo.scene import Scene
from effcam.demo.scenes import LABELS, scene
from effcam.demo.study_networks import FAMILIES
from effcam.demo.tetrominoes import RULES, TETROMINO_LABELS, Rule, tetromino_scene

Draw: TypeAlias = Callable[[int, int, int], Scene]
"""Draws the square picture of a seed, an index and a side in px."""

PLANTED = 0.95
"""The share of the pictures of a shortcut learner's training whose mark tells the class."""
UNRELATED = 0.1
"""The share that says nothing, of ten classes."""
SEEDS = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of pictures.

    Attributes:
        labels: The classes.
        training: Draws a picture to train on.
        testing: Draws a picture to measure on.
        several: Whether a picture has several labels.
        turning: Whether a turned or mirrored picture is as good.
        deletable: Whether networks are also trained on pictures with patches deleted. In kinds
            of small details, that would delete what the class depends on.
    """

    labels: tuple[str, ...]
    training: Draw
    testing: Draw
    several: bool = False
    turning: bool = True
    deletable: bool = False


def _scene(seed: int, index: int, side: int, *, objects: int, radii: tuple[float, float]) -> Scene:
    return scene(seed, index, (side, side), objects, radii)


def _marked(seed: int, index: int, side: int, *, telling: float) -> MarkedScene:
    return marked_scene(seed, index, (side, side), telling)


def _look_alike(seed: int, index: int, side: int) -> Scene:
    return look_alike_scene(seed, index, side, side)


def _tetromino(seed: int, index: int, side: int, *, rule: Rule) -> Scene:
    return tetromino_scene(seed, index, side, rule)


# Larger than in other scenes, since networks of a minute must tell them in small pictures.
_ONE = partial(_scene, objects=1, radii=(0.16, 0.24))
_TWO = partial(_scene, objects=2, radii=(0.13, 0.19))
_CLEAN, _PLANTED = (partial(_marked, telling=share) for share in (UNRELATED, PLANTED))

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "scenes": Kind(LABELS, _ONE, _ONE, deletable=True),
        "clean": Kind(LABELS, _CLEAN, _CLEAN),
        "shortcut": Kind(LABELS, _PLANTED, _CLEAN),
        "look_alikes": Kind(LOOK_ALIKE_LABELS, _look_alike, _look_alike),
        "two_labels": Kind(LABELS, _TWO, _TWO, several=True),
        **{
            rule: Kind(
                TETROMINO_LABELS,
                partial(_tetromino, rule=rule),
                partial(_tetromino, rule=rule),
                turning=False,
            )
            for rule in RULES
        },
    }
)
"""The kinds by name: ``"clean"`` and ``"shortcut"`` are trained on marked scenes whose marks do not
tell the class, or do; both are measured where they do not."""


@dataclass(frozen=True, slots=True)
class Network:
    """One network of the study.

    Attributes:
        kind: The kind of pictures that it is trained on.
        family: Its architecture.
        seed: The seed of its weights and of the order of pictures.
        deleting: Whether patches were deleted in training.
    """

    kind: str
    family: str
    seed: int
    deleting: bool = False

    def __str__(self) -> str:
        """Return its name, which is that of its file."""
        return f"{self.kind}-{self.family}-{self.seed}{'-deleting' if self.deleting else ''}"


def networks() -> list[Network]:
    """Return all networks of the study, those of one kind together."""
    return [
        Network(name, family, seed, deleting)
        for name, kind in KINDS.items()
        for family in FAMILIES
        for seed in SEEDS
        for deleting in ((False, True) if kind.deletable else (False,))
    ]
