"""Two tetrominoes in noise, under rules of known difficulty."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
from PIL import Image

from effcam.demo import shading
from effcam.demo.rng import Rng
from effcam.demo.scene import Scene, SceneObject, ScenePart, box_around
from effcam.demo.scenes import check_scenes, class_at
from effcam.errors import ArgumentError, check_choice

if TYPE_CHECKING:
    from numpy.typing import NDArray

Rule: TypeAlias = Literal["linear", "multiplicative", "rotated"]
Cells: TypeAlias = "NDArray[np.bool]"

RULES: tuple[Rule, ...] = get_args(Rule)
TETROMINO_LABELS = ("T", "L")
"""The two classes of `tetromino_scenes`, in the order of their indices."""
OBJECT, PLACE = "object", "place of the other"
GRID = 8
"""The number of cells along each side."""
SHAPES: tuple[Cells, ...] = (
    np.asarray([[1, 1, 1], [0, 1, 0]], bool),
    np.asarray([[1, 0], [1, 0], [1, 1]], bool),
)
CORNERS = ((1, 1), (4, 5))
"""The first row and column of each tetromino where it has a place of its own."""
KIND = 4
"""The kind of scenes, as a part of the seed."""
NOISE_CELLS, NOISE = 12, 0.7
ADDED, DAMPED = 0.2, 0.75


def tetromino_scenes(
    n: int, seed: int = 0, size: int = 64, *, rule: Rule = "linear"
) -> list[Scene]:
    """Draw a T or an L of four cells in grey noise, as in XAI-TRIS.

    The rules are those of Clark et al. 2023, arXiv:2306.12816. ``"linear"``: a T brightens its
    cells near the upper left corner, an L near the lower right one. ``"multiplicative"``: it damps
    the noise there instead, and changes no mean. ``"rotated"``: it brightens its cells anywhere,
    turned by a multiple of 90 degrees. Under the first two rules, that one place is empty says as
    much as that the other is not: the part named ``"place of the other"`` is that place, and
    without its emptiness both tetrominoes are there.

    A picture depends only on the seed, its index, its size and the rule, and is bit-identical on
    every machine.

    Args:
        n: The number of pictures; every two show both classes, in random order.
        seed: A whole number of at least 0; another seed gives other pictures.
        size: The side in px.
        rule: ``"linear"``, ``"multiplicative"`` or ``"rotated"``.

    Raises:
        ArgumentError: If an argument is impossible.

    >>> scene = tetromino_scenes(3, seed=1, rule="rotated")[2]
    >>> scene.label in TETROMINO_LABELS, int(scene.mask.sum()) == 4 * (64 // 8) ** 2
    (True, True)
    """
    n, seed, width, height = check_scenes(n, seed, size)
    if width != height:
        raise ArgumentError(
            f"pictures of tetrominoes are square: size must be one number, not {size!r}"
        )
    check_choice("rule", rule, RULES)
    return [tetromino_scene(seed, index, width, rule) for index in range(n)]


def tetromino_scene(seed: int, index: int, size: int, rule: Rule) -> Scene:
    """Draw the picture with an index among those of a seed."""
    plan = _Plan(seed, index, size, rule)
    target = plan.target
    own, other = plan.cells()
    mask = _to_pixels(own, size)
    parts = [ScenePart(OBJECT, mask)]
    if other.any():
        parts.append(ScenePart(PLACE, _to_pixels(other, size)))
    found = SceneObject(TETROMINO_LABELS[target], target, box_around(mask), mask)
    return Scene(
        plan.redraw(),
        (found,),
        f"tetromino {index + 1}",
        parts=tuple(parts),
        redraw=plan.redraw,
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a picture depends on."""

    seed: int
    index: int
    size: int
    rule: Rule

    @property
    def target(self) -> int:
        return class_at(self.seed, self.index, len(TETROMINO_LABELS))

    def cells(self) -> tuple[Cells, Cells]:
        """Return the tetromino's cells, and those of the other one's place, if it has one."""
        shape = SHAPES[self.target]
        if self.rule != "rotated":
            other = self.target ^ 1
            return _placed(shape, CORNERS[self.target]), _placed(SHAPES[other], CORNERS[other])
        rng = Rng(self.seed, self.index, KIND)
        turned = shape
        for _ in range(rng.whole(0, 3)):
            turned = turned.T[::-1]  # a quarter of a turn
        corner = rng.whole(0, GRID - turned.shape[0]), rng.whole(0, GRID - turned.shape[1])
        return _placed(turned, corner), np.zeros((GRID, GRID), bool)

    def redraw(self, hidden: Container[str] = frozenset()) -> Image.Image:
        """Return the picture without some of its parts."""
        own, other = self.cells()
        shown = own & (OBJECT not in hidden) | other & (PLACE in hidden)
        where = _to_pixels(shown, self.size).astype(np.float32)
        rng = Rng(self.seed, self.index, 1, KIND)
        noise = NOISE * (shading.noise(rng, (self.size, self.size), NOISE_CELLS, octaves=2) - 0.5)
        changed = noise * (1 - DAMPED * where) if self.damps else noise + ADDED * where
        grey = np.floor(np.clip(changed + 0.5, 0, 1) * 255 + 0.5).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")

    @property
    def damps(self) -> bool:
        return self.rule == "multiplicative"


def _placed(shape: Cells, corner: tuple[int, int]) -> Cells:
    """Return the cells of the grid that a shape covers: (8, 8)."""
    cells = np.zeros((GRID, GRID), bool)
    row, column = corner
    cells[row : row + shape.shape[0], column : column + shape.shape[1]] = shape
    return cells


def _to_pixels(cells: Cells, size: int) -> NDArray[np.bool]:
    """Return the pixels in some cells of the grid: (size, size)."""
    at = np.arange(size) * GRID // size
    pixels: NDArray[np.bool] = cells[at][:, at]
    return pixels
