"""Class activation maps of one model on one batch, for little more than its forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from effcam.cam.formulas import ACTIVATION_METHODS, GRADIENT_METHODS, Formula
from effcam.cam.forward import run_network
from effcam.cam.head_cam import HeadCAM
from effcam.cam.map_checks import State
from effcam.cam.methods import Method, name_of
from effcam.cam.own_function import apply_own, check_gradient
from effcam.cam.perturbation import PERTURBATION_METHODS
from effcam.cam.precision import Precision
from effcam.cam.scores import ClassQuestions, Questions
from effcam.models.model import Model
from effcam.models.tracing.isolation import untouched
from effcam.models.tracing.logits import Logits
from effcam.models.tracing.rng import IsolatedRandomness

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
            (a value was not finite).
    """

    probabilities: NDArray[np.float32]
    classes: NDArray[np.int64]
    values: NDArray[np.float32]
    maps: dict[str, NDArray[np.float32]]
    states: dict[str, list[State]]

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
        )


class Explainer:
    """`compute_cams` of one model, for many batches."""

    def __init__(self, model: Model, precision: Precision) -> None:
        """Register hooks, until `release`."""
        self._place = _placing(model)
        self._cam = HeadCAM(model, precision)

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
            return _explain(self._cam, self._place(images), methods, asked)
        finally:
            self._cam.forget()

    def release(self) -> None:
        """Remove the hooks."""
        self._cam.release()


Predict: TypeAlias = Callable[[Tensor], Tensor]
Run: TypeAlias = Callable[[Tensor], Logits]


def compute_cams(
    model: Model, images: Tensor, methods: Sequence[Method], targets: Sequence[int] | None = None
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

    Raises:
        LayerError: If the scores do not depend on the target layer.
        ModelError: If the model does not return (B, classes) scores.
        ArgumentError: If a function fails, or returns no maps.
    """
    with explaining(model) as explain:
        return explain(images, methods, targets)


@contextmanager
def explaining(model: Model, *, precision: Precision = "fp32") -> Iterator[Explainer]:
    """Return a function that works like `compute_cams`, for many batches.

    The module's state is saved once and restored after the context, not for every batch. Other
    code must not use the module in the context; another thread that needs its maps waits for its
    end.

    Args:
        model: The model.
        precision: ``"bf16"`` and ``"fp16"`` run the network under torch's autocast. Maps are
            always float32.
    """
    with untouched(model.module), _differentiable():
        explain = Explainer(model, precision)
        try:
            yield explain
        finally:
            explain.release()


@contextmanager
def predicting(model: Model, *, precision: Precision = "fp32") -> Iterator[Predict]:
    """Return a function that returns the (B, classes) float32 probabilities of a batch.

    The module is left as it was after the context.

    Args:
        model: The model.
        precision: As in `explaining`.
    """
    with running(model, precision=precision) as run:
        yield lambda images: run(images).probabilities


@contextmanager
def running(model: Model, *, precision: Precision = "fp32") -> Iterator[Run]:
    """Return a function that returns what the network returns for a batch, without gradients.

    The module is left as it was after the context.

    Args:
        model: The model.
        precision: As in `explaining`.
    """
    with untouched(model.module), torch.inference_mode(False), torch.no_grad():
        place = _placing(model)
        module = model.module.eval()
        draws = IsolatedRandomness()

        def run(images: Tensor) -> Logits:
            inputs = place(images)
            with draws.if_needed():
                return run_network(module, inputs, precision, model.scores)

        yield run


def _placing(model: Model) -> Callable[[Tensor], Tensor]:
    """Return a function that moves images to the device, dtype and memory format of a model."""
    device, dtype = model.device, model.dtype
    memory_format = torch.channels_last if model.channels_last else torch.contiguous_format

    def place(images: Tensor) -> Tensor:
        # Tensors from inference mode cannot take part in autograd.
        placed = images.to(device, dtype, copy=images.is_inference())
        return placed.contiguous(memory_format=memory_format)

    return place


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
    probabilities: NDArray[np.float32]
    activations: list[Tensor]


def _explain(
    cam: HeadCAM, images: Tensor, methods: Sequence[Method], asked: Sequence[Questions]
) -> list[Cams]:
    scores = cam.scores(images)
    probabilities = _to_numpy(scores.probabilities)
    found = _Pass(images, scores, probabilities, cam.maps(cam.leaves))
    return [_answer(cam, found, methods, questions) for questions in asked]


def _answer(cam: HeadCAM, found: _Pass, methods: Sequence[Method], questions: Questions) -> Cams:
    """Return the maps for one target."""
    score = questions.on(found.scores)
    values = score(found.scores)
    gradients = found.activations
    if any(callable(method) or method in GRADIENT_METHODS for method in methods):
        check_gradient(values, found.scores)
        gradients = cam.gradients(found.scores.values, values)
    maps: dict[str, NDArray[np.float32]] = {}
    states: dict[str, list[State]] = {}
    with torch.no_grad():
        for method in methods:
            if isinstance(method, str) and method in PERTURBATION_METHODS:
                perturb = PERTURBATION_METHODS[method]
                raw = [
                    perturb(cam, index, found.images, features, score)
                    for index, features in enumerate(found.activations)
                ]
            else:
                raw = list(map(_formula(method), found.activations, gradients))
            name = name_of(method)
            maps[name], states[name] = _settle(_add(raw))
    return Cams(
        found.probabilities,
        score.classes.cpu().numpy(),
        _to_numpy(values.detach().float()),
        maps,
        states,
    )


def _formula(method: Method) -> Formula:
    """Return the formula of one of effcam's methods, or a checked call of the user's function."""
    if isinstance(method, str):
        return (GRADIENT_METHODS | ACTIVATION_METHODS)[method]
    return partial(apply_own, method)


def _add(maps: Sequence[Tensor]) -> Tensor:
    """Return the sum of several layers' maps at the finest one's resolution.

    A cell holds the evidence for the part of the image that it covers, so a coarse map is
    spread as a density: its sum over the image does not change.
    """
    finest = max(maps, key=lambda each: each[0].numel())
    if len(maps) == 1:
        return finest
    total = finest.new_zeros(finest.shape)
    for each in maps:
        share = each[0].numel() / finest[0].numel()
        total += share * nn.functional.interpolate(
            each[:, None].to(total.device), size=finest.shape[1:], mode="bilinear"
        ).squeeze(1)
    return total


def _settle(raw: Tensor) -> tuple[NDArray[np.float32], list[State]]:
    """Remove negative evidence from (B, h, w) maps, and return them with the state of each."""
    finite = raw.isfinite().flatten(1).all(1)
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
