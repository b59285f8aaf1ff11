"""Small networks that several test modules run."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CELL = 8
"""The side of a cell of `ColourNet`'s map, in pixels of its input."""


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
