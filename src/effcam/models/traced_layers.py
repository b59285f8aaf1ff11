"""What the trace of a network shows: its target layers, and what it returns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

from torch import nn

from effcam.errors import ModelError
from effcam.images.preprocess import Preprocess
from effcam.models.built_module import BuiltModule
from effcam.models.checked_layers import CheckedLayers, check_layers
from effcam.models.tracing.cache import StructureCache
from effcam.models.tracing.logits import Outputs
from effcam.models.tracing.module_kinds import is_known
from effcam.models.tracing.score_source import ScoreSource
from effcam.models.tracing.target_layer import (
    CHOSEN,
    TargetLayer,
    all_passes_through,
    check_target_layer,
    find_target_layers,
    loses_gradients,
    take_layers,
)
from effcam.models.tracing.trace import Trace, trace
from effcam.models.wrappers import layer_names


class Traced(NamedTuple):
    """What a trace shows.

    Attributes:
        preprocess: The transform.
        layers: The target layers.
        classes: The number of classes, or of the values that the network returns.
        outputs: What it returns.
        single: Whether the scores are a single logit.
        is_cut: Whether the scores depend on the image through these layers only.
        loses_gradients: Whether a part of the gradients of the scores does not get to them.
    """

    preprocess: Preprocess
    layers: tuple[TargetLayer, ...]
    classes: int
    outputs: Outputs
    single: bool
    is_cut: bool
    loses_gradients: bool


TRACED: StructureCache[Traced] = StructureCache()


def find_layers(built: BuiltModule) -> Traced:
    """Return what a trace of the module shows, found once for modules of one structure."""
    names = layer_names(built.module, built.target_layer)
    facts = built.facts and (built.facts.layers, built.facts.layout, built.facts.rule)
    key = (
        built.preprocess,
        facts,
        names,
        built.model and built.model.target_layers,
        count_named(built),
    )
    return TRACED.get(built.module, key, lambda: _read_trace(built, names))


def _read_trace(built: BuiltModule, names: Sequence[str]) -> Traced:
    preprocess, record = _trace(built)
    record.expected = count_named(built)
    record.outputs = _outputs_of(built, record, is_chosen=bool(names) or built.model is not None)
    layers = _choose_layers(built, record, names)
    return Traced(
        preprocess,
        layers,
        record.classes,
        record.logits.outputs,
        record.logits.binary,
        all_passes_through(record, layers),
        loses_gradients(record, layers),
    )


def _outputs_of(built: BuiltModule, record: Trace, *, is_chosen: bool) -> Outputs:
    """Return what a module returns; outputs that are no rows need a target layer of the caller's.

    Raises:
        ModelError: If it returns no row of values per image, and no target layer was chosen.
    """
    if built.text is not None:
        return "embedding"
    try:
        return record.logits.outputs
    except ModelError as error:
        if is_chosen:
            return "other"
        raise ModelError(
            f"{error}. For a segmentation or a detection, give target_layer=, and ask for a value "
            "of its output: target=effcam.targets.Region(...), BoxScore(...), or a function"
        ) from error


def confirm_layers(built: BuiltModule, traced: Traced, scores: ScoreSource) -> CheckedLayers:
    """Return the target layers as real passes confirm them.

    The default layers of the libraries' networks are verified by `tools/sweep.py`; where they are
    several, it depends on the weights whether all of them show the image.
    """
    module, preprocess, layers = built.module, traced.preprocess, traced.layers
    is_default = len(layers) == 1 and layers[0].reason != CHOSEN
    if traced.is_cut and is_default and is_known(module):
        return CheckedLayers(layers, bypass=0.0)

    def find_again(without: Collection[tuple[str, int]]) -> tuple[TargetLayer, ...]:
        record = trace(module, preprocess.size, preprocess.channels, graph=True)
        record.expected, record.outputs = scores.classes, scores.outputs
        return find_target_layers(record, without)

    return check_layers(module, layers, preprocess, scores, find_again)


def _trace(built: BuiltModule) -> tuple[Preprocess, Trace]:
    """Return the trace of a module, and its transform with the number of channels it takes."""
    preprocess = built.preprocess
    try:
        return preprocess, trace(built.module, preprocess.size, preprocess.channels, graph=True)
    except ModelError:
        convolutions = (each for each in built.module.modules() if isinstance(each, nn.Conv2d))
        first = next(convolutions, None)
        takes = first.in_channels if first is not None else preprocess.channels
        if takes == preprocess.channels:
            raise
        record = trace(built.module, preprocess.size, takes, graph=True)
        if takes == 1:
            return preprocess.grey(), record
        raise ModelError(
            f"the model takes {takes} channels, but its transform has {preprocess.channels}: give "
            f"preprocess=effcam.Preprocess(size={preprocess.size}, mean=..., std=...) with "
            f"{takes} numbers each"
            + (f", and images of {takes} channels, such as arrays" if takes != 3 else "")
        ) from None


def _choose_layers(
    built: BuiltModule, record: Trace, names: Sequence[str]
) -> tuple[TargetLayer, ...]:
    if names:
        return tuple(check_target_layer(record, name) for name in names)
    if built.model is not None:
        return tuple(
            replace(check_target_layer(record, layer.name, layer.turn), reason=layer.reason)
            for layer in built.model.target_layers
        )
    recorded = built.facts and take_layers(
        record, built.facts.layers, built.facts.layout, built.facts.rule
    )
    return recorded or find_target_layers(record)


def count_named(built: BuiltModule) -> int | None:
    """Return the number of classes that have names; ``None`` if there are no names."""
    if built.model is not None:
        return built.model.scores.classes
    if isinstance(built.labels, str) or built.text is not None:
        return None
    names = built.own_labels if built.labels is None else built.labels
    return None if names is None else len(names)
