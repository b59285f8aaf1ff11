"""From a name, a spec or a module to a `Model`: built, its target layer found, ready to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike

import torch
from torch import nn

from effcam.errors import ArgumentError, LayerError, ModelError
from effcam.images.preprocess import Preprocess
from effcam.models.built_module import BuiltModule, ChangePreprocess, check_preprocess
from effcam.models.checked_layers import gradient_notes
from effcam.models.image_processor import processor_preprocess
from effcam.models.link import check_link
from effcam.models.model import Model
from effcam.models.model_labels import find_labels
from effcam.models.model_scores import find_model_scores
from effcam.models.module_source import ModuleSource
from effcam.models.registry import Scores
from effcam.models.sources import (
    ModelLike,
    Source,
    change_spec,
    find_model_spec,
    resolve_module,
    resolve_spec,
)
from effcam.models.text_encoder import Labels
from effcam.models.tokenizing import Tokenizer, is_processor
from effcam.models.traced_layers import confirm_layers, find_layers
from effcam.models.tracing.flops import find_cost
from effcam.models.tracing.torch_state import plain_torch
from effcam.models.wrappers import Layers, own_size


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
    scores: Scores | None = None,
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
            traced = find_layers(built)
            scores = find_model_scores(built, traced)
            checked = confirm_layers(built, traced, scores)
            if built.is_own:
                _lay_out(built.module, traced.preprocess)
        except (ArgumentError, ModelError, LayerError) as error:
            raise type(error)(f"{built.name}: {error}") from error
    labels, synonyms = find_labels(built, scores, traced.classes)
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
        built.training,
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


def _lay_out(module: nn.Module, preprocess: Preprocess) -> None:
    """Give a module's weights the memory format in which its convolutions are fastest."""
    if find_cost(module, preprocess.size, preprocess.channels).channels_last:
        with torch.inference_mode(False):
            module.to(memory_format=torch.channels_last)
