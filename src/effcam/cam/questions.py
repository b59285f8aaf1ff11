"""What is asked of each image of a model, looked up in its classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from effcam.cam.methods.table import Method, explains_class_only, name_of, tells_opposites
from effcam.cam.scores import (
    AboveQuestions,
    ClassQuestions,
    CosineQuestions,
    FunctionQuestions,
    Questions,
)
from effcam.errors import TargetError
from effcam.models.class_names import numbered
from effcam.models.model import Model
from effcam.models.tracing.logits import Outputs
from effcam.targets.classes import (
    RANK,
    Above,
    ClassLike,
    Combination,
    Contrast,
    Kind,
    named,
    terms_of,
)
from effcam.targets.outputs import Function, OutputTarget, Similar, Text, Value
from effcam.targets.plain import PerImage, PlainTarget, Single, by_name, singles
from effcam.text import count

if TYPE_CHECKING:
    from numpy.typing import NDArray

Asked: TypeAlias = Mapping[str, Sequence[Single] | None]
"""What is asked of each image, by the name of the target, "" for one alone; ``None`` is the
model's own top-1."""
Embed: TypeAlias = Callable[[Sequence[Text | Similar]], "NDArray[np.float32]"]
"""Returns the (n, D) directions of what n images are compared with, each of length 1."""


def per_image(target: PlainTarget, images: int) -> Asked:
    """Return what is asked of each image, by the name of the target.

    Raises:
        TargetError: If the number of targets is not that of the images.
    """
    return {name: _per_image(each, images) for name, each in by_name(target).items()}


def _per_image(target: PerImage, images: int) -> Sequence[Single] | None:
    if target is None:
        return None
    if not isinstance(target, tuple):
        return (target,) * images
    if len(target) != images:
        raise TargetError(f"there are {len(target)} targets for {images} images: give one for each")
    return target


def ask(
    model: Model, targets: Sequence[Single] | None, images: int, embed: Embed | None = None
) -> Questions:
    """Return what is asked of a model.

    Args:
        model: The model.
        targets: The target of each image; ``None`` is the model's own top-1.
        images: The number of images.
        embed: Embeds what images are compared with; ``None`` only checks.

    Raises:
        TargetError: If a class is unknown, ambiguous or out of range, a contrast is between a
            class and itself, or the model does not return what is asked for.
    """
    if not targets:
        check_has_classes(model)
        return ClassQuestions.of_classes([-1] * images)
    match targets[0]:  # all are of one kind
        case Function():
            return FunctionQuestions(tuple(cast("Sequence[Function]", targets)))
        case Text() | Similar():
            compared = cast("Sequence[Text | Similar]", targets)
            check_embedding(model, compared)
            found = np.empty((images, 0), np.float32) if embed is None else embed(compared)
            return CosineQuestions(found)
        case Value():
            return _ask_values(model, cast("Sequence[Value]", targets))
        case Above():
            return _ask_above(model, cast("Sequence[Above]", targets))
    check_has_classes(model)
    return _ask_classes(model, cast("Sequence[ClassLike | Combination]", targets))


def _ask_above(model: Model, targets: Sequence[Above]) -> AboveQuestions:
    check_has_classes(model)
    if not model.multi_label:
        raise TargetError(
            f"{model.name}: {targets[0]!r} is for labels that do not exclude each other, and the "
            "classes of this model do: ask for TopK or a Sum; or, if an image may have several of "
            "its labels, load it with scores='sigmoid' (--scores sigmoid)"
        )
    return AboveQuestions(np.array([each.threshold for each in targets], np.float32))


def _ask_classes(model: Model, targets: Sequence[ClassLike | Combination]) -> ClassQuestions:
    # Look each target up once, not once an image.
    found = {target: _resolve(model, target) for target in dict.fromkeys(targets)}
    width = max(len(terms) for terms in found.values())
    unused = [(0, 0.0)]
    filled = {target: terms + unused * (width - len(terms)) for target, terms in found.items()}
    rows = np.array([filled[target] for target in targets])
    softmax = [isinstance(each, Contrast) and each.weights == "softmax" for each in targets]
    return ClassQuestions(
        rows[..., 0].astype(np.int64), rows[..., 1].astype(np.float32), np.array(softmax)
    )


def _ask_values(model: Model, targets: Sequence[Value]) -> ClassQuestions:
    # A model that compares images with texts returns one value for each of its classes.
    values = model.scores.classes if model.scores.head is None else model.num_classes
    if model.scores.single:  # its two classes are absence and presence
        values = 1
    if not values:
        raise TargetError(
            f"{model.name} returns no row of values: ask for a value of its output with a function"
        )
    for each in targets:
        if each.output >= values:
            raise TargetError(
                f"output {each.output} is out of range: {model.name} returns "
                f"{count(values, 'value')}"
            )
    asked = np.array([each.output for each in targets], np.int64)[:, None]
    signs = np.array([-1 if each.lowers else 1 for each in targets], np.float32)[:, None]
    return ClassQuestions(asked, signs, np.zeros(len(asked), bool), raw=True)


def check_has_classes(model: Model) -> None:
    """Check that a model has classes.

    Raises:
        TargetError: If it has none.
    """
    if not model.scores.has_classes:
        raise TargetError(no_classes(model.name, model.scores.outputs, model.scores.cause))


