"""Run code of others, a network's or a caller's own, whose errors may be of any type."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from effcam.cam.precision import Precision, computing
from effcam.errors import EffcamError, ModelError, reason_of
from effcam.models.tracing.logits import Logits
from effcam.models.tracing.memory import is_out_of_memory
from effcam.models.tracing.score_source import ScoreSource, run_scores

if TYPE_CHECKING:
    from torch import Tensor, nn

Made = TypeVar("Made")


def run_network(
    module: nn.Module,
    images: Tensor,
    precision: Precision,
    source: ScoreSource,
    batch: int | None = None,
) -> Logits:
    """Return a network's class scores for a batch, computed in a precision.

    Args:
        module: The network.
        images: Its inputs.
        precision: The precision.
        source: Where its scores are read.
        batch: The number of rows of scores, if it differs from the number of images.

    Raises:
        ModelError: If the network raises any exception, except that memory ran out, or returns no
            row of class scores for each image.
    """

    def run() -> Logits:
        with computing(images.device, precision):
            return run_scores(module, images, source, batch)

    return call_other_code(run, f"the model failed on a batch of shape {tuple(images.shape)}")


def call_other_code(
    call: Callable[[], Made], what: str, kind: type[EffcamError] = ModelError
) -> Made:
    """Return the result of code of others, and turn its exceptions into one of effcam's.

    That memory ran out is raised as it is, since fewer images at once may fit.

    Args:
        call: Runs the code.
        what: What failed, the beginning of the message.
        kind: The exception to raise.
    """
    try:
        return call()
    except EffcamError:
        raise
    except Exception as error:  # the code may raise anything
        if is_out_of_memory(error):
            raise
        raise kind(f"{what}: {reason_of(error)}") from error
