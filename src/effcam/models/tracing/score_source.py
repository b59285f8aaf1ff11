"""What a network returns, and where it is read: at its output, or before a last softmax."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias

from torch import Tensor, nn

from effcam.errors import ModelError
from effcam.models.tracing.logits import Link, Logits, Outputs, read_logits
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
    """What a network returns, and where that is read.

    Attributes:
        classes: The number of classes, or of the values of an embedding; ``None`` if it is not
            known.
        place: Where the scores are, for a network that returns their softmax, sigmoid or
            logarithms of these; ``None`` for its output.
        link: The function from the scores to the network's probabilities.
        outputs: What it returns for each image.
        cause: Why it returns no class scores, in words; empty if it does.
        head: Computes the class scores of zero-shot classification from an embedding; ``None``
            for all others.
        single: Whether the network has a single logit for an image, that of presence.
    """

    classes: int | None = None
    place: Place | None = None
    link: Link = "softmax"
    outputs: Outputs = "classes"
    cause: str = ""
    head: ZeroShotHead | None = None
    single: bool = False

    @property
    def multi_label(self) -> bool:
        """Whether the classes are labels that do not exclude each other."""
        return self.has_classes and self.link == "sigmoid" and not self.single

    @property
    def has_classes(self) -> bool:
        """Whether there are class scores, by the network itself or by the head."""
        return self.outputs == "classes" or self.head is not None


class ZeroShotHead(Protocol):
    """Computes class scores from an embedding."""

    @property
    def texts(self) -> tuple[tuple[str, ...], ...]:
        """The texts of each class."""

    def __call__(self, embedding: Tensor) -> Tensor:
        """Return (batch, classes) scores, given the (batch, n) embedding."""


def run_scores(
    module: nn.Module, images: Tensor, source: ScoreSource, batch: int | None = None
) -> Logits:
    """Run a network on a batch of images, uncompiled, and return its class scores or other values.

    Args:
        module: The network.
        images: Its inputs.
        source: What it returns, and where that is read.
        batch: The number of rows of scores, if it differs from the number of images.

    Raises:
        ModelError: If there is no row of values for each image.
    """
    seen: list[Tensor] = []
    with as_chosen(images.device, images.dtype), plain_pass():
        if source.place is None:
            output = module(images)
        else:
            # A copy: the next function may work in place.
            with at_place(module, source.place, lambda found: seen.append(found.clone())):
                output = module(images)
    read = output
    if source.place is not None:
        if not seen:
            raise ModelError(
                f"layer {source.place.layer!r}, at which the scores are read, did not run in this "
                "forward pass"
            )
        read = seen[0]
    found = read_logits(
        read,
        batch or len(images),
        classes=source.classes,
        link=source.link,
        outputs=source.outputs,
    )
    if read is not output:
        return replace(found, output=output)
    if source.head is None or found.embedding is None:
        return found
    scores = source.head(found.embedding)
    return replace(found, values=scores, link=source.link, outputs="classes")


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
