"""Small networks that several test modules run."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from effcam.cam.methods.table import OWN

CELL = 8
"""The side of a cell of `ColourNet`'s map, in pixels of its input."""
ON_ANY_NETWORK = tuple(
    each.name for each in OWN if each.source != "attention" and not each.relu_only
)
"""effcam's own methods for networks without attention and of any activations, as these."""


class ColourNet(nn.Module):
    """A net whose class scores are the mean red, green and blue of the image, times ``gain``.

    Its features are the mean colour of each 8 x 8 block, so the map of class 0 is how red each
    block is. It changes with the image when that is flipped, and with nothing else.
    """

    def __init__(self, gain: float | tuple[float, float, float] = 10.0) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.AvgPool2d(CELL), nn.Conv2d(3, 3, 1, bias=False))
        self.head = nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.features[1].weight.copy_(torch.eye(3)[:, :, None, None])
            self.head.weight.copy_(torch.diag(torch.as_tensor(gain).expand(3)))

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.features(images).mean((2, 3)))
        return scores


class ConvNet(nn.Module):
    """Convolutions, batch normalisation, pooling, dropout and a linear head.

    For global average pooling and a linear head, Grad-CAM has a closed form.
    """

    def __init__(self, classes: int = 5, channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.Conv2d(8, 12, 3, stride=2, padding=1),
        )
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(12, classes)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.dropout(self.features(images).mean((2, 3))))
        return scores


class DistributedDataParallel(nn.Module):
    """A class with the name and attribute of torch's, which would need a process group."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, _: Tensor) -> Tensor:
        raise AssertionError("a parallel copy was run")


class ColourWords(nn.Module):
    """A model of images and texts: the mean colour of an image, and colours by their names.

    The embedding of a word is the colour of that name, and that of a text the sum of its words'.
    """

    COLOURS = ("red", "green", "blue")
    LENGTH = 6

    def __init__(self, scale: float = 4.0) -> None:
        super().__init__()
        self.visual = ColourNet(gain=1.0)
        self.words = nn.Embedding(len(self.COLOURS) + 1, 3)
        self.dropout = nn.Dropout(0.5)
        self.logit_scale = nn.Parameter(torch.tensor(scale).log())
        with torch.no_grad():
            self.words.weight.copy_(torch.eye(4)[:, 1:])

    def encode_image(self, images: Tensor) -> Tensor:
        embedding: Tensor = self.dropout(self.visual(images))
        return embedding

    def encode_text(self, tokens: Tensor) -> Tensor:
        embedding: Tensor = self.dropout(self.words(tokens).sum(1))
        return embedding

    def tokenizer(self, texts: list[str]) -> Tensor:
        """Return a number for each word, cut and padded to a length as open_clip does it."""
        found = torch.zeros(len(texts), self.LENGTH, dtype=torch.long)
        for row, text in zip(found, texts, strict=True):
            words = text.split()[: self.LENGTH]
            known = [self.COLOURS.index(word) + 1 if word in self.COLOURS else 0 for word in words]
            row[: len(known)] = torch.tensor(known, dtype=torch.long)
        return found
