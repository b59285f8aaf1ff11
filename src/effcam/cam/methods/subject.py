"""A batch under one question, as methods receive it that run the network themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from effcam.cam.head_cam import HeadCAM
from effcam.cam.methods.options import MethodOptions
from effcam.cam.scores import Score
from effcam.models.model import Model
from effcam.models.tracing.logits import Logits

if TYPE_CHECKING:
    from torch import Tensor

    from effcam.cam.attention.reading import Reading


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A batch of B images under one question.

    Attributes:
        model: The model. Its module is frozen, in eval mode, and restored after the method.
        cam: Runs it: ``cam.run(images)`` returns what the network returns for any number of
            inputs, with a graph if gradients are enabled and the inputs require them.
        images: (B, channels, height, width), the network's inputs, without gradients.
        found: What the network returned for them, without more than its value.
        score: The score that is explained in each image, with its classes decided:
            ``score(logits)`` for the B images, changed or not; ``score.of_image(row, logits)`` for
            n changed copies of one image.
        options: The methods' options.
        attention: The attention of the pass that gave ``found``; ``None`` unless a method that
            reads it was asked for.
    """

    model: Model
    cam: HeadCAM
    images: Tensor
    found: Logits
    score: Score
    options: MethodOptions
    attention: Reading | None = None


@dataclass(frozen=True, slots=True, eq=False)
class MethodMap:
    """What a method computes for a batch.

    Attributes:
        heat: (B, h, w) float32, with negative evidence, not scaled.
        read_at: What it was computed from, for captions, as "input" or "12 attention layers"; empty
            for the target layer.
    """

    heat: Tensor
    read_at: str = ""


ImageMethod: TypeAlias = Callable[[Subject], MethodMap]
"""A method that runs the network itself, and computes one map, not one for each target layer."""
