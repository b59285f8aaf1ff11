"""A network of the study, and what it is asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

import effcam
from effcam import ModelSpec, Preprocess
from effcam.cam.predict import running
from effcam.demo import Scene
from effcam.demo.study_kinds import KINDS
from effcam.demo.study_networks import SIZES, build

if TYPE_CHECKING:
    from PIL import Image

    from effcam.models.model import Model

TEST_SEED = 6_000

SIDE = 80
"""The side of the pictures in px."""


@dataclass(frozen=True)
class Trained:
    """A trained network: the kind of its pictures, its family, and the file of its weights."""

    kind: str
    family: str
    file: Path


@dataclass(frozen=True)
class Subject:
    """A network, the pictures that it is asked about, and what is explained."""

    model: Model
    scenes: Sequence[Scene]
    images: Tensor
    targets: list[int]
    several: bool


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


def subject_of(model: Model, scenes: Sequence[Scene], *, several: bool) -> Subject:
    """Return what is asked: the class predicted, or, of several, that of the first object."""
    images = inputs_of(model, [each.image for each in scenes])
    with running(model) as run:
        predicted = run(images).values.argmax(1).tolist()
    targets = [each.target for each in scenes] if several else predicted
    return Subject(model, scenes, images, targets, several)


def inputs_of(model: Model, pictures: Sequence[Image.Image]) -> Tensor:
    return torch.stack([model.preprocess(each)[0] for each in pictures])


def accuracy_of(subject: Subject) -> float:
    """Return the share of the pictures for which one of their objects has the highest score."""
    with running(subject.model) as run:
        predicted = run(subject.images).values.argmax(1).tolist()
    right = [
        found in [each.target for each in scene.objects]
        for found, scene in zip(predicted, subject.scenes, strict=True)
    ]
    return float(np.mean(right))
