"""A small model of two towers, for images and for texts, as CLIP and SigLIP are.

Both towers end in one space. The cosine of an image's embedding and a text's is high if the text is
true of the image.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from effcam.demo.captions import COLOURS, GROUNDS
from effcam.demo.networks import resnet
from effcam.demo.scenes import LABELS
from effcam.errors import TargetError, did_you_mean

SMALL_WORDS = ("a", "an", "and", "of", "on", "photo", "picture", "the")
WORDS = (*SMALL_WORDS, *COLOURS, *LABELS, *GROUNDS)
"""The words that the text tower knows, in the order of their tokens, which count from 1."""
CONTEXT = 16
"""The largest number of words in a text; shorter ones are padded with token 0."""
WIDTH, HIDDEN, EMBEDDING = 24, 64, 64


class Tokenizer:
    """Turns texts into the numbers of their words; letters' case and punctuation do not count.

    >>> Tokenizer()(["A red arrow.", "an arrow"])[:, :4]
    tensor([[ 1,  9, 15,  0],
            [ 2, 15,  0,  0]])
    """

    def __call__(self, texts: Sequence[str] | str) -> Tensor:
        """Return the tokens of texts: (n, CONTEXT) int64, padded with 0.

        Raises:
            TargetError: If a text has no words, too many, or one that is not in `WORDS`.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        rows = [self._tokens(text) for text in texts]
        padded = [row + [0] * (CONTEXT - len(row)) for row in rows]
        return torch.tensor(padded, dtype=torch.int64).reshape(len(rows), CONTEXT)

    def _tokens(self, text: str) -> list[int]:
        words = re.findall(r"[^\s.,;:!?]+", text.lower())
        for word in words:
            if word not in WORDS:
                raise TargetError(
                    f"the text {text!r} has the word {word!r}, which this model does not know."
                    f"{did_you_mean(word, WORDS)} It knows {', '.join(WORDS)}"
                )
        if not 1 <= len(words) <= CONTEXT:
            raise TargetError(
                f"the text {text!r} has {len(words)} words, but must have 1 to {CONTEXT}"
            )
        return [1 + WORDS.index(word) for word in words]


class TextTower(nn.Module):
    """Embed texts: each word with its neighbours, then the mean over the words.

    With its neighbours, a word's place counts: "a red star and a blue arrow" and "a blue star and a
    red arrow" have different embeddings.
    """

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(1 + len(WORDS), WIDTH, padding_idx=0)
        self.neighbours = nn.Conv1d(WIDTH, HIDDEN, 3, padding=1)
        self.projection = nn.Linear(HIDDEN, EMBEDDING)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the embeddings (n, EMBEDDING) of tokens (n, words)."""
        known = (tokens > 0).unsqueeze(1)
        words = self.words(tokens).transpose(1, 2)
        phrases = functional.relu(self.neighbours(words)) * known
        embedded: Tensor = self.projection(phrases.sum(2) / known.sum(2).clamp(min=1))
        return embedded


class TwoTower(nn.Module):
    """An image tower, the ResNet of the demo, and a text tower, in one space.

    Trained with the sigmoid loss (SigLIP, Zhai et al. 2023, arXiv:2303.15343): the probability that
    a text is true of an image is the sigmoid of their cosine, times ``logit_scale.exp()``, plus
    ``logit_bias``.

    Args:
        output_stride: The factor by which the image tower reduces the picture, as for
            `effcam.demo.networks.resnet`.
    """

    def __init__(self, output_stride: int = 8) -> None:
        super().__init__()
        self.visual = resnet(output_stride, EMBEDDING)
        self.text = TextTower()
        self.logit_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.logit_bias = nn.Parameter(torch.tensor(-3.0))
        self.tokenizer = Tokenizer()

    def encode_image(self, images: Tensor) -> Tensor:
        """Return the embeddings (n, EMBEDDING) of images (n, 3, height, width)."""
        embedded: Tensor = self.visual(images)
        return embedded

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Return the embeddings (n, EMBEDDING) of tokens (n, words), as from `Tokenizer`."""
        embedded: Tensor = self.text(tokens)
        return embedded

    def forward(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Return the log odds that texts are true of images: (images, texts)."""
        seen = functional.normalize(self.encode_image(images), dim=1)
        said = functional.normalize(self.encode_text(tokens), dim=1)
        return seen @ said.T * self.logit_scale.exp() + self.logit_bias
