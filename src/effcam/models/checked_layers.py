"""Check the target layers of a network on real passes, and say what their maps do not show."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from effcam.errors import LayerError
from effcam.images.preprocess import Preprocess
from effcam.models.tracing.cache import WeightsCache
from effcam.models.tracing.causal_check import CausalCheck, check_causes
from effcam.models.tracing.linked_graph import WAYS_OUT
from effcam.models.tracing.memory import is_out_of_memory
from effcam.models.tracing.score_source import ScoreSource
from effcam.models.tracing.target_layer import (
    BRANCHES,
    CHOSEN,
    FOLLOWS,
    LAST_READ,
    PASSED,
    TargetLayer,
)

if TYPE_CHECKING:
    from torch import nn

Layers: TypeAlias = tuple[TargetLayer, ...]
FindAgain: TypeAlias = Callable[[Collection[tuple[str, int]]], Layers]
"""Finds target layers without those of these names and turns."""

SHORTCOMINGS = {
    FOLLOWS: "layers nearer to the head than {} were not used: their cells do not follow the "
    "image, so that heat on them would not lie on its cause",
    PASSED: "more maps enter the head after {} than can be looked at together, so the last map was "
    "taken that all evidence passes through",
}
"""What a map does not show because of the reason for its layer."""
SMALL = 0.01
"""The share of evidence past a pooled map above which a note says so."""


@dataclass(frozen=True, slots=True, eq=False)
class CheckedLayers:
    """Target layers, and what real passes say about them.

    Attributes:
        layers: The layers.
        bypass: The share of the evidence that goes past them, in [0, 1]; ``None`` if unknown.
        notes: What their maps do not show, in sentences.
    """

    layers: Layers
    bypass: float | None = None
    notes: tuple[str, ...] = ()


def check_layers(
    module: nn.Module,
    layers: Layers,
    preprocess: Preprocess,
    source: ScoreSource,
    find_again: FindAgain,
) -> CheckedLayers:
    """Return target layers whose cells follow the image; others are replaced by earlier ones.

    Layers that the caller chose are kept, with a note. The latest answer about a module is
    remembered until its weights change.

    Args:
        module: The network.
        layers: Its target layers, as its trace shows them.
        preprocess: Its transform.
        source: Where its class scores are read.
        find_again: Finds others.

    Raises:
        LayerError: If the tokens of a layer are not in the order of cells, or no layer is left.
        ModelError: If the network fails.
    """
    asked = layers, preprocess, source
    return CHECKED.get(
        module, asked, lambda: _check_layers(module, layers, preprocess, source, find_again)
    )


CHECKED: WeightsCache[CheckedLayers] = WeightsCache()


def _check_layers(
    module: nn.Module,
    layers: Layers,
    preprocess: Preprocess,
    source: ScoreSource,
    find_again: FindAgain,
) -> CheckedLayers:
    astray: dict[tuple[str, int], TargetLayer] = {}
    while True:
        check = _try_check(module, layers, preprocess, source)
        if check is None:
            return CheckedLayers(layers, notes=layer_notes(layers, None))
        _check_order(layers, check)
        wrong = _out_of_place(layers, check)
        if not wrong or any(layer.reason == CHOSEN for layer in layers):
            break
        if wrong.keys() <= astray.keys():
            raise LayerError(_no_place(wrong.values()))
        astray |= wrong
        try:
            layers = find_again(astray.keys())
        except LayerError as error:
            raise LayerError(_no_place(astray.values())) from error
    if astray:
        layers = tuple(replace(layer, reason=FOLLOWS) for layer in layers)
    notes = [*map(_elsewhere, wrong.values()), *layer_notes(layers, check.bypass)]
    return CheckedLayers(layers, check.bypass, tuple(notes))


def layer_notes(layers: Sequence[TargetLayer], bypass: float | None) -> tuple[str, ...]:
    """Return what the maps of target layers do not show, in sentences.

    Args:
        layers: The target layers.
        bypass: The share of the evidence that goes past them, in [0, 1]; ``None`` if unknown.
    """
    notes = [
        SHORTCOMINGS[layer.reason].format(layer.name)
        for layer in layers[:1]
        if layer.reason in SHORTCOMINGS
    ]
    if bypass is not None and bypass > SMALL:
        where = " and ".join(layer.name for layer in layers)
        meaning = "so the map shows only a part of the evidence"
        if any(layer.reason in (LAST_READ, BRANCHES) for layer in layers):
            meaning = (
                "in the class token, which carries it from earlier blocks; the map shows what the "
                "token reads last"
            )
        share = f"{bypass:.0%}" if bypass < 1 else "all"
        notes.append(f"about {share} of what the scores depend on goes past {where}, {meaning}")
    return tuple(notes)


def gradient_notes(layers: Sequence[TargetLayer], loses_gradients: bool) -> tuple[str, ...]:
    """Return what maps of gradients do not show, in sentences.

    Args:
        layers: The target layers.
        loses_gradients: Whether a part of the gradients of the scores does not get to them.
    """
    if not loses_gradients:
        return ()
    where = " and ".join(layer.name for layer in layers)
    note = (
        f"behind {where} the module's code cuts off a part of the gradients, as detach() and "
        "torch.no_grad() do, so maps of gradients show only the rest of what the scores depend "
        f"on; {WAYS_OUT}"
    )
    return (note,)


def _try_check(
    module: nn.Module, layers: Layers, preprocess: Preprocess, source: ScoreSource
) -> CausalCheck | None:
    """Return the check, ``None`` without numbers or where memory does not suffice for it.

    Raises:
        ModelError: If the network fails.
    """
    if any(each.is_meta for each in module.parameters()):
        return None
    try:
        return check_causes(module, layers, preprocess, source)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None


def _check_order(layers: Layers, check: CausalCheck) -> None:
    for layer, first in zip(layers, check.prefix_first, strict=True):
        if first is False:
            raise LayerError(
                f"at layer {layer.name!r} tokens that stand for no cell come after the cells or "
                "between them, so that their places in the image are unknown; choose an earlier "
                "layer that returns a map"
            )


def _out_of_place(layers: Layers, check: CausalCheck) -> dict[tuple[str, int], TargetLayer]:
    return {
        (layer.name, layer.turn): layer
        for layer, answer in zip(layers, check.in_place, strict=True)
        if answer is False
    }


def _elsewhere(layer: TargetLayer) -> str:
    return (
        f"the cells of {layer.name} do not follow the image: what changes in one place of the "
        "image changes its map in others, so heat may not lie on its cause"
    )


def _no_place(layers: Collection[TargetLayer]) -> str:
    names = ", ".join(repr(layer.name) for layer in layers)
    return (
        f"no layer gives a map whose cells follow the image: what changes in one place of the "
        f"image changes {names} in others; choose a layer with target_layer"
    )
