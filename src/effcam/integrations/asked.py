"""What is shown of a network during its training: the images, the method, the target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from effcam.api import compare
from effcam.cam.methods.checks import check_methods
from effcam.cam.methods.table import Method
from effcam.cam.questions import check_methods_of, per_image
from effcam.comparison.comparison import Comparison
from effcam.errors import ArgumentError, check_number
from effcam.images.annotations.truths import Boxes, Labels, Masks, find_truths
from effcam.images.discovery import iter_images
from effcam.images.refs import ImageLike, ImageRef
from effcam.models.link import check_link
from effcam.models.loading import load_model
from effcam.models.model import Model
from effcam.models.registry import Scores
from effcam.models.wrappers import Layers
from effcam.targets.plain import PlainTarget, Target, plain

if TYPE_CHECKING:
    from torch import nn

    from effcam.images.preprocess import Preprocess


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to show, checked as far as that needs no network.

    Attributes:
        images: The images, with their annotations.
        method: The method.
        target: The target.
        batch_size: How many images run at once.
        target_layer: The target layer; ``None`` to find it.
        class_names: The names of the classes; ``None`` for those that the network states.
        scores: What the class scores are; ``None`` for what the network states.
    """

    images: tuple[ImageRef, ...]
    method: Method
    target: PlainTarget
    batch_size: int
    target_layer: Layers
    class_names: Sequence[str] | None
    scores: Scores | None

    def load(self, network: nn.Module, name: str, preprocess: Preprocess) -> Model:
        """Return a network with its target layer and classes.

        Raises:
            EffcamError: As `effcam.load_model`.
        """
        return load_model(
            network,
            name=name,
            target_layer=self.target_layer,
            preprocess=preprocess,
            labels=self.class_names,
            scores=self.scores,
        )

    def show(self, model: Model, label: str) -> Comparison:
        """Return a comparison of one column.

        Raises:
            EffcamError: As `effcam.compare`.
        """
        return compare(
            self.images,
            {label: model},
            method=self.method,
            target=self.target,
            batch_size=self.batch_size,
            progress=False,
        )


def check_asked(
    images: ImageLike | Iterable[ImageLike],
    *,
    method: Method,
    target: Target,
    batch_size: int,
    target_layer: Layers,
    class_names: Sequence[str] | None,
    scores: Scores | None,
    boxes: Boxes,
    masks: Masks,
    labels: Labels,
) -> Asked:
    """Return what to show.

    Raises:
        ImageError: If there are no images, or one does not exist.
        AnnotationError: If boxes, masks or labels are broken or do not fit the images.
        TargetError: If the target is impossible.
        ArgumentError: If another argument is impossible.
    """
    refs = tuple(iter_images(images))
    if not refs:
        raise ArgumentError("there are no images to show the network on")
    for ref in refs:
        ref.photo()
    truths = find_truths(refs, boxes, masks, labels)
    wanted = plain(target)
    methods = check_methods(method)
    check_methods_of(wanted, methods)
    if len(methods) > 1 or isinstance(wanted, Mapping):
        raise ArgumentError("one method and one target are shown during a training")
    per_image(wanted, len(refs))
    return Asked(
        images=tuple(replace(ref, truth=truth) for ref, truth in zip(refs, truths, strict=True)),
        method=methods[0],
        target=wanted,
        batch_size=check_number("batch_size", batch_size),
        target_layer=target_layer,
        class_names=class_names,
        scores=check_link(scores),
    )
