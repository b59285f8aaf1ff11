"""Plain passes of a network: what it returns for a batch, without gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import torch
from torch import Tensor

from effcam.cam.forward import run_network
from effcam.cam.kept_memory import keeping_memory
from effcam.cam.precision import Precision
from effcam.models.model import Model
from effcam.models.tracing.isolation import untouched
from effcam.models.tracing.logits import Logits
from effcam.models.tracing.rng import IsolatedRandomness

Predict: TypeAlias = Callable[[Tensor], Tensor]
Run: TypeAlias = Callable[[Tensor], Logits]


@contextmanager
def predicting(model: Model, *, precision: Precision = "fp32") -> Iterator[Predict]:
    """Return a function that returns the (B, classes) float32 probabilities of a batch.

    The module is left as it was after the context.

    Args:
        model: The model.
        precision: As in `effcam.cam.explain.explaining`.
    """
    with running(model, precision=precision) as run:
        yield lambda images: run(images).probabilities


@contextmanager
def running(model: Model, *, precision: Precision = "fp32") -> Iterator[Run]:
    """Return a function that returns what the network returns for a batch, without gradients.

    The module is left as it was after the context.

    Args:
        model: The model.
        precision: As in `effcam.cam.explain.explaining`.
    """
    with (
        untouched(model.module),
        torch.inference_mode(False),
        torch.no_grad(),
        keeping_memory(),
    ):
        place = placing(model)
        module = model.module.eval()
        draws = IsolatedRandomness()

        def run(images: Tensor) -> Logits:
            inputs = place(images)
            with draws.if_needed():
                return run_network(module, inputs, precision, model.scores)

        yield run


def placing(model: Model) -> Callable[[Tensor], Tensor]:
    """Return a function that moves images to the device, dtype and memory format of a model."""
    device, dtype = model.device, model.dtype
    memory_format = torch.channels_last if model.channels_last else torch.contiguous_format

    def place(images: Tensor) -> Tensor:
        # Tensors from inference mode cannot take part in autograd.
        placed = images.to(device, dtype, copy=images.is_inference())
        return placed.contiguous(memory_format=memory_format)

    return place
