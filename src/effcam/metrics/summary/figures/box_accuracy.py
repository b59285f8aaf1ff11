"""How often a box around the heat overlaps the object's, with a threshold from other images.

The images are halved at random; the threshold that serves one half best is used on the other.
Which thresholds are right is kept as bits, ten bytes a map, since the halves are known only when
all images are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from effcam.cam.explanation import Explanation
from effcam.cam.heat_boxes import part_ious, scale
from effcam.images.geometry import Box
from effcam.metrics.box_overlap import OVERLAPS, THRESHOLDS
from effcam.metrics.inference import HITS, SHARE
from effcam.metrics.localisation import centre_map
from effcam.metrics.sampling import Outline
from effcam.metrics.summary.records import Figure
from effcam.metrics.summary.rows import Samples, Units

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 0
CENTRE_GRID = 16
TRIALS = ((True, 0.5), *((False, overlap) for overlap in OVERLAPS))
"""What a threshold is chosen for: whether the largest part alone counts, and which overlap."""
BOX_FIGURES = (
    Figure(
        "max_box_acc",
        "MaxBoxAcc",
        "localisation",
        "higher",
        "%",
        1,
        "How often a box around the largest hot part overlaps the object's by half; the threshold "
        "is chosen on the other half of the images.",
        HITS,
    ),
    Figure(
        "max_box_acc_v2",
        "MaxBoxAccV2",
        "localisation",
        "higher",
        "%",
        1,
        "The same for any hot part, the mean over overlaps of 0.3, 0.5 and 0.7.",
        SHARE,
    ),
)
LARGEST, ANY = BOX_FIGURES


class BoxAccuracy:
    """The figures of boxes, for columns and then for the centre and the uniform baseline."""

    def __init__(self) -> None:
        self._parts: list[tuple[Units, NDArray[np.uint8]]] = []
        self._count = 0

    @property
    def enough(self) -> bool:
        """Whether there are two images, one to choose the threshold on."""
        return self._count >= 2

    def add(
        self,
        rows: Sequence[Sequence[Explanation]],
        columns: int,
        boxed: Sequence[tuple[int, Outline]],
        units: Units,
    ) -> None:
        """Add some images.

        Args:
            rows: The cells of each image.
            columns: The number of cells of each.
            boxed: The positions of the images with boxes, and these boxes.
            units: The unit of each image.
        """
        if not boxed:
            return
        outlines = [outline for _, outline in boxed]
        ious = [_ious([rows[at][column] for at, _ in boxed], outlines) for column in range(columns)]
        ious.append(_baseline_ious(centre_map(CENTRE_GRID, CENTRE_GRID), outlines))
        ious.append(_baseline_ious(np.ones((1, 1), np.float32), outlines))
        own = units[[at for at, _ in boxed]]
        self._parts.append((own, _pack(np.stack(ious, axis=1))))
        self._count += len(boxed)

    def samples(self) -> Iterator[tuple[Units, dict[str, Samples]]]:
        """Yield the units of images with boxes, and (images, columns + 2) samples by figure.

        Nothing is yielded where there are too few images with boxes.
        """
        if not self.enough:
            return
        half = np.random.default_rng(SEED).permutation(self._count) % 2
        best = self._best_thresholds(half)
        for start, units, right in self._unpacked():
            own = half[start : start + len(right)]
            picked = np.take_along_axis(right, best[own][..., None], axis=3)[..., 0]
            any_part = [picked[:, :, trial] for trial in range(1, len(TRIALS))]
            yield (
                units,
                {
                    LARGEST.key: picked[:, :, 0].astype(np.float64),
                    ANY.key: np.mean(any_part, axis=0),
                },
            )

    def _best_thresholds(self, half: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return (halves, columns + 2, trials) positions; those of a half serve the other best."""
        counts: dict[int, NDArray[np.int64]] = {}
        for start, _, right in self._unpacked():
            own = half[start : start + len(right)]
            for side in (0, 1):
                counts[side] = counts.get(side, 0) + right[own != side].sum(0)
        return np.stack([_middle_of_best(counts[side]) for side in (0, 1)])

    def _unpacked(self) -> Iterator[tuple[int, Units, NDArray[np.bool_]]]:
        """Yield where each part starts, its units, and (n, columns + 2, trials, thresholds)."""
        start = 0
        for units, packed in self._parts:
            right = np.unpackbits(packed, axis=2, count=len(TRIALS) * len(THRESHOLDS))
            shape = *right.shape[:2], len(TRIALS), len(THRESHOLDS)
            yield start, units, right.reshape(shape).astype(bool)
            start += len(right)


def _pack(ious: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return which of (n, columns, 2, thresholds) overlaps are right, by trial, as bits."""
    right = np.stack([ious[:, :, int(largest)] >= overlap for largest, overlap in TRIALS], axis=2)
    return np.packbits(right.reshape(*right.shape[:2], len(TRIALS) * len(THRESHOLDS)), axis=2)


def _ious(cells: Sequence[Explanation], outlines: Sequence[Outline]) -> NDArray[np.float64]:
    """Return (images, 2, thresholds) overlaps of a column's heat, 0 where there is none."""
    found = np.zeros((len(cells), 2, len(THRESHOLDS)))
    by_grid: dict[tuple[int, ...], list[int]] = {}
    for at, cell in enumerate(cells):
        if cell.state == "ok":
            by_grid.setdefault(cell.heatmap.shape, []).append(at)
    for members in by_grid.values():
        own = [outlines[at] for at in members]
        scales = [
            (outline.width / cells[at].size[0], outline.height / cells[at].size[1])
            for at, outline in zip(members, own, strict=True)
        ]
        found[members] = _overlaps(
            np.stack([cells[at].heatmap for at in members]),
            [cells[at].canvas.scale(*by) for at, by in zip(members, scales, strict=True)],
            [cells[at].region.scale(*by) for at, by in zip(members, scales, strict=True)],
            own,
        )
    return found


def _baseline_ious(
    heatmap: NDArray[np.float32], outlines: Sequence[Outline]
) -> NDArray[np.float64]:
    if not outlines:
        return np.zeros((0, 2, len(THRESHOLDS)))
    images = [Box(0, 0, outline.width, outline.height) for outline in outlines]
    heatmaps = np.broadcast_to(heatmap, (len(outlines), *heatmap.shape))
    return _overlaps(heatmaps, images, images, outlines)


def _overlaps(
    heatmaps: NDArray[np.float32],
    canvases: Sequence[Box],
    regions: Sequence[Box],
    outlines: Sequence[Outline],
) -> NDArray[np.float64]:
    return part_ious(
        scale(heatmaps),
        canvases,
        [outline.boxes for outline in outlines],
        np.tile(np.array(THRESHOLDS, np.float32), (len(outlines), 1)),
        regions,
    )


def _middle_of_best(counts: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the position of the best of (..., thresholds) counts; the middle one of several."""
    best = counts == counts.max(-1, keepdims=True)
    # The k-th of the best, counted from the first.
    middle = (best.sum(-1, keepdims=True) - 1) // 2
    return np.asarray((best & (np.cumsum(best, -1) == middle + 1)).argmax(-1))
