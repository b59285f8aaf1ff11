"""DenseNet, of any depth and growth."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from effcam.demo.architectures.parts import conv_norm

EXPANSION = 4
"""The channels between the two convolutions of a layer, over those that it adds."""


class DenseLayer(nn.Module):
    """A layer of a DenseNet: from all maps before it, a few new ones."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(channels, EXPANSION * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(EXPANSION * growth)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(EXPANSION * growth, growth, 3, padding=1, bias=False)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return (n, growth, h, w), given all maps before, each (n, channels, h, w)."""
        narrow = self.conv1(self.relu1(self.norm1(torch.cat(maps, 1))))
        new: Tensor = self.conv2(self.relu2(self.norm2(narrow)))
        return new


class DenseBlock(nn.ModuleDict):
    """Layers of a DenseNet at one resolution."""

    def __init__(self, layers: int, channels: int, growth: int) -> None:
        super().__init__()
        for place in range(layers):
            self[f"denselayer{place + 1}"] = DenseLayer(channels + place * growth, growth)

    def forward(self, images: Tensor) -> Tensor:
        """Return the given maps and those of all layers, (n, channels, h, w)."""
        maps = [images]
        for layer in self.values():
            maps.append(layer(maps))
        return torch.cat(maps, 1)


class DenseNet(nn.Module):
    """DenseNet (Huang et al. 2017, arXiv 1608.06993).

    Args:
        blocks: The number of layers of each block.
        growth: The number of maps that a layer adds.
        stem: The channels of the first convolution.
        classes: The number of its outputs.
    """

    def __init__(self, blocks: Sequence[int], growth: int, stem: int, classes: int) -> None:
        super().__init__()
        conv, norm = conv_norm(3, stem, 7, 2)
        parts: dict[str, nn.Module] = {"conv0": conv, "norm0": norm}
        parts |= {"relu0": nn.ReLU(inplace=True), "pool0": nn.MaxPool2d(3, 2, 1)}
        channels = stem
        for number, layers in enumerate(blocks, 1):
            parts[f"denseblock{number}"] = DenseBlock(layers, channels, growth)
            channels += layers * growth
            if number < len(blocks):
                parts[f"transition{number}"] = _transition(channels)
                channels //= 2
        parts["norm5"] = nn.BatchNorm2d(channels)
        self.features = _named(parts)
        self.classifier = nn.Linear(channels, classes)
        for each in self.modules():
            if isinstance(each, nn.Conv2d):
                nn.init.kaiming_normal_(each.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores (n, classes) of images (n, 3, height, width)."""
        features = functional.relu(self.features(images), inplace=True)
        pooled = functional.adaptive_avg_pool2d(features, (1, 1)).flatten(1)
        scores: Tensor = self.classifier(pooled)
        return scores


def _named(parts: dict[str, nn.Module]) -> nn.Sequential:
    """Return modules that run one after another, under their names."""
    row = nn.Sequential()
    for name, part in parts.items():
        row.add_module(name, part)
    return row


def _transition(channels: int) -> nn.Sequential:
    """Return what is between two blocks of a DenseNet: half the channels, half the size."""
    return _named(
        {
            "norm": nn.BatchNorm2d(channels),
            "relu": nn.ReLU(inplace=True),
            "conv": nn.Conv2d(channels, channels // 2, 1, bias=False),
            "pool": nn.AvgPool2d(2, 2),
        }
    )
