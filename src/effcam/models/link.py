"""Whether the class scores of a network are of classes that exclude each other, or of labels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast, get_args

from effcam.errors import ArgumentError, check_choice
from effcam.models.checkpoint_settings import stated_link
from effcam.models.registry import Scores
from effcam.models.tracing.logits import Link
from effcam.models.tracing.score_source import ScoreSource

if TYPE_CHECKING:
    from torch import nn


def check_link(scores: str | None) -> Scores | None:
    """Return what a caller states of a network's output, or ``None``.

    Raises:
        ArgumentError: If it is none.
    """
    if scores is None:
        return None
    return cast("Scores", check_choice("scores", scores, get_args(Scores)))


def own_link(module: nn.Module) -> Link | None:
    """Return ``"sigmoid"`` if a module states that its labels do not exclude each other.

    Models of transformers do so by the ``problem_type`` in their ``config``. The model may be a
    part of a training module. ``None`` if nothing is stated.
    """
    configs = (getattr(each, "config", None) for each in module.modules())
    return next(filter(None, map(stated_link, configs)), None)


def with_link(found: ScoreSource, given: Scores | None, stated: Link | None) -> ScoreSource:
    """Return where scores are read, with the function to probabilities that applies.

    Args:
        found: What the network itself shows.
        given: What the caller states.
        stated: What the network's configuration states.

    Raises:
        ArgumentError: If the network contradicts the caller.
    """
    if given == "embedding":
        return _as_embedding(found)
    if not found.has_classes:
        if given is not None:
            raise ArgumentError(
                f"scores={given!r} states what class scores are, and this network returns none: "
                f"{found.cause}"
            )
        return found
    if found.single:
        if given == "softmax":
            raise ArgumentError(
                "scores='softmax' does not go with a single logit, whose softmax is always 1: its "
                "probability is its sigmoid; leave scores out"
            )
        return found
    if found.place is None:
        return replace(found, link=given or stated or found.link)
    if given not in (None, found.link):
        raise ArgumentError(
            f"scores={given!r} contradicts the network, which ends in a {found.link}: leave scores "
            f"out, or give a module that ends in the class scores, without the {found.link}"
        )
    return found


def _as_embedding(found: ScoreSource) -> ScoreSource:
    """Return the source of an embedding, which a caller states.

    Raises:
        ArgumentError: If it cannot be one.
    """
    if found.outputs == "other" or found.single or found.place is not None:
        what = "a single value" if found.single else "probabilities" if found.place else found.cause
        raise ArgumentError(f"scores='embedding' does not go with this network: it returns {what}")
    return replace(found, outputs="embedding", cause="its output is stated to be an embedding")
