"""What a model's network returns: class scores, of texts too, an embedding, or others."""

from __future__ import annotations

from effcam.errors import ArgumentError, ModelError
from effcam.models.built_module import BuiltModule
from effcam.models.link import with_link
from effcam.models.text_encoder import Labels, TextEncoder, zero_shot
from effcam.models.traced_layers import Traced, count_named
from effcam.models.tracing.cache import WeightsCache
from effcam.models.tracing.probe import probe_inputs
from effcam.models.tracing.score_check import find_scores, has_no_classes, no_classifier
from effcam.models.tracing.score_source import ScoreSource

SCORES: WeightsCache[ScoreSource] = WeightsCache()


def find_model_scores(built: BuiltModule, traced: Traced) -> ScoreSource:
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
    is_named = count_named(built) == classes
    if traced.outputs == "other":
        return ScoreSource(outputs="other", cause="its output is no row of values for each image")
    if traced.outputs == "embedding":
        return ScoreSource(classes, outputs="embedding", cause="it returns features by that name")
    if has_no_classes(built.module) and not is_named:
        return ScoreSource(classes, outputs="embedding", cause=no_classifier())
    if built.facts is not None or any(each.is_meta for each in built.module.parameters()):
        return ScoreSource(classes, single=traced.single)
    return _found_scores(built, traced, is_named)


def _found_scores(built: BuiltModule, traced: Traced, is_named: bool) -> ScoreSource:
    """Return the source of scores of a network whose output has to be looked at.

    Raises:
        ModelError: If it returns probabilities whose logits cannot be reached.
    """
    try:
        return SCORES.get(
            built.module,
            (traced.preprocess, traced.classes, is_named),
            lambda: find_scores(
                built.module,
                probe_inputs(traced.preprocess),
                classes=traced.classes,
                is_named=is_named,
            ),
        )
    except ModelError:
        if built.scores == "embedding":  # its values may lie in [0, 1] without being probabilities
            return ScoreSource(traced.classes, single=traced.single)
        raise


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
