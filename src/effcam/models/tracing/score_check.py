"""Find the class scores of a network, or that it returns an embedding; refuse probabilities.

For a network that returns probabilities, the softmax of its output is a wrong probability, and the
gradient of its output gives a wrong map, because it vanishes where the network is sure. Two facts
separate logits from other values: the outputs for photo-like inputs, and the outputs where the last
layer returns large random numbers. Logits become large then, and probabilities stay in their range.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from effcam.errors import ModelError, reason_of
from effcam.models.tracing.isolation import untouched
from effcam.models.tracing.last_layers import (
    empty_head,
    is_head,
    last_layers,
    last_steps,
    places_of_rows,
)
from effcam.models.tracing.logits import Link, read_logits
from effcam.models.tracing.memory import is_out_of_memory
from effcam.models.tracing.rng import SEED, IsolatedRandomness
from effcam.models.tracing.runners import device_of, dtype_of
from effcam.models.tracing.score_kind import EMBEDDING, ScoreKind, find_kind, possible_kinds
from effcam.models.tracing.score_source import Change, Place, ScoreSource, at_place, run_scores
from effcam.models.tracing.trace import Trace, trace

LARGE, MODERATE, UNSATURATED = 1e5, 20.0, 2.0
"""Standard deviations of random numbers in place of a layer's output."""
CLOSE, CLOSE_HALF = 1e-4, 1e-2
"""The largest difference of equal probabilities, in single and in half precision."""
TRIED = 10
"""The most places in a network at which its logits are looked for."""
EMBEDDERS = ("clip", "open_clip")
"""Packages whose networks return embeddings."""


def find_scores(
    module: nn.Module,
    images: Tensor,
    *,
    classes: int | None = None,
    is_named: bool = False,
    output: object = None,
) -> ScoreSource:
    """Return where the class scores of a network are read, or that it returns an embedding.

    The network stays unchanged. It runs once, and again only where its values may be no logits.

    Args:
        module: The network.
        images: (n, channels, height, width) inputs, n >= 2.
        classes: The number of classes, if it is known.
        is_named: Whether each of its values has a name, so that they are meant as class scores.
        output: What it returns for these images in evaluation mode, if that is known.

    Raises:
        ModelError: If it returns probabilities whose logits cannot be reached; or if it fails.
    """
    with _examined(module):
        placed = images.to(device_of(module), dtype_of(module)).contiguous()
        if output is None:
            values = _run(module, placed, [], classes)
        else:
            values = read_logits(output, len(images), classes=classes).raw
        examined = _Examined(module, placed, classes, values.shape[1])
        cause = "" if is_named else examined.headless()
        if cause:
            return ScoreSource(classes, outputs="embedding", cause=cause)
        kinds = possible_kinds(values)
        kind = find_kind(kinds, examined.respond()) if kinds else None
        if kind is None:
            return ScoreSource(classes, single=values.shape[1] == 1)
        if kind is EMBEDDING:
            return ScoreSource(classes, outputs="embedding", cause=kind.seen)
        return examined.find_logits() or _refuse(kind, examined)


@dataclass(eq=False)
class _Examined:
    """A network that is being examined.

    Attributes:
        module: The network, frozen and in evaluation mode.
        images: Its inputs.
        classes: The number of classes, if it is known.
        width: The number of values that it returns for an image.
    """

    module: nn.Module
    images: Tensor
    classes: int | None
    width: int

    @cached_property
    def linked(self) -> Trace:
        """Its trace, whose tensors have a graph."""
        height, width = self.images.shape[2:]
        record = trace(self.module, (height, width), self.images.shape[1], graph=True)
        record.expected = self.classes
        return record

    def headless(self) -> str:
        """Return why its output comes from a part without a classifier; empty if it does not."""
        headless = _headless(self.module)
        emptied = any(
            isinstance(each, nn.Identity) and is_head(name)
            for name, each in self.module.named_modules()
        )
        last = [call.name for call in last_layers(self.linked)] if headless else []
        without = [
            name for name in headless if last and all(_is_inside(each, name) for each in last)
        ]
        if without:
            return no_classifier(without[0])
        head = empty_head(self.linked) if emptied else ""
        return f"its head {head!r} is an nn.Identity" if head else ""

    def respond(self) -> Tensor | None:
        """Return its outputs for large random numbers from its last layers.

        Half of them have the opposite sign, so that no activation is 0 for all.

        Returns:
            ``None`` if some are not numbers, or all are equal.
        """
        places = [Place(call.name, call.turn) for call in last_layers(self.linked)]
        for strength in (LARGE, MODERATE) if places else ():
            values = self._run_with(places, strength)
            if not values.isnan().any() and values.amin() < values.amax():
                return values
        return None

    def _run_with(self, places: list[Place], strength: float) -> Tensor:
        generator = torch.Generator().manual_seed(SEED)

        def replace(found: Tensor) -> Tensor:
            usual = float(found.detach().abs().amax()) if strength == LARGE else 0.0
            most = torch.finfo(found.dtype).max / 100
            noise = torch.randn(found.shape[1:], generator=generator)
            signs = torch.ones(len(found)).view(-1, *(1,) * noise.ndim)
            signs[1::2] = -1
            return (signs * noise * min(strength * (1 + usual), most)).to(found)

        return _run(self.module, self.images, [(place, replace) for place in places], self.classes)

    def find_logits(self) -> ScoreSource | None:
        """Return where the logits are whose softmax or sigmoid it returns, ``None`` if nowhere.

        Random numbers take the logits' place, so that nothing else can give the same output.
        """
        # A single logit may be returned as the probabilities of two classes.
        widths = {self.width} | ({1} if self.width == 2 else set())
        for place in places_of_rows(self.linked, widths)[:TRIED]:
            found = self._source_from(place)
            if found is not None:
                return found
        return None

    def _source_from(self, place: Place) -> ScoreSource | None:
        generator, put = torch.Generator().manual_seed(SEED), list[Tensor]()

        def replace(found: Tensor) -> Tensor:
            put.append((UNSATURATED * torch.randn(found.shape, generator=generator)).to(found))
            return put[-1].clone()

        found = _run(self.module, self.images, [(place, replace)], self.classes)
        if sum(each.numel() for each in put) % len(found) or not put:
            return None
        logits = torch.cat([each.flatten() for each in put]).reshape(len(found), -1)
        link = _link_between(logits.float(), found)
        if link is None:
            return None
        return ScoreSource(self.classes, place, link, single=logits.shape[1] == 1)