def no_classes(name: str, outputs: Outputs, cause: str = "") -> str:
    """Return the message about a model that has no classes.

    Args:
        name: Its name.
        outputs: What it returns.
        cause: Why it has none; empty if that is not known yet.
    """
    reason = f": {cause}" if cause else ""
    if outputs == "other":
        ways = (
            "a function of its output, or, of effcam.targets, Region for a segmentation or "
            "BoxScore for a detection"
        )
    else:
        ways = (
            'target=effcam.targets.Similar("query.jpg"), Value(0) for one of its values, or, of a '
            'model of images and texts, Text("a few words"); or give it classes: by a checkpoint, '
            "by options, or, for a model of images and texts, by labels=[...]"
        )
    return f"{name} has no classifier, so no class scores{reason}. Ask for {ways}"


def check_embedding(model: Model, targets: Sequence[Text | Similar]) -> None:
    """Check that a model embeds what images are to be compared with.

    Raises:
        TargetError: If it does not.
    """
    if isinstance(targets[0], Text) and model.text is None:
        raise TargetError(
            f"{model.name} has no text tower, so it cannot be asked for a text ({targets[0]}): "
            "give a model of images and texts, such as CLIP or demo_clip"
        )
    if model.scores.outputs != "embedding":
        what = "class scores" if model.num_classes else "no embedding"
        raise TargetError(
            f"{model.name} returns {what}, so nothing can be compared with it ({targets[0]}): give "
            'a network without a classifier, for timm by options={"num_classes": 0} (--option '
            "NAME:num_classes=0); or, if it returns an embedding, load it with "
            'scores="embedding" (--scores embedding)'
        )


def check_target(model: Model, target: PlainTarget) -> None:
    """Check that a model has the classes of a target.

    Raises:
        TargetError: As `ask`.
    """
    for each in by_name(target).values():
        ask(model, each if isinstance(each, tuple) or each is None else (each,), 1)


def check_answerable(name: str, outputs: Outputs | None, target: PlainTarget) -> None:
    """Check, before a model is built or fetched, that it can have the classes asked for.

    Args:
        name: The model's name.
        outputs: What it will return; ``None`` if that is not known.
        target: What is asked.

    Raises:
        TargetError: If it has none, and a class is asked for.
    """
    asks_class = any(
        each is None or not isinstance(each[0] if isinstance(each, tuple) else each, OutputTarget)
        for each in by_name(target).values()
    )
    if outputs not in (None, "classes") and asks_class:
        raise TargetError(no_classes(name, outputs))


def check_methods_of(target: PlainTarget, methods: Sequence[Method]) -> None:
    """Check that methods can explain a target.

    Raises:
        TargetError: If one cannot tell a contrast or a value from the opposite one, or explains
            single classes only.
    """
    names = [name_of(each) for each in methods]
    compares = next((each for each in names if explains_class_only(each)), None)
    others = (each for each in singles(target) if not isinstance(each, ClassLike | None))
    other = next(others, None)
    if compares is not None and other is not None:
        raise TargetError(
            f"{compares} explains one class against those closest to it, and {other} is no class: "
            "ask it for a class, or explain this target by gradcam"
        )
    unsigned = next((each for each in names if not tells_opposites(each)), None)
    signed = (each for each in singles(target) if isinstance(each, Contrast | OutputTarget))
    asked = next(signed, None)
    if asked is not None and unsigned is not None:
        raise TargetError(
            f"{unsigned} cannot explain a {asked.kind} ({asked}): its map is the same for the "
            "opposite one"
        )


def kind_of(target: Single | None) -> Kind:
    """Return what kind of target it is."""
    return target.kind if isinstance(target, Combination | Above | OutputTarget) else "class"


def name_target(model: Model, target: Single | None, classes: Sequence[int]) -> str:
    """Return the name of what is explained in one image, such as "tabby - tiger cat".

    Args:
        model: The model.
        target: What was asked.
        classes: The indices of its classes in this image; none for other targets.
    """
    if isinstance(target, Value):
        return target.named(_name_value(model, target.output))
    if isinstance(target, OutputTarget):
        return str(target)
    if isinstance(target, Above):
        return target.named([model.labels[index] for index in classes])
    if not isinstance(target, Combination):
        return model.labels[classes[0]]
    used = len(terms_of(target))
    return named(target, [model.labels[index] for index in classes[:used]])


def _name_value(model: Model, output: int) -> str:
    """Return the name of a value: the class's, where the caller named classes."""
    named = model.labels[output : output + 1]
    is_numbered = model.labels == numbered(model.num_classes)
    return named[0] if named and not is_numbered else f"output {output}"


def _resolve(model: Model, target: ClassLike | Combination) -> list[tuple[int, float]]:
    terms = [(_find(model, each), factor) for each, factor in terms_of(target)]
    indices = [index for index, _ in terms]  # several classes may have one label
    twice = next((index for index in indices if indices.count(index) > 1), None)
    if twice is not None:
        name = model.labels[twice] if twice >= 0 else f"top{-twice}"
        raise TargetError(f"{model.name}: {target} has class {name!r} twice")
    return terms


def _find(model: Model, target: ClassLike) -> int:
    """Return the index of a class, or its rank, negative."""
    ranked = RANK.fullmatch(target) if isinstance(target, str) else None
    if ranked is None:
        return model.find_class(target)
    try:
        return model.find_class(target)
    except TargetError:
        rank = int(ranked[1])
    if rank > model.num_classes:
        raise TargetError(f"{target} is out of range: {model.name} has {model.num_classes} classes")
    return -rank
