"""Class activation maps of one model on one batch, for little more than its forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from effcam.cam.head_cam import HeadCAM
from effcam.cam.kept_memory import keeping_memory
from effcam.cam.map_checks import State
from effcam.cam.methods.augmentation import COPIES
from effcam.cam.methods.code import find_image_method, find_perturbation
from effcam.cam.methods.formulas import (
    GRADIENT_METHODS,
)
from effcam.cam.methods.fusion import scaled
from effcam.cam.methods.layer_maps import gradients_of, map_of_layers
from effcam.cam.methods.options import MethodOptions
from effcam.cam.methods.subject import MethodMap, Subject
from effcam.cam.methods.table import Method, name_of, reads_attention
from effcam.cam.precision import Precision
from effcam.cam.predict import placing
from effcam.cam.scores import ClassQuestions, Questions, Score
from effcam.cam.token_cut import TokenCut
from effcam.models.model import Model
from effcam.models.tracing.isolation import untouched
from effcam.models.tracing.logits import Logits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effcam.cam.attention.reading import Reading


FLAT = 1e-6
"""A map is flat if its range is at most this share of its peak."""


@dataclass(frozen=True, slots=True)
class Cams:
    """The results of one pass over a batch of B images.

    Attributes:
        probabilities: (B, classes) float32, the softmax of the scores; their sigmoid for a network
            that ends in one. (B, 0) without classes.
        classes: (B, k) int64, the classes whose scores are explained in each image, -1 for places
            that are not used; k = 0 for other scores.
        values: (B,) float32, the score explained.
        maps: By method, (B, h, w) float32 at the target layer's own resolution: >= 0, not scaled,
            0 where there is no positive evidence, and everywhere if a value was not finite.
        states: By method, for each image ``"ok"``, ``"flat"`` (no cell stands out) or ``"nan"``
            (a value was not finite, in the map or the score explained).
        read_at: By method, what its map was computed from, where that is not the target layer.
    """

    probabilities: NDArray[np.float32]
    classes: NDArray[np.int64]
    values: NDArray[np.float32]
    maps: dict[str, NDArray[np.float32]]
    states: dict[str, list[State]]
    read_at: dict[str, str] = field(default_factory=dict)

    @property
    def targets(self) -> NDArray[np.int64]:
        """(B,) int64, the first class explained in each image.

        Raises:
            IndexError: If no class is explained.
        """
        return self.classes[:, 0]

    @classmethod
    def join(cls, parts: Sequence[Cams]) -> Cams:
        """Join the results of one or more parts of a batch."""
        first, *others = parts
        if not others:
            return first
        return cls(
            np.concatenate([each.probabilities for each in parts]),
            np.concatenate([each.classes for each in parts]),
            np.concatenate([each.values for each in parts]),
            {name: np.concatenate([each.maps[name] for each in parts]) for name in first.maps},
            {name: list(chain(*(each.states[name] for each in parts))) for name in first.states},
            first.read_at,
        )


class Explainer:
    """`compute_cams` of one model, for many batches."""

    def __init__(self, model: Model, precision: Precision, options: MethodOptions) -> None:
        """Register hooks, until `release`."""
        self._model, self._options = model, options
        self._place = placing(model)
        self._cam = HeadCAM(model, precision)
        self._cut = TokenCut(self._cam)

    def __call__(
        self, images: Tensor, methods: Sequence[Method], targets: Sequence[int] | None = None
    ) -> Cams:
        """Return the maps of a batch for a class in each image; ``None`` is each one's top-1."""
        wanted = [-1] * len(images) if targets is None else targets
        (cams,) = self.each(images, methods, [ClassQuestions.of_classes(wanted)])
        return cams

    def each(
        self, images: Tensor, methods: Sequence[Method], asked: Sequence[Questions]
    ) -> list[Cams]:
        """Return the maps of a batch for each of several targets, which share a forward pass."""
        try:
            return self._explain(self._place(images), methods, asked)
        finally:
            self._cam.forget()

    def release(self) -> None:
        """Remove the hooks."""
        self._cam.release()

    def _explain(
        self, images: Tensor, methods: Sequence[Method], asked: Sequence[Questions]
    ) -> list[Cams]:
        found = self._pass(images, methods)
        scores = [questions.on(found.scores) for questions in asked]
        raw = [self._maps(found, methods, score) for score in scores]
        if self._options.aug_smooth:
            raw = self._smooth(images, methods, scores, raw)
        probabilities = _to_numpy(found.scores.probabilities)
        answers = []
        for score, made in zip(scores, raw, strict=True):
            values = score(found.scores).detach().float()
            settled = {name: _settle(each.heat, values) for name, each in made.items()}
            answers.append(
                Cams(
                    probabilities,
                    score.classes.cpu().numpy(),
                    _to_numpy(values),
                    {name: heat for name, (heat, _) in settled.items()},
                    {name: states for name, (_, states) in settled.items()},
                    {name: each.read_at for name, each in made.items() if each.read_at},
                )
            )
        return answers

    def _pass(self, images: Tensor, methods: Sequence[Method]) -> _Pass:
        # The network may work in place on its input, which some methods need again.
        again = self._options.aug_smooth or any(
            find_perturbation(each) or find_image_method(each) for each in methods
        )
        inputs = images.clone() if again else images
        if any(map(reads_attention, methods)):
            from effcam.cam.attention.reading import reading_attention  # few comparisons need it

            with reading_attention(self._cam, inputs) as attention:
                scores = self._cam.scores(inputs)
        else:
            attention = None
            scores = self._cut.scores(inputs)
        return _Pass(images, scores, self._cam.maps(self._cam.leaves), attention)

    def _smooth(
        self,
        images: Tensor,
        methods: Sequence[Method],
        scores: Sequence[Score],
        made: Sequence[dict[str, MethodMap]],
    ) -> list[dict[str, MethodMap]]:
        """Return the mean of the maps of an image and of its mirrored and dimmed copies.

        Args:
            images: The images.
            methods: The methods.
            scores: The score that each target explains, decided by the images themselves.
            made: Their own maps, by target.
        """
        total = [
            {name: scaled(each.heat.clamp(min=0)) for name, each in maps.items()} for maps in made
        ]
        for change, restore in COPIES:
            found = self._pass(change(images), methods)
            for sums, score in zip(total, scores, strict=True):
                for name, each in self._maps(found, methods, score).items():
                    sums[name] += restore(scaled(each.heat.clamp(min=0)))
        count = len(COPIES) + 1
        return [
            {name: MethodMap(heat / count, maps[name].read_at) for name, heat in sums.items()}
            for sums, maps in zip(total, made, strict=True)
        ]

    def _maps(self, found: _Pass, methods: Sequence[Method], score: Score) -> dict[str, MethodMap]:
        """Return the maps for one target, by method."""
        subject = Subject(
            self._model,
            self._cam,
            found.images,
            found.scores,
            score,
            self._options,
            found.attention,
        )
        gradients = found.activations
        if any(callable(method) or method in GRADIENT_METHODS for method in methods):
            gradients = gradients_of(subject)
        made: dict[str, MethodMap] = {}
        for method in methods:
            run = find_image_method(method)
            if run is None:
                with torch.no_grad():
                    heat = map_of_layers(subject, method, found.activations, gradients)
                made[name_of(method)] = MethodMap(heat)
            else:
                made[name_of(method)] = run(subject)
        return made


