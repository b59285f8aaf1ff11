"""Check that models and methods are those of a comparison, before they run again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from effcam.cam.explanation import Explanation
from effcam.cam.job import Job, Models, name_models
from effcam.cam.methods.checks import check_methods
from effcam.cam.methods.table import Method, facts_of_method, name_of, reads_layer
from effcam.cam.settings import Settings, make_settings
from effcam.errors import ArgumentError, TargetError
from effcam.images.refs import ImageRef
from effcam.models.model import Model

if TYPE_CHECKING:
    import torch


class Compared(Protocol):
    """What a comparison has that faithfulness needs."""

    @property
    def images(self) -> tuple[ImageRef, ...]:
        """The images."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns' labels."""

    @property
    def cells(self) -> tuple[Explanation, ...]:
        """The cells, row by row."""

    @property
    def settings(self) -> Settings:
        """How it was made."""


def make_job(
    comparison: Compared,
    models: Models,
    method: Method | Sequence[Method] | None,
    batch_size: int,
    device: str | torch.device | None,
) -> Job:
    """Return a job that runs the models of a comparison as they ran for it.

    Raises:
        ArgumentError: If models or methods are not those of the comparison.
    """
    methods = _methods(comparison, method)
    made = comparison.settings
    job = Job(
        images=comparison.images,
        models=name_models(models),
        methods=methods,
        settings=make_settings(
            methods=methods,
            target=made.target,
            view=made.view,
            size=made.size,
            options=made.options,
        ),
        batch_size=batch_size,
        device=device,
    )
    if job.columns != comparison.columns or not comparison.cells:
        raise ArgumentError(
            f"models must be those of the comparison, whose columns are "
            f"{', '.join(comparison.columns)}; these would be {', '.join(job.columns)}"
        )
    return job


def check_kinds(comparison: Compared) -> None:
    """Check that each cell explains one class.

    Raises:
        TargetError: If a cell explains several classes together.
    """
    combined = next((cell for cell in comparison.cells if cell.kind != "class"), None)
    if combined is not None:
        raise TargetError(
            "faithfulness follows the probability of one class, and column "
            f"{combined.column!r} explains a {combined.kind}, {combined.label}: compare with a "
            "class as the target"
        )


def _methods(comparison: Compared, given: Method | Sequence[Method] | None) -> tuple[Method, ...]:
    """Return the methods of a comparison, which stores functions only by name."""
    made = tuple(dict.fromkeys(cell.method for cell in comparison.cells[: len(comparison.columns)]))
    if given is None:
        own = [name for name in made if facts_of_method(name) is None]
        if own:
            raise ArgumentError(
                f"{own[0]!r} is not a method of effcam: pass the functions of the comparison to "
                "faithfulness, method=..."
            )
        return made
    methods = check_methods(given)
    names = tuple(name_of(each) for each in methods)
    if names != made:
        raise ArgumentError(
            f"method must be that of the comparison, {', '.join(made)}; this would be "
            f"{', '.join(names)}"
        )
    return methods


def rows_of(comparison: Compared) -> list[tuple[Explanation, ...]]:
    """Return the cells of each image."""
    width = len(comparison.columns)
    cells = comparison.cells
    return [tuple(cells[start : start + width]) for start in range(0, len(cells), width)]


def check_model(model: Model, cell: Explanation) -> None:
    """Check that a model is the one that made a cell.

    Raises:
        ArgumentError: If its name, target layer or grid differs, or what its class scores are.
    """
    found = model.name, model.target_layer, model.layer.grid
    made = cell.model, cell.target_layer, cell.heatmap.shape
    compared = len(made) if reads_layer(cell.method) else 1
    if found[:compared] != made[:compared]:
        raise ArgumentError(
            f"column {cell.column!r} was made with another model: {made[0]}, layer {made[1]}, grid "
            f"{made[2]}; this is {found[0]}, layer {found[1]}, grid {found[2]}"
        )
    if model.multi_label != cell.multi_label:
        kinds = ("of classes that exclude each other", "of labels that do not exclude each other")
        raise ArgumentError(
            f"column {cell.column!r} was made with class scores {kinds[cell.multi_label]}; those "
            f"of this model are {kinds[model.multi_label]}: load it with the same scores="
        )
