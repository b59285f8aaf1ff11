"""Turn texts into the tokens of a model, and refuse texts that a model would cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from effcam.errors import ArgumentError, EffcamError, reason_of
from effcam.text import quote

Tokens: TypeAlias = Tensor | Mapping[str, Tensor]
Tokenizer: TypeAlias = Callable[..., Any]

UNLIMITED = 10**6
"""A tokenizer of transformers that states a larger limit states none."""


def tokenize(tokenizer: Tokenizer, texts: list[str], module: nn.Module) -> Tokens:
    """Return the tokens of texts, for the text tower of a module.

    Args:
        tokenizer: One of transformers, or a callable that takes a list of texts and returns an
            (n, length) tensor, as those of open_clip.
        texts: The texts.
        module: The model of images and texts.

    Raises:
        ArgumentError: If a text is too long, or the tokenizer is none.
    """
    tokenizer = getattr(tokenizer, "tokenizer", tokenizer) if is_processor(tokenizer) else tokenizer
    if is_of_transformers(tokenizer):
        return _tokenize_padded(tokenizer, texts, module)
    found = _call(tokenizer, texts)
    for text, row in zip(texts, found, strict=True):
        if _is_cut(tokenizer, text, row):
            raise ArgumentError(_too_long(text, len(row)))
    return found


def is_of_transformers(tokenizer: object) -> bool:
    """Return whether an object is a tokenizer of transformers, or one with its interface."""
    return hasattr(tokenizer, "model_max_length") and hasattr(tokenizer, "pad")


def is_processor(given: object) -> bool:
    """Return whether an object is a processor of transformers: a tokenizer and a transform."""
    return hasattr(given, "image_processor") and hasattr(given, "tokenizer")


def _call(tokenizer: Tokenizer, texts: list[str]) -> Tensor:
    try:
        found = tokenizer(texts)
    except EffcamError:
        raise
    except Exception as error:  # it may raise anything
        raise ArgumentError(
            f"the tokenizer failed on {quote(texts[0])}: {reason_of(error)}"
        ) from error
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(texts):
        raise ArgumentError(
            "the tokenizer must return a tensor with one row of tokens for each text; for "
            f"{len(texts)} texts it returned a {type(found).__name__}"
            + (f" of shape {tuple(found.shape)}" if isinstance(found, Tensor) else "")
        )
    return found


def _is_cut(tokenizer: Tokenizer, text: str, row: Tensor) -> bool:
    """Return whether a tokenizer leaves out the end of a text.

    If so, neither its own words once more nor the lack of its last word or letter change anything,
    and with more room there are other tokens.
    """
    if row.is_floating_point():
        return False  # counts of words, and no sequence
    words = text.split()
    longer = (f"{text} {more}" for more in (text, words[-1]))
    shorter = [each for each in (text.rstrip()[:-1], " ".join(words[:-1])) if each.strip()]
    return (
        all(_has_same(tokenizer, each, row) for each in longer)
        and any(_has_same(tokenizer, each, row) for each in shorter)
        and not _has_same(tokenizer, "", row)  # it knows none of the words
        and not _fits_with_room(tokenizer, text, row)
    )


def _fits_with_room(tokenizer: Tokenizer, text: str, row: Tensor) -> bool:
    """Return whether a tokenizer that has one more place leaves it empty."""
    try:
        wider, empty = tokenizer([text, ""], context_length=len(row) + 1)
    except Exception:  # noqa: BLE001  # it has no such argument
        return False
    return torch.equal(wider[:-1], row) and torch.equal(wider[-1], empty[-1])


def _has_same(tokenizer: Tokenizer, text: str, row: Tensor) -> bool:
    try:
        return torch.equal(tokenizer([text])[0], row)
    except Exception:  # noqa: BLE001  # it refuses texts that are too long by itself
        return False


def _tokenize_padded(tokenizer: Any, texts: list[str], module: nn.Module) -> Mapping[str, Tensor]:
    limit = _limit(tokenizer, module)
    for text, row in zip(texts, tokenizer(texts, truncation=False)["input_ids"], strict=True):
        if limit and len(row) > limit:
            raise ArgumentError(_too_long(text, limit, len(row)))
    # SigLIP's text tower reads the last place of a sequence of its full length.
    is_full = bool(limit) and getattr(module, "logit_bias", None) is not None
    found = tokenizer(
        texts,
        padding="max_length" if is_full else True,
        max_length=limit if is_full else None,
        truncation=False,
        return_tensors="pt",
    )
    return dict(found)


def _limit(tokenizer: Any, module: nn.Module) -> int:
    """Return the most tokens that a text can have, 0 if it is not known."""
    config: Any = getattr(module, "config", None)
    stated = (
        getattr(tokenizer, "model_max_length", None),
        getattr(getattr(config, "text_config", None), "max_position_embeddings", None),
    )
    known = [each for each in stated if isinstance(each, int) and 0 < each < UNLIMITED]
    return min(known, default=0)


def _too_long(text: str, limit: int, has: int = 0) -> str:
    length = f"has {has} tokens" if has else "has more"
    return (
        f"the text {quote(text)} is too long: the model reads {limit} tokens, and it {length}, so "
        "its end would be left out. Give a shorter text"
    )