def compute_cams(
    model: Model,
    images: Tensor,
    methods: Sequence[Method],
    targets: Sequence[int] | None = None,
    options: MethodOptions | None = None,
) -> Cams:
    """Return the maps of a batch by every method; methods that need one pass share it.

    The module is left as it was: modes, ``requires_grad``, ``.grad``, hooks and buffers. It runs
    uncompiled and without gradient checkpointing, which makes no difference to its maps. Random
    numbers begin at one seed, and the caller's generators are restored
    (`effcam.models.tracing.rng.IsolatedRandomness`).

    Args:
        model: The model.
        images: (B, 3, height, width) inputs, made by its `Preprocess`.
        methods: Names from `METHODS`, or functions, as `check_methods` returns them.
        targets: The class to explain in each image, in range; ``None`` is each image's top-1.
        options: The methods' options; ``None`` for the usual ones.

    Raises:
        LayerError: If the scores do not depend on the target layer.
        ModelError: If the model does not return (B, classes) scores.
        ArgumentError: If a function fails, or returns no maps.
    """
    with explaining(model, options=options) as explain:
        return explain(images, methods, targets)


@contextmanager
def explaining(
    model: Model, *, precision: Precision = "fp32", options: MethodOptions | None = None
) -> Iterator[Explainer]:
    """Return a function that works like `compute_cams`, for many batches.

    The module's state is saved once and restored after the context, not for every batch. Other
    code must not use the module in the context; another thread that needs its maps waits for its
    end.

    Args:
        model: The model.
        precision: ``"bf16"`` and ``"fp16"`` run the network under torch's autocast. Maps are
            always float32.
        options: The methods' options; ``None`` for the usual ones.
    """
    with untouched(model.module), _differentiable(), keeping_memory():
        explain = Explainer(model, precision, options or MethodOptions())
        try:
            yield explain
        finally:
            explain.release()


@contextmanager
def _differentiable() -> Iterator[None]:
    """Enable gradients inside a caller's ``no_grad`` or ``inference_mode``."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    """A forward pass, which all targets share."""

    images: Tensor
    scores: Logits
    activations: list[Tensor]
    attention: Reading | None


def _settle(raw: Tensor, values: Tensor) -> tuple[NDArray[np.float32], list[State]]:
    """Remove negative evidence from (B, h, w) maps, and return them with the state of each.

    The map of a (B,) score that is not finite may be finite, and yet that of any class: of several
    scores that overflow, none is the highest.
    """
    finite = raw.isfinite().flatten(1).all(1) & values.isfinite().to(raw.device)
    heat = raw.float().clamp(min=0)
    heat[~finite] = 0
    flat = heat.flatten(1)
    spread = flat.amax(1) - flat.amin(1)
    stands_out = (spread > FLAT * flat.amax(1)).tolist()
    states: list[State] = [
        "nan" if not sound else "ok" if out else "flat"
        for sound, out in zip(finite.tolist(), stands_out, strict=True)
    ]
    return heat.cpu().numpy(), states


def _to_numpy(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.cpu().numpy()
    return array
