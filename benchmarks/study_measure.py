"""Measure one network of the study: the truth and every figure of every method's maps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import ImageOps
from study_figures import FIGURES, Asked, Predict, Values, measure_all, resized
from study_heats import QUICK, coarsened, make_heats, method_heats, scaled
from study_subject import (
    SIDE,
    TEST_SEED,
    Subject,
    Trained,
    accuracy_of,
    inputs_of,
    load,
    subject_of,
)
from study_truth import measure_effects, measure_truths, plain
from torch import Tensor
from torch.nn import functional

from effcam.cam.explain import compute_cams
from effcam.cam.predict import running
from effcam.demo import Scene, ScenePart
from effcam.demo.scene import box_around
from effcam.demo.study_kinds import KINDS
from effcam.metrics.randomisation import shuffle_from_top

if TYPE_CHECKING:
    from numpy.typing import NDArray

BORDER = 8
"""The border that one change adds to each side of a picture, px."""


@dataclass(frozen=True)
class View:
    """One way to look at the same pictures with the same network.

    Attributes:
        name: What is changed.
        scale: The size of the network's input over its usual one.
        border: The border around the picture, px.
        coarser: By how much the grid of the map is coarser, in cells a side.
    """

    name: str = "usual"
    scale: float = 1.0
    border: int = 0
    coarser: int = 1


VIEWS = (
    View("grid", coarser=2),
    View("input size", scale=1.5),
    View("padding", border=BORDER),
)
"""Changes that should not change what a figure says."""


def measure_network(trained: Trained, count: int) -> dict[str, Any]:
    """Return what the study keeps of a network: plain numbers, lists and dictionaries.

    Args:
        trained: The network.
        count: The number of pictures.
    """
    torch.set_num_threads(1)
    kind = KINDS[trained.kind]
    scenes = [kind.testing(TEST_SEED, index, SIDE) for index in range(count)]
    subject = subject_of(load(trained), scenes, several=kind.several)
    effects = measure_effects(subject)
    heats = make_heats(subject)
    figures = list(FIGURES)
    found: dict[str, Any] = {
        "accuracy": accuracy_of(subject),
        "effects": {name: plain(values) for name, values in effects.items()},
        **measure_truths(heats, scenes, effects),
        "figures": {},
        "views": {},
    }
    for name, own in heats.items():
        asked = _asked(subject, name, own)
        found["figures"][name] = _all_plain(measure_all(asked, figures))
    cheap = [name for name in figures if FIGURES[name].family != "stability"]
    for view in VIEWS:
        found["views"][view.name] = _all_plain(_changed(trained, subject, view, cheap))
    return found


def _asked(subject: Subject, method: str, heats: NDArray[np.float32]) -> Asked:
    """Return what the figures need of a method's maps."""
    size = (subject.images.shape[2], subject.images.shape[3])
    masks = torch.from_numpy(np.stack([each.mask for each in subject.scenes])).float()
    smaller = (resized(masks, size) > 0.5).numpy()
    return Asked(
        _predict(subject),
        subject.images,
        resized(torch.from_numpy(heats), size).clamp(0, 1),
        subject.targets,
        smaller,
        [box_around(mask) for mask in smaller],
        partial(_explain, subject, method) if method in QUICK else None,
        partial(_explain_shuffled, subject, method) if method in QUICK else None,
    )


def _predict(subject: Subject) -> Predict:
    def predict(images: Tensor) -> Tensor:
        with running(subject.model) as run:
            return run(images).probabilities

    return predict


def _explain(subject: Subject, method: str, images: Tensor, targets: list[int]) -> Tensor:
    """Return the maps of inputs over them, each scaled to [0, 1]."""
    cams = compute_cams(subject.model, images, (method,), targets)
    maps = torch.from_numpy(scaled(cams.maps[method]))
    size = (images.shape[2], images.shape[3])
    return functional.interpolate(maps[:, None], size=size, mode="bilinear")[:, 0]


def _explain_shuffled(subject: Subject, method: str, images: Tensor, targets: list[int]) -> Tensor:
    """Return the maps of inputs after all weights of the network were shuffled."""
    with shuffle_from_top(subject.model, 1.0).in_place():
        return _explain(subject, method, images, targets)


def _changed(
    trained: Trained, subject: Subject, view: View, figures: list[str]
) -> dict[str, Values]:
    """Return the figures of Grad-CAM's maps of the same network, looked at in another way."""
    scenes = [_bordered(each, view.border) for each in subject.scenes] if view.border else None
    model = load(trained, scale=view.scale) if view.scale != 1 else subject.model
    seen = subject
    if scenes or view.scale != 1:
        used = scenes or subject.scenes
        images = inputs_of(model, [each.image for each in used])
        seen = Subject(model, used, images, subject.targets, subject.several)
    pictures = [each.image for each in seen.scenes]
    heats = method_heats(seen.model, pictures, seen.targets, ["gradcam"])["gradcam"]
    if view.coarser > 1:
        heats = coarsened(heats, view.coarser)
    return measure_all(_asked(seen, "gradcam", heats), figures)


def _bordered(scene: Scene, border: int) -> Scene:
    """Return a scene with a grey border around it; its parts are where they were."""
    around = border, border
    parts = tuple(ScenePart(each.name, np.pad(each.mask, border)) for each in scene.parts)
    (first, *_) = scene.objects
    mask = np.pad(first.mask, border)
    moved = type(first)(first.label, first.target, box_around(mask), mask)
    picture = ImageOps.expand(scene.image, around, (124, 116, 104))
    return Scene(picture, (moved,), scene.name, parts=parts)


def _all_plain(figures: dict[str, Values]) -> dict[str, list[float | None]]:
    return {name: plain(values) for name, values in figures.items()}
