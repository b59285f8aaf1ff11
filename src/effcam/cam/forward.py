"""Run a network's own code, whose errors may be of any type."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from effcam.cam.batching import is_out_of_memory
from effcam.cam.precision import Precision, computing
from effcam.errors import EffcamError, ModelError, reason_of
from effcam.models.tracing.torch_state import as_chosen

if TYPE_CHECKING:
    from torch import Tensor, nn


def run_network(module: nn.Module, images: Tensor, precision: Precision) -> object:
    """Return what a network returns for a batch, computed in a precision.

    Raises:
        ModelError: If the network raises any exception, except that memory ran out.
    """
    what = f"the model failed on a batch of shape {tuple(images.shape)}"
    with (
        network_errors(what),
        as_chosen(images.device, images.dtype),
        computing(images.device, precision),
    ):
        return module(images)


@contextmanager
def network_errors(what: str) -> Iterator[None]:
    """Turn an exception of a network's own code into a ModelError that states the cause.

    That memory ran out is raised as it is, since fewer images at once may fit.

    Args:
        what: What failed, the beginning of the message.
    """
    try:
        yield
    except EffcamError:
        raise
    except Exception as error:  # the code may raise anything
        if is_out_of_memory(error):
            raise
        raise ModelError(f"{what}: {reason_of(error)}") from error
