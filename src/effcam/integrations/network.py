"""Which part of a training's module is shown, and how photos become its inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from torch import nn

from effcam.errors import ArgumentError, ModelError
from effcam.images.preprocess import Preprocess
from effcam.models.built_module import check_preprocess
from effcam.models.image_processor import processor_preprocess
from effcam.models.image_tower import has_two_towers
from effcam.models.timm_architecture import module_preprocess
from effcam.models.wrappers import own_size, unwrap

Part: TypeAlias = str | nn.Module | Callable[[nn.Module], nn.Module] | None
USUAL = ("model", "net", "network", "classifier", "backbone")
"""The usual names of the network in a module for training."""


@dataclass(frozen=True, slots=True)
class Transform:
    """How photos become inputs, and where that is from.

    Attributes:
        preprocess: The transform.
        origin: Where it is from, in words.
        is_assumed: Whether nobody stated it, so that training may use another one.
    """

    preprocess: Preprocess
    origin: str
    is_assumed: bool = False


def find_part(module: nn.Module, part: Part, *, has_forward: bool = True) -> tuple[nn.Module, str]:
    """Return the network to show, and what it is in words.

    Args:
        module: The module that is trained.
        part: A dotted name in it, one of its modules, or a function that returns one; ``None`` is
            the module itself if it has a forward pass, else its only child with weights, or the
            one of a usual name.
        has_forward: Whether the module can be called on images.

    Raises:
        ArgumentError: If there is no such part, or it has to be chosen.
    """
    inner = unwrap(module)
    kind = type(inner).__name__
    if part is None:
        if has_forward:
            return inner, kind
        name = _usual_part(inner)
        return unwrap(inner.get_submodule(name)), f"{kind}.{name}"
    if isinstance(part, str):
        try:
            return unwrap(inner.get_submodule(part)), f"{kind}.{part}"
        except AttributeError:
            raise ArgumentError(
                f"{kind} has no part {part!r}; it has {_listed(_children(inner))}"
            ) from None
    found = part if isinstance(part, nn.Module) else part(inner) if callable(part) else part
    if not isinstance(found, nn.Module):
        raise ArgumentError(
            "module must be the name of a part, a module, or a function that returns one, not "
            f"{found!r}"
        )
    return unwrap(found), type(found).__name__


def _children(module: nn.Module) -> list[str]:
    """Return the names of the children that have weights."""
    return [name for name, each in module.named_children() if any(True for _ in each.parameters())]


def _usual_part(module: nn.Module) -> str:
    children = _children(module)
    usual = [name for name in USUAL if name in children]
    if len(children) == 1:
        return children[0]
    if usual and usual[0] in USUAL[:3]:
        return usual[0]
    raise ArgumentError(
        f"{type(module).__name__} has no forward(), so that the network has to be chosen among "
        f"{_listed(children)}: give module={children[0]!r}"
        if children
        else f"{type(module).__name__} has neither a forward() nor a child with weights"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "no child with weights"


def find_transform(module: nn.Module, given: object, processor: object = None) -> Transform:
    """Return how photos become inputs of a network.

    Args:
        module: The network.
        given: A `Preprocess` or an image processor of transformers that the caller gave; ``None``
            for nothing.
        processor: The image processor of the training, if it has one.

    Raises:
        ArgumentError: If what is given is neither.
        ModelError: If an image processor has a step that `Preprocess` has not.
    """
    size = own_size(module)
    if isinstance(given, Preprocess):
        return Transform(given, "preprocess=")
    if given is not None:
        made = _of_processor(given, size)
        return Transform(made or check_preprocess(given), "preprocess=")
    made = _of_processor(processor, size)
    if made is not None:
        return Transform(made, f"the {type(processor).__name__} of the trainer")
    stated = next(filter(None, map(module_preprocess, module.modules())), None)
    if stated is not None:
        return Transform(stated, "the network's pretrained_cfg")
    if has_two_towers(module):
        raise ArgumentError(
            f"the {type(module).__name__} does not hold how photos become its inputs: give "
            "preprocess="
        )
    usual = Preprocess(size=size) if size else Preprocess()
    return Transform(usual, "assumed", is_assumed=True)


def _of_processor(processor: object, size: tuple[int, int] | None) -> Preprocess | None:
    """Return the transform of an image processor of transformers; ``None`` for other objects."""
    found = getattr(processor, "image_processor", processor)
    if not hasattr(found, "image_mean") and not hasattr(found, "do_rescale"):
        return None
    try:
        return processor_preprocess(found, size)
    except ModelError as error:
        raise ModelError(f"{type(found).__name__}: {error}") from error


def say_transform(transform: Transform) -> str:
    """Return in a sentence how photos become inputs."""
    made = transform.preprocess
    height, width = made.size
    numbers = f"mean {_short(made.mean)}, std {_short(made.std)}"
    what = f"{height} x {width} px ({made.mode}), {numbers}"
    if not transform.is_assumed:
        return f"photos become inputs of {what}, as {transform.origin} states"
    return (
        f"nothing states how photos become inputs, so they are resized to {what}, as is usual for "
        "ImageNet. If the training does otherwise, what is shown is wrong: give "
        "preprocess=effcam.Preprocess(...)"
    )


def _short(values: Sequence[float]) -> str:
    return "/".join(f"{each:.3g}" for each in values)
