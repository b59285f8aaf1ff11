"""Measure one network of the study: what it uses, and every figure of every method's maps.

What a network really uses is known by intervention: each part of a picture is taken away, and the
fall of the score of the class explained is the part's effect. The truth of a map is measured in two
ways, both from 0 to 1. Its overlap with the effects is the sum over the parts of the smaller of a
part's share of the heat and its share of the effects; heat that is spread has a low one. Its order
is the mean over the parts, weighted by their effects, of the probability that a pixel of the part
is hotter than one of the rest of the picture (the area under the ROC curve); it does not depend on
how heat is scaled or spread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageOps
from scipy.stats import rankdata
from study_figures import FIGURES, Asked, Predict, Values, measure_all, resized
from torch import Tensor
from torch.nn import functional

import effcam
from effcam import ModelSpec, Preprocess
from effcam.cam.explain import compute_cams
from effcam.cam.predict import running
from effcam.demo import Scene, ScenePart
from effcam.demo.scene import box_around
from effcam.demo.study_kinds import KINDS
from effcam.demo.study_networks import SIZES, build
from effcam.metrics.localisation import centre_map
from effcam.metrics.randomisation import shuffle_from_top

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effcam.models.model import Model

METHODS = (
    "gradcam",
    "hirescam",
    "gradcam++",
    "layercam",
    "eigencam",
    "scorecam",
    "occlusion",
    "inputxgradient",
)
"""The methods that are compared."""
QUICK = ("gradcam", "hirescam", "gradcam++", "layercam", "eigencam", "inputxgradient")
"""Those of one pass, whose maps of changed inputs are measured too."""
BASELINES = ("random map", "edges", "centre")
"""Maps that know nothing of the network."""
TEST_SEED = 6_000
SIDE = 80
"""The side of the pictures in px."""
GRID = 8
"""The cells along each side of a random map."""
LEAST_EFFECT = 1.0
"""The least effect of a picture's strongest part, in nats, for its truth to count as known."""
BORDER = 8
"""The border that one change adds to each side of a picture, px."""


@dataclass(frozen=True)
class Trained:
    """A trained network: the kind of its pictures, its family, and the file of its weights."""

    kind: str
    family: str
    file: Path


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


@dataclass(frozen=True)
class Subject:
    """A network, the pictures that it is asked about, and what is explained."""

    model: Model
    scenes: Sequence[Scene]
    images: Tensor
    targets: list[int]
    several: bool


