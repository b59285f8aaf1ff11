"""From a name, a spec or a module to a `Model`: built, its target layer found, ready to run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import nn

from effcam.errors import ArgumentError, LayerError, ModelError
from effcam.images.preprocess import Preprocess
from effcam.models.built_module import BuiltModule, ChangePreprocess, check_preprocess
from effcam.models.checked_layers import CheckedLayers, check_layers, gradient_notes
from effcam.models.class_names import numbered
from effcam.models.image_processor import processor_preprocess
from effcam.models.imagenet import imagenet_labels, knows_imagenet, synonyms_of
from effcam.models.link import check_link, with_link
from effcam.models.model import Model
from effcam.models.module_source import ModuleSource
from effcam.models.sources import (
    ModelLike,
    Source,
    change_spec,
    find_model_spec,
    resolve_module,
    resolve_spec,
)
from effcam.models.text_encoder import Labels, TextEncoder, class_names, zero_shot
from effcam.models.tokenizing import Tokenizer, is_processor
from effcam.models.tracing.cache import StructureCache, WeightsCache
from effcam.models.tracing.flops import find_cost
from effcam.models.tracing.logits import Link, Outputs
from effcam.models.tracing.module_kinds import is_known
from effcam.models.tracing.probe import probe_inputs
from effcam.models.tracing.score_check import find_scores, has_no_classes, no_classifier
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
from effcam.models.tracing.torch_state import plain_torch
from effcam.models.tracing.trace import Trace, trace
from effcam.models.wrappers import Layers, layer_names, own_size

Names: TypeAlias = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]
"""The name to show for each class, and all names of each class."""


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
SCORES: WeightsCache[ScoreSource] = WeightsCache()


def load_model(
    source: ModelLike,
    *,
    name: str | None = None,
    checkpoint: str | PathLike[str] | None = None,
    target_layer: Layers = None,
    preprocess: Preprocess | None = None,
    labels: Labels | None = None,
    tokenizer: Tokenizer | None = None,
    pretrained: bool = True,
    options: Mapping[str, object] | None = None,
    scores: Link | Literal["embedding"] | None = None,
    device: str | torch.device | None = None,
) -> Model:
    """Return a model that is ready to run: built, its weights loaded, its target layer found.

    A module of your own is used as it is, neither copied nor moved nor changed. A module that
    effcam builds is frozen, in evaluation mode and, if that makes its convolutions faster, in
    channels-last memory format (`Model.channels_last`). Undo that with
    ``.to(memory_format=torch.contiguous_format)``, for example to save it with safetensors.

    Args:
        source: A name (``"resnet50"``, ``"resnet50.a1_in1k"``,
            ``"torchvision:resnet50.IMAGENET1K_V1"``, a registered name; or a model of images and
            texts: ``"open_clip:ViT-B-32/laion2b_s34b_b79k"``,
            ``"hf:google/siglip2-base-patch16-224"``, ``"hf:FOLDER"``), a `ModelSpec`, an
            ``nn.Module`` that takes (batch, 3, height, width) images and returns (batch, classes)
            scores or (batch, n) embeddings, or that embeds images and texts; or a `Model`, of which
            a changed copy is returned. With a ``target_layer``, a module may return anything
            (`effcam.targets`).
        name: The model's name, instead of its own.
        checkpoint: A file with weights for it: ``.safetensors``, or a file of tensors written by
            ``torch.save``. The number of classes follows from its head.
        target_layer: The layer to look at, by its dotted name or itself; or several, whose maps
            are added. ``None`` finds the features that enter the head.
        preprocess: The transform from a photo to its input; ``None`` is the transform that its
            weights were published with, or ``Preprocess()`` for a module without such a record.
        labels: The name of each class, in order; ``None`` is ImageNet's for models of the
            libraries with its classes, else ``"class 0"``, ``"class 1"``, ... For a model of images
            and texts, these names become texts ("a photo of a dog"), and the texts its classes; a
            mapping from each name to its text, or to several, which are averaged, says which.
        tokenizer: For a module of images and texts that carries none: a callable that takes a list
            of texts and returns a tensor of tokens, a tokenizer of transformers, or a processor of
            transformers, which has the transform too.
        pretrained: Whether to load the published weights, which are fetched if they are not on
            disk. Without them and without a checkpoint the weights are random, the same each
            time, and their heat means nothing.
        options: Keyword arguments for the library's constructor, as ``num_classes``.
        scores: What its class scores are. ``"softmax"``: logits of classes that exclude each other.
            ``"sigmoid"``: logits of labels of which an image may have several, each with a
            probability of its own. ``None`` is what the network shows, which may end in a sigmoid,
            or its configuration states, as transformers'
            ``problem_type="multi_label_classification"``; else softmax. A single logit always has
            its sigmoid. ``"embedding"``: what it returns is an embedding and no class scores, where
            the network does not show that.
        device: Where to run; ``None`` is a GPU if there is one, and a module's own device.

    Raises:
        UnknownModelError: If nothing has that name.
        WeightsError: If weights cannot be found, fetched, read or fitted.
        LayerError: If the target layer does not exist or gives no map.
        ModelError: If the model cannot be built, or does not run on images; or if it returns
            something other than class scores or an embedding, and no target layer is given.
        ArgumentError: If an argument does not go with this kind of source, or ``scores``
            contradicts the network.

    >>> model = load_model("resnet18", pretrained=False)
    >>> model.target_layer, model.layer.grid, model.weights
    ('layer4', (7, 7), 'random')
    """
    if isinstance(source, Model | nn.Module):
        if checkpoint is not None or options or not pretrained:
            raise ArgumentError(
                "checkpoint, options and pretrained are for models that are built by name; load "
                f"the weights into the {type(source).__name__} yourself"
            )
        own = resolve_module(source)
        changed = replace(
            own,
            name=name or own.name,
            own_preprocess=_given_preprocess(preprocess, tokenizer, own),
            target_layer=target_layer,
            labels=labels,
            tokenizer=tokenizer,
            scores=check_link(scores),
        )
        return load(changed, device=device)
    if tokenizer is not None:
        raise ArgumentError(
            "tokenizer is for a module of yours; a model that is built by name has its own"
        )
    spec = change_spec(
        find_model_spec(source),
        name,
        {
            "checkpoint": checkpoint,
            "target_layer": target_layer,
            "preprocess": preprocess,
            "labels": labels,
            "pretrained": False if not pretrained else None,
            "options": options,
            "scores": scores,
        },
    )
    return load(resolve_spec(spec), device=device)


def _given_preprocess(
    preprocess: Preprocess | None, tokenizer: Tokenizer | None, source: ModuleSource
) -> Preprocess | None:
    """Return the transform that was given, by itself or in a processor of transformers."""
    if preprocess is not None:
        return check_preprocess(preprocess)
    if not is_processor(tokenizer):
        return None
    try:
        return processor_preprocess(
            getattr(tokenizer, "image_processor", None), own_size(source.module)
        )
    except ModelError as error:
        raise ModelError(f"{source.name}: {error}") from error


def load_untrained(name: str) -> Model:
    """Return a model by name that has shapes but, if possible, no weights.

    Raises:
        UnknownModelError: If nothing has that name.
        ModelError: If it cannot be built.
        LayerError: If it has no layer that gives a map.
    """
    try:
        return load_model(name, pretrained=False, device="meta")
    except ModelError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, ModelError):
            raise  # it runs, and its output cannot be read
        return load_model(name, pretrained=False)  # some read numbers in their pass


def load(
    source: Source,
    *,
    device: str | torch.device | None,
    change_preprocess: ChangePreprocess = lambda own: own,
) -> Model:
    """Return the model of a source, its transform changed.

    Args:
        source: What it is made of.
        device: As in `load_model`.
        change_preprocess: Returns the transform to use, given the model's own one. The target
            layer is looked for at its input size.

    Raises:
        EffcamError: As `load_model` does.
    """
    # On torch's meta device a module is built there: only its shapes are asked for.
    with plain_torch(device="meta" if str(device) == "meta" else "cpu"):
        built = _build(source, device, change_preprocess)
        try:
            traced = _find_layers(built)
            scores = _find_scores(built, traced)
            checked = _check(built, traced, scores)
            if built.is_own:
                _lay_out(built.module, traced.preprocess)
        except (ArgumentError, ModelError, LayerError) as error:
            raise type(error)(f"{built.name}: {error}") from error
    labels, synonyms = _find_labels(built, scores, traced.classes)
    return Model(
        built.name,
        built.module,
        checked.layers,
        traced.preprocess,
        labels,
        synonyms,
        built.weights,
        scores,
        checked.bypass,
        checked.notes + gradient_notes(checked.layers, traced.loses_gradients),
        built.text,
    )


def _build(
    source: Source, device: str | torch.device | None, change_preprocess: ChangePreprocess
) -> BuiltModule:
    try:
        return source.build(device=device, change_preprocess=change_preprocess)
    except ModelError:
        if str(device) != "meta":
            raise
        # Some read numbers while they are built: build them on the CPU, and keep their shapes.
        with plain_torch():
            return source.build(device=device, change_preprocess=change_preprocess)


def _find_layers(built: BuiltModule) -> Traced:
    """Return what a trace of the module shows, found once for modules of one structure."""
    names = layer_names(built.module, built.target_layer)
    facts = built.facts and (built.facts.layers, built.facts.layout, built.facts.rule)
    key = built.preprocess, facts, names, built.model and built.model.target_layers, _named(built)
    return TRACED.get(built.module, key, lambda: _read_trace(built, names))


def _read_trace(built: BuiltModule, names: Sequence[str]) -> Traced:
    preprocess, record = _trace(built)
    record.expected = _named(built)
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


def _check(built: BuiltModule, traced: Traced, scores: ScoreSource) -> CheckedLayers:
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


def _find_scores(built: BuiltModule, traced: Traced) -> ScoreSource:
    """Return what is returned, where it is read, and what the class scores are.

    Raises:
        ModelError: If it returns probabilities whose logits cannot be reached.
        ArgumentError: If the network contradicts what the caller states of its scores.
    """
    names_texts = built.text is not None and built.labels is not None
    if built.model is not None and not names_texts:
        return with_link(built.model.scores, built.scores, None)
    return with_link(_place_of_scores(built, traced), built.scores, built.own_scores)


def _place_of_scores(built: BuiltModule, traced: Traced) -> ScoreSource:
    """Return what is returned, and where; networks of the libraries as they build them give logits.

    Raises:
        ModelError: If it returns probabilities whose logits cannot be reached.
    """
    classes = traced.classes
    if built.text is not None:
        return _compared_with_texts(built.text, built.labels, classes)
    is_named = _named(built) == classes
    if traced.outputs == "other":
        return ScoreSource(outputs="other", cause="its output is no row of values for each image")
    if traced.outputs == "embedding":
        return ScoreSource(classes, outputs="embedding", cause="it returns features by that name")
    if has_no_classes(built.module) and not is_named:
        return ScoreSource(classes, outputs="embedding", cause=no_classifier())
    if built.facts is not None or any(each.is_meta for each in built.module.parameters()):
        return ScoreSource(classes, single=traced.single)
    return SCORES.get(
        built.module,
        (traced.preprocess, classes, is_named),
        lambda: find_scores(
            built.module, probe_inputs(traced.preprocess), classes=classes, is_named=is_named
        ),
    )


def _compared_with_texts(text: TextEncoder, labels: Labels | None, width: int) -> ScoreSource:
    """Return the source of embeddings that are compared with texts, of classes if there are labels.

    Raises:
        ModelError: If the towers' embeddings have different lengths, or a text cannot be embedded.
        ArgumentError: If labels are no classes, or have a text that is too long.
    """
    if labels is None:
        cause = "it compares images with texts"
        return ScoreSource(width, link=text.link, outputs="embedding", cause=cause)
    if len(labels) == 1 and text.link == "softmax":
        raise ArgumentError(
            "a softmax over one text is always 1: give two or more labels, or ask for the text "
            "itself with target=effcam.targets.Text(...)"
        )
    head = zero_shot(text, labels)
    if head.weights.shape[1] != width:
        raise ModelError(
            f"its embeddings of images have {width} values, and those of texts "
            f"{head.weights.shape[1]}, so they cannot be compared"
        )
    return ScoreSource(width, link=text.link, outputs="embedding", head=head)


def _named(built: BuiltModule) -> int | None:
    """Return the number of classes that have names; ``None`` if there are no names."""
    if built.model is not None:
        return built.model.scores.classes
    if isinstance(built.labels, str) or built.text is not None:
        return None
    names = built.own_labels if built.labels is None else built.labels
    return None if names is None else len(names)


def _lay_out(module: nn.Module, preprocess: Preprocess) -> None:
    """Give a module's weights the memory format in which its convolutions are fastest."""
    if find_cost(module, preprocess.size, preprocess.channels).channels_last:
        with torch.inference_mode(False):
            module.to(memory_format=torch.channels_last)


