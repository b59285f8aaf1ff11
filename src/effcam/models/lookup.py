"""Find the architecture that a name stands for."""

from __future__ import annotations

from typing import TypeAlias

from effcam.errors import UnknownModelError, did_you_mean, suggest
from effcam.models.architectures import STORES, Library
from effcam.models.library_architecture import LibraryArchitecture
from effcam.models.open_clip_architecture import find_open_clip, open_clip_names
from effcam.models.registry import registered_names
from effcam.models.stored_architecture import StoredArchitecture
from effcam.models.text_image_architecture import TextImageArchitecture
from effcam.models.timm_architecture import TimmArchitecture
from effcam.models.torchvision_architecture import TorchvisionArchitecture
from effcam.models.transformers_architecture import TransformersArchitecture

Architecture: TypeAlias = LibraryArchitecture | StoredArchitecture | TextImageArchitecture
KINDS: dict[Library, type[LibraryArchitecture]] = {
    "timm": TimmArchitecture,
    "torchvision": TorchvisionArchitecture,
}
"""The libraries in the order in which a bare name is looked up."""


def find_architecture(name: str) -> Architecture:
    """Return the architecture that a name stands for: timm's if it has one, else torchvision's.

    Args:
        name: ``resnet50``, ``resnet50.a1_in1k``, ``torchvision:resnet50.IMAGENET1K_V1``; or the
            place of a stored timm model: ``hf-hub:timm/resnet50.a1_in1k``, ``local-dir:folder``; or
            a model of images and texts: ``open_clip:ViT-B-32/laion2b_s34b_b79k``,
            ``hf:google/siglip2-base-patch16-224``, ``hf:folder``.

    Raises:
        UnknownModelError: If neither library has the architecture or the weights.
    """
    store, _, place = name.partition(":")
    if place and store in STORES:
        return StoredArchitecture(STORES[store], place)
    if place and store == "open_clip":
        return find_open_clip(place)
    if place and store == "hf":
        return TransformersArchitecture(place)
    prefix, colon, rest = name.rpartition(":")
    if colon and prefix not in KINDS:
        raise UnknownModelError(
            f"no model is called {name!r}: names start with 'timm:', 'torchvision:', "
            "'open_clip:', 'hf:', 'hf-hub:', 'local-dir:' or none of these"
        )
    bare, _, weights = rest.partition(".")
    for library, kind in KINDS.items():
        if prefix in ("", library) and kind.has(bare):
            return kind(bare, _pick_weights(library, bare, weights))
    raise _unknown(name, bare)


def _pick_weights(library: Library, name: str, weights: str) -> str:
    known = KINDS[library].weights_names(name)
    if not weights:
        return known[0] if known else ""
    if weights not in known:
        have = f"It has {', '.join(known)}." if known else "None are published for it."
        hint = _other_library(library, name, weights) or did_you_mean(weights, known)
        raise UnknownModelError(f"{library} has no weights {weights!r} for {name!r}.{hint} {have}")
    return weights


def _other_library(library: Library, name: str, weights: str) -> str:
    """Return a hint to the other library, if it has weights of that name."""
    for other, kind in KINDS.items():
        if other != library and kind.has(name) and weights in kind.weights_names(name):
            return f" Did you mean '{other}:{name}.{weights}'?"
    return ""


def _unknown(name: str, bare: str) -> UnknownModelError:
    if name in registered_names():
        return UnknownModelError(
            f"{name!r} is a registered model, and no architecture: give the name itself, or its "
            "spec, not another spec of that name"
        )
    known = [each for kind in KINDS.values() for each in kind.names()]
    texts = {f"open_clip:{each}" for each in open_clip_names() if bare and each.startswith(bare)}
    hint = did_you_mean(bare, [*known, *registered_names()]) or suggest(sorted(texts)[:3])
    return UnknownModelError(f"no model is called {name!r}.{hint} effcam.list_models() lists all.")