def _run(
    module: nn.Module,
    images: Tensor,
    changes: list[tuple[Place, Change]],
    classes: int | None,
) -> Tensor:
    """Return the (n, values) outputs with changes at some places.

    The images go in one by one if memory does not suffice for all at once.
    """

    def run(batch: Tensor) -> Tensor:
        with ExitStack() as stack:
            for place, change in changes:
                stack.enter_context(at_place(module, place, change))
            return run_scores(module, batch, ScoreSource(classes)).raw

    try:
        try:
            return run(images)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        return torch.cat([run(each[None]) for each in images])
    except ModelError:
        raise
    except Exception as error:  # a network may raise anything
        raise ModelError(
            f"the model failed on a batch of shape {tuple(images.shape)}: {reason_of(error)}"
        ) from error


def _link_between(logits: Tensor, returned: Tensor) -> Link | None:
    """Return the function of which values are the result or its logarithm, if there is one."""
    close = CLOSE_HALF if returned.dtype in (torch.float16, torch.bfloat16) else CLOSE
    values = returned.float()
    presence = logits.sigmoid()
    expected: list[tuple[Link, Tensor]] = [("sigmoid", presence)]
    if logits.shape[1] < values.shape[1]:
        expected = [("sigmoid", torch.cat([1 - presence, presence], 1))]
    elif logits.shape[1] > 1:
        expected.append(("softmax", logits.softmax(1)))
    for link, wanted in expected:
        if any(bool(((each - wanted).abs() <= close).all()) for each in (values, values.exp())):
            return link
    return None


def no_classifier(part: str = "") -> str:
    """Return why a network has no classifier.

    Args:
        part: The name of the part that has none; empty for the network itself.
    """
    if part:
        return f"its part {part!r} was built without one, as with num_classes=0"
    return "it was built without one, as with num_classes=0 or for embeddings"


def _refuse(kind: ScoreKind, examined: _Examined) -> ScoreSource:
    steps = ", ".join(last_steps(examined.linked)[-4:])
    how = f" (its last functions are {steps})" if steps else ""
    raise ModelError(
        f"the network returns {kind.name} and no class scores: for {len(examined.images)} probing "
        f"images {kind.seen}{how}. {kind.remedy}"
    )


def _headless(module: nn.Module) -> list[str]:
    """Return the names of the parts that state that they have no classes, the whole first."""
    return [name for name, each in module.named_modules() if has_no_classes(each)]


def has_no_classes(module: nn.Module) -> bool:
    """Return whether a network states that it has no classes, or is a tower of CLIP."""
    package = type(module).__module__.partition(".")[0]
    if package in EMBEDDERS and hasattr(module, "output_dim"):
        return True
    stated = getattr(module, "num_classes", None)
    return isinstance(stated, int) and not isinstance(stated, bool) and stated == 0


def _is_inside(name: str, part: str) -> bool:
    return not part or name == part or name.startswith(f"{part}.")


@contextmanager
def _examined(module: nn.Module) -> Iterator[None]:
    """Run a network in evaluation mode within the context, and leave it unchanged."""
    with (
        untouched(module),
        torch.inference_mode(False),
        torch.no_grad(),
        torch.autocast(device_of(module).type, enabled=False),
        IsolatedRandomness(),
    ):
        module.eval()
        yield