def _find_labels(built: BuiltModule, scores: ScoreSource, classes: int) -> Names:
    if not scores.has_classes:
        if built.labels is not None:
            raise ArgumentError(f"{built.name} has no classes that labels could name")
        return (), ()
    if built.labels is not None and scores.head is not None:
        shown = class_names(built.labels)
    elif built.labels is not None:
        if isinstance(built.labels, Mapping):
            raise ArgumentError(
                f"{built.name} embeds no texts, so labels must be a list with the name of each of "
                f"its {classes} classes, not a mapping from names to texts"
            )
        if isinstance(built.labels, str) or len(built.labels) != classes:
            given = _count_labels(built.labels)
            raise ArgumentError(f"{built.name} has {classes} classes, but labels holds {given}")
        shown = tuple(str(label) for label in built.labels)
    elif built.model is not None:
        return built.model.labels, built.model.synonyms
    elif built.own_labels is not None:
        # With names of other classes, these are not ImageNet's either.
        shown = built.own_labels if len(built.own_labels) == classes else numbered(classes)
    else:
        known = imagenet_labels(classes) if knows_imagenet(built.module) else None
        if known is not None:
            return tuple(names[0] for names in known), known
        shown = numbered(classes)
    return shown, synonyms_of(shown)


def _count_labels(labels: Sequence[str]) -> str:
    if isinstance(labels, str):
        return "one string"
    first = ", ".join(repr(str(label)) for label in labels[:3])
    return f"{len(labels)} labels ({first}{', ...' if len(labels) > 3 else ''})"
