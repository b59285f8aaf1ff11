"""Functions of the output of other tasks: a region of a segmentation, a box of a detection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, cast

from effcam.errors import TargetError
from effcam.targets.checks import Corners, as_corners, as_index

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Region:
    """The scores of one category in a part of a segmentation's output: the sum over its pixels.

    A target for networks that return (B, categories, height, width) scores, alone or as the
    ``"out"`` of a mapping, as torchvision's do. It equals grad-cam's ``SemanticSegmentationTarget``
    for a mask given. Source: Vinogradova et al. 2020, arXiv:2002.11434.

    Attributes:
        category: The index of the category.
        mask: (height, width) of the output, numbers or bool: the weight of each pixel; ``None``
            for the pixels at which the category has the highest score.

    Raises:
        TargetError: If a value is impossible, or does not fit the output.
    """

    category: int
    mask: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        """Check the category."""
        object.__setattr__(self, "category", as_index("category", self.category))

    def __repr__(self) -> str:
        mask = "" if self.mask is None else ", mask=..."
        return f"effcam.targets.Region({self.category}{mask})"

    @property
    def name(self) -> str:
        """Its name in captions."""
        where = "where it is the highest" if self.mask is None else "in a mask"
        return f"category {self.category} {where}"

    def __call__(self, output: Any) -> torch.Tensor:
        """Return the (B,) sums for B images."""
        import numpy as np
        import torch

        scores = output["out"] if hasattr(output, "keys") and "out" in output else output
        if not isinstance(scores, torch.Tensor) or scores.ndim != 4:
            raise TargetError(
                "Region needs an output of shape (images, categories, height, width), alone or as "
                f"'out' of a mapping, not {_form_of(scores)}"
            )
        if self.category >= scores.shape[1]:
            raise TargetError(
                f"category {self.category} is out of range: there are {scores.shape[1]}"
            )
        own = scores[:, self.category]
        if self.mask is None:
            return (own * (scores.argmax(1) == self.category).to(own.dtype)).sum((1, 2))
        # A copy: torch warns of arrays that it cannot write to, as those of opened files.
        given: object = self.mask
        mask = given if isinstance(given, torch.Tensor) else np.array(given)
        weights = torch.as_tensor(mask).to(own)
        if weights.shape != own.shape[1:]:
            raise TargetError(
                f"the mask of Region has the shape {tuple(weights.shape)}, but the output has "
                f"{own.shape[1]} x {own.shape[2]} pixels"
            )
        return (own * weights).sum((1, 2))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BoxScore:
    """How well a detector finds an object: the overlap of its best box, and that box's score.

    A target for networks that return for each image a mapping with ``boxes``, ``labels`` and
    ``scores``, as torchvision's detectors do. It equals grad-cam's ``FasterRCNNBoxScoreTarget`` for
    one box. It is 0, and the map flat, where no box of that label overlaps enough.

    Attributes:
        box: Left, top, right and bottom of the object, in px of the model's input.
        label: The index of its category.
        threshold: The least overlap (intersection over union) that counts, in [0, 1).

    Raises:
        TargetError: If a value is impossible, or the output has another form.
    """

    box: Corners
    label: int
    threshold: float = 0.5

    def __post_init__(self) -> None:
        """Check the values."""
        object.__setattr__(self, "box", as_corners(self.box))
        object.__setattr__(self, "label", as_index("label", self.label))
        given: object = self.threshold
        if not (isinstance(given, Real) and 0 <= self.threshold < 1):
            raise TargetError(f"threshold must lie in [0, 1), not {self.threshold!r}")

    def __repr__(self) -> str:
        least = "" if self.threshold == 0.5 else f", threshold={float(self.threshold)!r}"
        return f"effcam.targets.BoxScore({self.box}, {self.label}{least})"

    @property
    def name(self) -> str:
        """Its name in captions."""
        return f"box of label {self.label} at ({', '.join(f'{each:g}' for each in self.box)})"

    def __call__(self, output: Any) -> torch.Tensor:
        """Return the (B,) values for B images."""
        import torch

        is_found = isinstance(output, Sequence) and all(
            hasattr(each, "keys") and {"boxes", "labels", "scores"} <= set(each) for each in output
        )
        if not is_found:
            raise TargetError(
                "BoxScore needs, for each image, a mapping with boxes, labels and scores, not "
                f"{_form_of(output)}"
            )
        return torch.stack([self._of(each) for each in output])

    def _of(self, found: Any) -> torch.Tensor:
        nothing: torch.Tensor = found["scores"].sum() * 0
        if not len(found["boxes"]):
            return nothing
        overlaps = self._overlaps(found["boxes"])
        best = int(overlaps.argmax())
        if overlaps[best] <= self.threshold or int(found["labels"][best]) != self.label:
            return nothing
        return cast("torch.Tensor", overlaps[best] + found["scores"][best])

    def _overlaps(self, boxes: torch.Tensor) -> torch.Tensor:
        """Return the intersection over union of the box and each of (n, 4) others."""
        own = boxes.new_tensor(self.box)
        sides = boxes[:, 2:].minimum(own[2:]) - boxes[:, :2].maximum(own[:2])
        inside = sides.clamp(min=0).prod(1)
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (own[2:] - own[:2]).prod()
        return inside / (areas - inside)


def _form_of(output: object) -> str:
    shape = getattr(output, "shape", None)
    return f"a {type(output).__name__}" + ("" if shape is None else f" of shape {tuple(shape)}")
