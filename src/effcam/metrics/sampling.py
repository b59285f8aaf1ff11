"""Resample maps and annotations of one image to the size at which they are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from effcam.cam.explanation import Explanation
from effcam.errors import AnnotationError
from effcam.images.geometry import Box
from effcam.images.truth import Truth
from effcam.metrics.concentration import count_samples, match
from effcam.metrics.localisation import coverage

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST = 128
"""The longer side in px at which localisation is measured; smaller images keep their size.

Maps have a few cells per side, and boxes keep fractions of a px, so more px would add nothing.
"""
ALIKE = 1.05
"""Cells of two grids are of one size if none is more than so many times as large."""
COMMON = 48
"""The samples per side of the region that two models saw, to compare their maps."""


class Outline(NamedTuple):
    """The boxes of an image, and its size in px when it is measured."""

    width: int
    height: int
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Object:
    """The position of an image's object, at the size at which the image is measured.

    Attributes:
        width: The width of the image in px at that size.
        height: Its height.
        boxes: Boxes around the object, px at that size; empty if only a mask is known.
        inside: (height, width) in [0, 1], the share of each pixel in the boxes or, without boxes,
            in the mask.
        mask: (height, width) bool, true on the mask; ``None`` if unknown.
        ignored: (height, width) bool, true where the mask is undecided; ``None`` is nowhere.
    """

    width: int
    height: int
    boxes: tuple[Box, ...]
    inside: NDArray[np.floating]
    mask: NDArray[np.bool_] | None
    ignored: NDArray[np.bool_] | None

    @property
    def outline(self) -> Outline:
        """The boxes alone, which take less memory."""
        return Outline(self.width, self.height, self.boxes)


def measured_size(size: tuple[int, int], longest: int = LONGEST) -> tuple[int, int]:
    """Return the width and height at which an image of a (width, height) in px is measured."""
    ratio = min(1.0, longest / max(size))
    return max(round(size[0] * ratio), 1), max(round(size[1] * ratio), 1)


def place_object(truth: Truth, size: tuple[int, int], name: str) -> Object | None:
    """Return the position of an image's object, ``None`` if it is unknown.

    Args:
        truth: The annotations of the image.
        size: Width and height of the image in px.
        name: The name of the image.

    Raises:
        AnnotationError: If boxes lie outside the image, or a mask is not of its size.
    """
    if not truth.boxes and truth.mask is None:
        return None
    width, height = measured_size(size)
    across, down = width / size[0], height / size[1]
    boxes = tuple(_fit_box(box, size, name).scale(across, down) for box in truth.boxes)
    share, ignored = (_fit_mask(each, size, name) for each in (truth.mask, truth.ignored))
    inside = coverage(boxes, width, height) if boxes else share
    if inside is None or not inside.any():
        return None
    return Object(
        width,
        height,
        boxes,
        inside,
        None if share is None else share >= 0.5,
        None if ignored is None else ignored > 0,
    )


def _fit_box(box: Box, size: tuple[int, int], name: str) -> Box:
    clipped = box.clip(*size)
    if clipped.width <= 0 or clipped.height <= 0:
        raise AnnotationError(
            f"image {name!r}: the box {box.as_tuple()} lies outside its {size[0]} x {size[1]} px"
        )
    return clipped


def _fit_mask(
    mask: NDArray[np.bool_] | None, size: tuple[int, int], name: str
) -> NDArray[np.floating] | None:
    """Return the share of each pixel on a mask, at the measured size: (height, width) in [0, 1]."""
    if mask is None:
        return None
    if mask.shape != (size[1], size[0]):
        raise AnnotationError(
            f"image {name!r} is {size[0]} x {size[1]} px (width x height), its mask "
            f"{mask.shape[1]} x {mask.shape[0]} px"
        )
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(image.resize(measured_size(size), Image.Resampling.BOX)) / 255


def coarsest_cell(row: Sequence[Explanation]) -> tuple[float, float]:
    """Return the largest height and width of a grid's cell among the maps of an image, px."""
    return (
        max(cell.canvas.height / cell.heatmap.shape[0] for cell in row),
        max(cell.canvas.width / cell.heatmap.shape[1] for cell in row),
    )


def grids_differ(row: Sequence[Explanation]) -> NDArray[np.bool_]:
    """Return of which two maps of an image the cells differ in size, (columns, columns)."""
    sides = np.array(
        [
            (cell.canvas.height / cell.heatmap.shape[0], cell.canvas.width / cell.heatmap.shape[1])
            for cell in row
        ]
    )
    ratios = sides[:, None] / sides
    return np.asarray((ratios > ALIKE).any(-1) | (ratios.swapaxes(0, 1) > ALIKE).any(-1))


def focus_samples(
    cells: Sequence[Explanation], coarsest: Sequence[tuple[float, float]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the maps of a column over their images, for the measures of concentration.

    Args:
        cells: The cells of one column.
        coarsest: For each image, height and width in px of a cell of the coarsest grid, to whose
            resolution its map is resampled.

    Returns:
        The (n, samples, samples) heat on the region of each image that the model saw, and the (n,)
        areas of the images in samples.
    """
    count = max(count_samples(cell.heatmap.shape) for cell in cells)
    samples = np.zeros((len(cells), count, count))
    groups: dict[tuple[object, ...], list[int]] = {}
    shares = [
        (round(tall / cell.canvas.height, 6), round(wide / cell.canvas.width, 6))
        for cell, (tall, wide) in zip(cells, coarsest, strict=True)
    ]
    for at, (cell, share) in enumerate(zip(cells, shares, strict=True)):
        groups.setdefault((cell.heatmap.shape, share), []).append(at)
    for members in groups.values():
        maps = np.stack([cells[at].heatmap for at in members])
        samples[members] = match(maps, shares[members[0]], samples=count)
    for at, cell in enumerate(cells):
        if cell.region != cell.canvas:
            samples[at] = _sample(samples[at], cell.canvas, cell.region, count)
    areas = [
        cell.size[0] * cell.size[1] * count**2 / (cell.region.width * cell.region.height)
        for cell in cells
    ]
    return np.maximum(samples, 0), np.array(areas)


def on_common_region(
    cells: Sequence[Explanation],
) -> dict[tuple[int, int], tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return the maps of every two cells of an image on the region that both models saw.

    Both are (48, 48) samples of that region. Pairs without a common region, or without evidence in
    one of the cells, are left out.
    """
    known: dict[tuple[int, Box], NDArray[np.float32]] = {}
    found = {}
    for i, one in enumerate(cells):
        for j in range(i + 1, len(cells)):
            other = cells[j]
            region = one.region.intersect(other.region)
            if region is None or (one.state, other.state) != ("ok", "ok"):
                continue
            for at, cell in ((i, one), (j, other)):
                if (at, region) not in known:
                    known[at, region] = _sample(cell.heatmap, cell.canvas, region, COMMON)
            found[i, j] = known[i, region], known[j, region]
    return found


def _sample(
    heatmap: NDArray[np.floating], canvas: Box, region: Box, samples: int
) -> NDArray[np.float32]:
    """Return (samples, samples) of a map that covers a canvas, evenly spaced over a region."""
    placed = canvas.within(region, samples, samples)
    whole = Box(0, 0, samples, samples)
    return placed.spread(heatmap.astype(np.float32, copy=False), samples, samples, whole)[0]
