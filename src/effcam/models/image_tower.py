"""Models of images and texts: recognise them, and look at their image tower alone."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Callable
from functools import cache, partial
from inspect import signature
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from effcam.errors import ArgumentError, ModelError, reason_of
from effcam.models.text_encoder import TextEncoder
from effcam.models.tokenizing import Tokenizer, Tokens, tokenize
from effcam.models.tracing.isolation import untouched
from effcam.models.tracing.rng import IsolatedRandomness
from effcam.models.tracing.runners import device_of
from effcam.models.tracing.torch_state import plain_torch

MakeTokenizer: TypeAlias = Callable[[], Tokenizer]

PAIRS = (("encode_image", "encode_text"), ("get_image_features", "get_text_features"))
"""The methods that embed images and texts: of CLIP and open_clip, and of transformers."""
HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)
PATCHES = ("spatial_shapes", "pixel_attention_mask", "image_grid_thw")
"""Arguments of models that take patches of images of any size."""


def has_two_towers(module: object) -> bool:
    """Return whether a module embeds images and texts in one space."""
    return _methods(module) is not None


def image_tower(module: nn.Module) -> nn.Module:
    """Return a view of a model of images and texts whose forward pass embeds images.

    It shares all parts with the model, under the same names, and takes (batch, 3, height, width)
    images and returns (batch, D) embeddings. The model itself stays unchanged.

    Raises:
        ModelError: If the model takes patches instead of images.
    """
    encode, _ = _methods(module) or ("", "")
    takes = signature(getattr(module, encode)).parameters
    if any(name in takes for name in PATCHES):
        raise ModelError(
            f"the {type(module).__name__} takes patches of images of any size, and effcam looks at "
            "images of one fixed size: give a model of a fixed size, such as "
            "hf:google/siglip2-base-patch16-224"
        )
    tower = copy.copy(module)
    # Hooks on the whole model expect its own output.
    tower.__dict__.update({name: OrderedDict[int, Any]() for name in HOOKS})
    tower.__class__ = _tower_class(type(module), encode, "normalize" in takes)  # type: ignore[arg-type]  # it can
    return tower


@cache
def _tower_class(kind: type[nn.Module], encode: str, can_normalise: bool) -> type[nn.Module]:
    def forward(self: Any, images: Tensor) -> Tensor:
        # CoCa's default is a unit embedding.
        options = {"normalize": False} if can_normalise else {}
        return _embedding(getattr(self, encode)(images, **options))

    return type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})


def text_encoder(module: nn.Module, make_tokenizer: MakeTokenizer) -> TextEncoder:
    """Return the text tower of a model of images and texts.

    Args:
        module: The model.
        make_tokenizer: Returns its tokenizer; called when the first text is encoded.
    """
    bias = getattr(module, "logit_bias", None)
    return TextEncoder(
        partial(_embed, module, cache(make_tokenizer)),
        _scale(module),
        0.0 if bias is None else _number(bias),
        "softmax" if bias is None else "sigmoid",
    )


def own_tokenizer(module: nn.Module) -> MakeTokenizer:
    """Return a function that returns the tokenizer which a module carries as ``tokenizer``."""

    def find() -> Tokenizer:
        tokenizer: Tokenizer | None = getattr(module, "tokenizer", None)
        if tokenizer is None or not callable(tokenizer):
            raise ArgumentError(
                f"the {type(module).__name__} has no tokenizer for texts: give it with "
                "effcam.load_model(module, tokenizer=...), as open_clip.get_tokenizer(name) or "
                "transformers.AutoProcessor.from_pretrained(name) return it"
            )
        return tokenizer

    return find


def _methods(module: object) -> tuple[str, str] | None:
    return next(
        (
            (encode, read)
            for encode, read in PAIRS
            if callable(getattr(module, encode, None)) and callable(getattr(module, read, None))
        ),
        None,
    )


def _embed(module: nn.Module, make_tokenizer: MakeTokenizer, texts: list[str]) -> Tensor:
    """Return the (n, D) embeddings of texts; the module stays unchanged."""
    tokens = tokenize(make_tokenizer(), texts, module)
    _, read = _methods(module) or ("", "")
    device = device_of(module)
    try:
        with untouched(module), plain_torch(), torch.no_grad(), IsolatedRandomness():
            module.eval()
            found = _embedding(_read(getattr(module, read), tokens, device))
    except Exception as error:  # the module may raise anything
        raise ModelError(f"the text tower failed on {texts[0]!r}: {reason_of(error)}") from error
    if found.ndim != 2 or len(found) != len(texts):
        raise ModelError(
            f"the text tower returned a tensor of shape {tuple(found.shape)} for {len(texts)} "
            "texts, and not one embedding of each"
        )
    return found


def _read(read: Callable[..., object], tokens: Tokens, device: torch.device) -> object:
    if isinstance(tokens, Tensor):
        return read(tokens.to(device))
    takes = signature(read).parameters
    return read(**{name: each.to(device) for name, each in tokens.items() if name in takes})


def _embedding(output: object) -> Tensor:
    """Return the embedding in the output of a tower.

    Releases of transformers from 5 on return an object that holds it as its pooled output.
    """
    found = getattr(output, "pooler_output", output)
    if not isinstance(found, Tensor):
        raise ModelError(f"the tower returns no embedding but a {type(found).__name__}")
    return found


def _scale(module: nn.Module) -> float:
    """Return the number that cosines are multiplied with."""
    if isinstance(logarithm := getattr(module, "logit_scale", None), Tensor):
        most = getattr(module, "max_log_logit_scale", math.inf)
        return math.exp(min(_number(logarithm), most))
    if isinstance(temperature := getattr(module, "temperature", None), Tensor):
        return 1 / _number(temperature)
    return 1.0


def _number(value: object) -> float:
    """Return the value of a scalar parameter; NaN on the meta device."""
    if isinstance(value, Tensor):
        return math.nan if value.is_meta else float(value.detach().flatten()[0])
    return float(value)  # type: ignore[arg-type]  # a number of the module's own
