"""What ``effcam demo`` does: the five demo models on a dozen scenes, written into a folder."""

from __future__ import annotations

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

SCENES = 12
PICTURES = ("compare.png", "compare.gif")
REPORT = "report.html"
WIDTH = 176  # of a cell in px: six columns fit a screen
HEADER = ("model", "looked at", "grid", "right", "heat on the object")
RIGHT = (3, 4)
"""The columns of the summary that are aligned right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How often a model is right, and its heat on the object.

    Attributes:
        column: The label of its column.
        target_layer: The layer that was looked at.
        grid: Rows and columns of that layer's map.
        images: How many scenes it was shown.
        right: How many of them it named.
        hits: In how many of them the hottest pixel is on the object.
    """

    column: str
    target_layer: str
    grid: tuple[int, int]
    images: int
    right: int
    hits: int

    def row(self) -> tuple[str, ...]:
        """Return it as text, as `HEADER` has it."""
        return (
            self.column,
            self.target_layer,
            "{} x {}".format(*self.grid),
            f"{self.right} of {self.images}",
            f"{self.hits} of {self.images}",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Tour:
    """What a tour made.

    Attributes:
        scenes: The scenes, in the order of the comparison's rows.
        comparison: What the five models looked at in them.
        written: The pictures of it, the report, and the folder of the scenes.
    """

    scenes: tuple[Scene, ...]
    comparison: Comparison
    written: tuple[Path, ...]

    def scores(self) -> list[Score]:
        """Return how often each model, and its heat, is right."""
        return [self._score(column) for column in range(len(self.comparison.columns))]

    def summary(self) -> list[tuple[str, ...]]:
        """Return `scores` as rows of text, a header first."""
        return [HEADER, *(score.row() for score in self.scores())]

    def record(self) -> dict[str, object]:
        """Return what was made and found as flat records."""
        images = zip(self.comparison.images, self.scenes, strict=True)
        return {
            "written": self.written,
            "scenes": [{"image": image.name, "label": scene.label} for image, scene in images],
            "models": [asdict(score) for score in self.scores()],
        }

    def _score(self, column: int) -> Score:
        cells = [row[column] for row in self.comparison.rows()]
        pairs = list(zip(cells, self.scenes, strict=True))
        return Score(
            column=cells[0].column,
            target_layer=cells[0].target_layer,
            grid=(cells[0].heatmap.shape[0], cells[0].heatmap.shape[1]),
            images=len(cells),
            right=sum(cell.predicted == scene.target for cell, scene in pairs),
            hits=sum(scene.is_hit(cell.upsampled()) for cell, scene in pairs),
        )


def tour(folder: str | PathLike[str], *, seed: int = 0, progress: bool | None = None) -> Tour:
    """Return what the demo models looked at in a dozen scenes, after writing it into a folder.

    The folder then holds the grid, the animation, the report, and the scenes in a folder of
    their own. What else was in it stays.

    Args:
        folder: Where to write; made if it is not there.
        seed: Which scenes to make.
        progress: As in `effcam.compare`.

    Raises:
        OutputError: If the folder cannot be made or written into.
        ArgumentError: If the seed is negative.
    """
    made = scenes(SCENES, seed)
    target = Path(folder).expanduser()
    # Scenes of another seed have other names, and would lie among these.
    folder_of_scenes = target / (f"scenes-{seed}" if seed else "scenes")
    files = _write_scenes(made, folder_of_scenes)
    comparison = compare(list(iter_images(files)), MODELS, progress=progress)
    pictures = [comparison.save(target / name, width=WIDTH) for name in PICTURES]
    # Files say nothing of what is on them.
    known = {image.name: scene for image, scene in zip(comparison.images, made, strict=True)}
    report = comparison.report(
        target / REPORT,
        masks={name: scene.mask for name, scene in known.items()},
        boxes={name: scene.box for name, scene in known.items()},
        labels={name: scene.target for name, scene in known.items()},
    )
    return Tour(tuple(made), comparison, (*pictures, report, folder_of_scenes))


def _write_scenes(made: Sequence[Scene], folder: Path) -> list[Path]:
    """Return the files that it wrote, named by position and class."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {str(folder)!r} cannot be made: {error}") from error
    return [
        write_image(scene.image, folder / f"{index:02}-{scene.label}.png")
        for index, scene in enumerate(made, 1)
    ]
