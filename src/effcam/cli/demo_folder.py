"""Make the demonstration: five demo models on a dozen scenes, written into a folder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path

from effcam.api import compare
from effcam.comparison.comparison import Comparison
from effcam.demo import MODELS, Scene, scenes
from effcam.drawing.encode import write_image
from effcam.errors import OutputError
from effcam.images.discovery import iter_images
from effcam.metrics.summary import Summary

SCENES = 12
PICTURES = ("compare.png", "compare.gif")
REPORT = "report.html"
WIDTH = 176  # of a cell in px: six columns fit a screen
HEADER = ("model", "target layer", "grid", "accuracy", "pointing game")
RIGHT = (3, 4)
"""The columns of the table that are aligned to the right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How often a model predicts the class, and its hottest point is on the object.

    The numbers are those of the report: heat is compared on the scenes that all models get right.

    Attributes:
        column: The label of its column.
        target_layer: The target layer.
        grid: Rows and columns of that layer's map.
        images: The number of scenes.
        right: The number of scenes whose class it predicts.
        used: The number of scenes on which heat is compared.
        hits: The number of these in which the hottest point is on the object.
    """

    column: str
    target_layer: str
    grid: tuple[int, int]
    images: int
    right: int
    used: int
    hits: int

    def row(self) -> tuple[str, ...]:
        """Return a row of text below `HEADER`."""
        return (
            self.column,
            self.target_layer,
            "{} x {}".format(*self.grid),
            f"{self.right} of {self.images}",
            f"{self.hits} of {self.used}",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Demo:
    """The results of a demonstration.

    Attributes:
        scenes: The scenes, in the order of the comparison's rows.
        comparison: The comparison of the five models on them.
        summary: Its summary, as in the report.
        written: The pictures, the report, and the folder of the scenes.
    """

    scenes: tuple[Scene, ...]
    comparison: Comparison
    summary: Summary
    written: tuple[Path, ...]

    def scores(self) -> list[Score]:
        """Return the score of each model."""
        return [self._score(column) for column in range(len(self.comparison.columns))]

    def table(self) -> list[tuple[str, ...]]:
        """Return `scores` as rows of text, the header first."""
        return [HEADER, *(score.row() for score in self.scores())]

    def record(self) -> dict[str, object]:
        """Return the files, scenes and scores as flat records."""
        images = zip(self.comparison.images, self.scenes, strict=True)
        return {
            "written": self.written,
            "scenes": [{"image": image.name, "label": scene.label} for image, scene in images],
            "models": [asdict(score) for score in self.scores()],
        }

    def _score(self, column: int) -> Score:
        cell = self.comparison.cells[column]
        images, right = self._count("accuracy", column)
        used, hits = self._count("pointing_game", column)
        return Score(
            column=cell.column,
            target_layer=cell.target_layer,
            grid=(cell.heatmap.shape[0], cell.heatmap.shape[1]),
            images=images,
            right=right,
            used=used,
            hits=hits,
        )

    def _count(self, figure: str, column: int) -> tuple[int, int]:
        """Return in how many scenes a figure is measured, and in how many it is reached."""
        measure = self.summary.measure(figure)
        images, share = int(measure.counts[column]), float(measure.values[column])
        return images, 0 if math.isnan(share) else round(images * share)


def make_demo(folder: str | PathLike[str], *, seed: int = 0, progress: bool | None = None) -> Demo:
    """Compare the demo models on a dozen scenes, and write the results into a folder.

    It then contains the grid, the animation, the report, and a folder of the scenes. Other files
    in it stay.

    Args:
        folder: The folder, created if it does not exist.
        seed: Another seed draws other scenes.
        progress: As in `effcam.compare`.

    Raises:
        OutputError: If the folder cannot be created or written to.
        ArgumentError: If the seed is negative.
    """
    made = scenes(SCENES, seed)
    target = Path(folder).expanduser()
    # Scenes of another seed have other names, so that they would be mixed in one folder.
    folder_of_scenes = target / (f"scenes-{seed}" if seed else "scenes")
    files = _write_scenes(made, folder_of_scenes)
    # The scenes are read back from files, which have no annotations.
    comparison = compare(list(iter_images(files)), MODELS, progress=progress).annotate(
        masks=[scene.mask for scene in made],
        boxes=[scene.box for scene in made],
        labels=[scene.label for scene in made],
    )
    pictures = [comparison.save(target / name, width=WIDTH) for name in PICTURES]
    report = comparison.report(target / REPORT)
    written = (*pictures, report, folder_of_scenes)
    return Demo(tuple(made), comparison, comparison.summary(), written)


def _write_scenes(made: Sequence[Scene], folder: Path) -> list[Path]:
    """Write the scenes to files named by position and class, and return these."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {str(folder)!r} cannot be created: {error}") from error
    return [
        write_image(scene.image, folder / f"{index:02}-{scene.label}.png")
        for index, scene in enumerate(made, 1)
    ]