def measure_network(trained: Trained, count: int) -> dict[str, Any]:
    """Return what the study keeps of a network: plain numbers, lists and dictionaries.

    Args:
        trained: The network.
        count: The number of pictures.
    """
    torch.set_num_threads(1)
    kind = KINDS[trained.kind]
    scenes = [kind.testing(TEST_SEED, index, SIDE) for index in range(count)]
    subject = _subject(load(trained), scenes, several=kind.several)
    effects = measure_effects(subject)
    heats = make_heats(subject)
    figures = list(FIGURES)
    found: dict[str, Any] = {
        "accuracy": _accuracy(subject),
        "effects": {name: _plain(values) for name, values in effects.items()},
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


def load(trained: Trained, *, scale: float = 1.0) -> Model:
    """Return a network of the study, at its usual input size or a multiple of it."""
    size = round(SIZES[trained.family] * scale)
    labels = KINDS[trained.kind].labels
    spec = ModelSpec(
        trained.file.stem,
        constructor=partial(build, trained.family, len(labels)),
        checkpoint=trained.file,
        preprocess=Preprocess(size=(size, size), resize=(size, size), mode="squash"),
        labels=labels,
        scores="sigmoid" if KINDS[trained.kind].several else None,
    )
    return effcam.load_model(spec)


def _subject(model: Model, scenes: Sequence[Scene], *, several: bool) -> Subject:
    """Return what is asked: the class predicted, or, of several, that of the first object."""
    images = _inputs(model, [each.image for each in scenes])
    with running(model) as run:
        predicted = run(images).values.argmax(1).tolist()
    targets = [each.target for each in scenes] if several else predicted
    return Subject(model, scenes, images, targets, several)


def _inputs(model: Model, pictures: Sequence[Image.Image]) -> Tensor:
    return torch.stack([model.preprocess(each)[0] for each in pictures])


def _accuracy(subject: Subject) -> float:
    """Return the share of the pictures for which one of their objects has the highest score."""
    with running(subject.model) as run:
        predicted = run(subject.images).values.argmax(1).tolist()
    right = [
        found in [each.target for each in scene.objects]
        for found, scene in zip(predicted, subject.scenes, strict=True)
    ]
    return float(np.mean(right))


def measure_effects(subject: Subject) -> dict[str, Values]:
    """Return by how many nats the score falls without each part: (N,), by the part's name.

    The score is the log-odds of the class explained.
    """
    full = _log_odds(subject, subject.images)
    names = [part.name for part in subject.scenes[0].parts]
    return {
        name: full
        - _log_odds(
            subject, _inputs(subject.model, [each.without(name) for each in subject.scenes])
        )
        for name in names
    }


def _log_odds(subject: Subject, images: Tensor) -> Values:
    with running(subject.model) as run:
        scores = run(images).values.double()
    own = scores.gather(1, torch.tensor(subject.targets)[:, None])[:, 0]
    if subject.several:
        return np.asarray(own.numpy())
    others = scores.scatter(1, torch.tensor(subject.targets)[:, None], -torch.inf)
    return np.asarray((own - others.logsumexp(1)).numpy())


def measure_truths(
    heats: Mapping[str, NDArray[np.float32]], scenes: Sequence[Scene], effects: dict[str, Values]
) -> dict[str, dict[str, list[float | None]]]:
    """Return both truths of each method's maps, as plain numbers."""
    return {
        truth: {name: _plain(truth_of(own, scenes, effects, of)) for name, own in heats.items()}
        for truth, of in TRUTHS.items()
    }


def truth_of(
    heats: NDArray[np.float32],
    scenes: Sequence[Scene],
    effects: dict[str, Values],
    of: Callable[[NDArray[np.float32], Sequence[ScenePart], Values], float],
) -> Values:
    """Return a truth of the map of each picture: (N,) in [0, 1].

    It is NaN where no part has an effect, or a map has no evidence.

    Args:
        heats: (N, SIDE, SIDE) >= 0, NaN for a map without evidence.
        scenes: The pictures.
        effects: By the name of each part, the fall of the score without it.
        of: One of `TRUTHS`.
    """
    found = np.full(len(scenes), np.nan)
    for at, (heat, scene) in enumerate(zip(heats, scenes, strict=True)):
        own = np.array([max(effects[part.name][at], 0.0) for part in scene.parts])
        if own.max() >= LEAST_EFFECT and heat.sum() > 0:
            found[at] = of(heat, scene.parts, own / own.sum())
    return found


def overlap_of(heat: NDArray[np.float32], parts: Sequence[ScenePart], effects: Values) -> float:
    """Return the overlap of the parts' shares of the heat with their shares of the effects."""
    shares = np.array([heat[part.mask].sum() for part in parts]) / heat.sum()
    return float(np.minimum(shares, effects).sum())


def order_of(heat: NDArray[np.float32], parts: Sequence[ScenePart], effects: Values) -> float:
    """Return the probability that a pixel of a part is hotter than one of the rest.

    It is the mean over the parts, weighted by their effects; equal pixels count half.
    """
    ranks = rankdata(heat).reshape(heat.shape)
    found = 0.0
    for part, weight in zip(parts, effects, strict=True):
        inside = int(part.mask.sum())
        if weight > 0:
            above = ranks[part.mask].sum() - inside * (inside + 1) / 2
            found += weight * above / (inside * (heat.size - inside))
    return float(found)


TRUTHS = {"overlap": overlap_of, "order": order_of}
"""The two truths of a map, given its heat, the parts and their shares of the effects."""


def make_heats(subject: Subject) -> dict[str, NDArray[np.float32]]:
    """Return the maps of all methods and baselines over the pictures: (N, SIDE, SIDE) in [0, 1]."""
    pictures = [each.image for each in subject.scenes]
    found = method_heats(subject.model, pictures, subject.targets, METHODS)
    random = np.random.default_rng(0)
    cells = torch.from_numpy(random.random((len(pictures), GRID, GRID), dtype=np.float32))
    found["random map"] = scaled(resized(cells, (SIDE, SIDE)).numpy())
    found["edges"] = scaled(np.stack([edges_of(each) for each in pictures]))
    found["centre"] = np.repeat(scaled(centre_map(SIDE, SIDE)[None]), len(pictures), 0)
    return found


def method_heats(
    model: Model, pictures: Sequence[Image.Image], targets: list[int], methods: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """Return each method's maps over the pictures, NaN for a map without evidence."""
    comparison = effcam.compare(
        list(pictures), model, method=list(methods), target=targets, progress=False
    )
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in methods}
    for cell in comparison:
        heat = cell.upsampled()
        found[cell.method].append(heat if cell.state == "ok" else np.full_like(heat, np.nan))
    return {name: np.stack(heats) for name, heats in found.items()}


def edges_of(picture: Image.Image) -> NDArray[np.float32]:
    """Return the length of the gradient of a picture's lightness: (height, width) float32."""
    grey = np.asarray(picture.convert("L"), np.float32)
    down, across = np.gradient(grey)
    return np.asarray(np.hypot(down, across), np.float32)


def scaled(heats: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return (N, h, w) maps, each scaled to [0, 1]."""
    low, high = heats.min((1, 2), keepdims=True), heats.max((1, 2), keepdims=True)
    return np.asarray((heats - low) / np.where(high > low, high - low, 1), np.float32)


def _asked(subject: Subject, method: str, heats: NDArray[np.float32]) -> Asked:
    """Return what the figures need of a method's maps."""
    size = (subject.images.shape[2], subject.images.shape[3])
    masks = torch.from_numpy(np.stack([_annotated(each) for each in subject.scenes])).float()
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


def _annotated(scene: Scene) -> NDArray[np.bool]:
    """Return the mask of the annotated object, as a person would draw it."""
    return scene.mask


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
        images = _inputs(model, [each.image for each in used])
        seen = Subject(model, used, images, subject.targets, subject.several)
    pictures = [each.image for each in seen.scenes]
    heats = method_heats(seen.model, pictures, seen.targets, ["gradcam"])["gradcam"]
    if view.coarser > 1:
        heats = _coarsened(heats, view.coarser)
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


def _coarsened(heats: NDArray[np.float32], times: int) -> NDArray[np.float32]:
    """Return maps as if their grid had so many times fewer cells a side."""
    cells = functional.avg_pool2d(torch.from_numpy(heats)[:, None], SIDE * times // GRID)
    side = heats.shape[1:]
    return scaled(functional.interpolate(cells, size=side, mode="bilinear")[:, 0].numpy())


def _plain(values: Values) -> list[float | None]:
    """Return numbers as JSON has them: NaN as null, the others to six digits."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]


def _all_plain(figures: dict[str, Values]) -> dict[str, list[float | None]]:
    return {name: _plain(values) for name, values in figures.items()}
