"""Where the class scores of a network are read: at its output, or before a last softmax."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from torch import Tensor, nn

from effcam.errors import ModelError
from effcam.models.tracing.logits import Link, Logits, read_logits
from effcam.models.tracing.plain_pass import plain_pass
from effcam.models.tracing.torch_state import as_chosen

Side: TypeAlias = Literal["input", "output"]
Change: TypeAlias = Callable[[Tensor], Tensor | None]
"""Returns the tensor to use instead of a layer's, ``None`` for the same."""


@dataclass(frozen=True, slots=True)
class Place:
    """The input or the output of one call of a layer.

    Attributes:
        layer: The layer's dotted name.
        turn: The index of the call in a forward pass, from 0.
        side: ``"input"`` for the layer's first argument.
    """

    layer: str
    turn: int
    side: Side = "output"


@dataclass(frozen=True, slots=True)
class ScoreSource:
    """Where the class scores of a network are read.

    Attributes:
        classes: The number of classes; ``None`` if it is not known.
        place: Where the scores are, for a network that returns their softmax, sigmoid or
            logarithms of these; ``None`` for its output.
        link: The function from the scores to the network's probabilities.
    """

    classes: int | None = None
    place: Place | None = None
    link: Link = "softmax"


def run_scores(
    module: nn.Module, images: Tensor, source: ScoreSource, batch: int | None = None
) -> Logits:
    """Run a network on a batch of images, uncompiled, and return its class scores.

    Args:
        module: The network.
        images: Its inputs.
        source: Where its scores are read.
        batch: The number of rows of scores, if it differs from the number of images.

    Raises:
        ModelError: If there is no row of class scores for each image.
    """
    seen: list[Tensor] = []
    with as_chosen(images.device, images.dtype), plain_pass():
        if source.place is None:
            output = module(images)
        else:
            # A copy: the next function may work in place.
            with at_place(module, source.place, lambda found: seen.append(found.clone())):
                module(images)
    if source.place is not None:
        if not seen:
            raise ModelError(
                f"layer {source.place.layer!r}, at which the scores are read, did not run in this "
                "forward pass"
            )
        output = seen[0]
    return read_logits(output, batch or len(images), classes=source.classes, link=source.link)


@contextmanager
def at_place(module: nn.Module, place: Place, change: Change) -> Iterator[None]:
    """Call a function with the tensor at a place in each forward pass within the context."""
    turn = 0

    def is_its_turn() -> bool:
        nonlocal turn
        turn += 1
        return turn - 1 == place.turn

    def before(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if is_its_turn() and args and isinstance(args[0], Tensor):
            changed = change(args[0])
            return None if changed is None else (changed, *args[1:])
        return None

    def after(_module: nn.Module, _args: object, output: object) -> Tensor | None:
        return change(output) if is_its_turn() and isinstance(output, Tensor) else None

    layer = module.get_submodule(place.layer)
    is_input = place.side == "input"
    # TorchScript's own methods refuse, and yet the hooks of its outermost module run.
    handle = (
        nn.Module.register_forward_pre_hook(layer, before)
        if is_input
        else nn.Module.register_forward_hook(layer, after)
    )
    try:
        yield
    finally:
        handle.remove()
