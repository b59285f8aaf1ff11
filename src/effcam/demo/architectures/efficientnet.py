"""EfficientNet, of any width and depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from effcam.demo.architectures.parts import conv_norm


class Stage(NamedTuple):
    """Blocks of an EfficientNet: all but the first have stride 1 and keep the channels.

    Attributes:
        expansion: The channels inside a block, over those that enter it.
        kernel: The kernel of the convolution by channel.
        stride: The stride of the first block.
        inside: The channels that enter it.
        out: The channels that leave it.
        blocks: The number of blocks.
    """

    expansion: int
    kernel: int
    stride: int
    inside: int
    out: int
    blocks: int

    def scaled(self, wider: float, deeper: float) -> Stage:
        """Return it with more channels, in multiples of 8, and more blocks."""
        return self._replace(
            inside=round_channels(self.inside * wider),
            out=round_channels(self.out * wider),
            blocks=math.ceil(self.blocks * deeper),
        )


def round_channels(wanted: float) -> int:
    """Return the nearest multiple of 8 that is not more than a tenth smaller.

    >>> round_channels(12), round_channels(20), round_channels(57.6), round_channels(3)
    (16, 24, 56, 8)
    """
    near = max(8, int(wanted + 4) // 8 * 8)
    return near + 8 if near < 0.9 * wanted else near


class SqueezeExcitation(nn.Module):
    """Weights of channels, from the mean of each (Hu et al. 2018, arXiv 1709.01507)."""

    def __init__(self, channels: int, narrow: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, narrow, 1)
        self.fc2 = nn.Conv2d(narrow, channels, 1)
        self.activation = nn.SiLU(inplace=True)
        self.scale_activation = nn.Sigmoid()

    def forward(self, maps: Tensor) -> Tensor:
        """Return (n, channels, h, w), given the same."""
        hidden = self.activation(self.fc1(self.avgpool(maps)))
        weights: Tensor = self.scale_activation(self.fc2(hidden))
        return weights * maps


class MBConv(nn.Module):
    """A block of an EfficientNet: wider, one convolution by channel, and narrow again."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        wide = round_channels(stage.inside * stage.expansion)
        parts: list[nn.Module] = []
        if wide != stage.inside:
            parts.append(_active(conv_norm(stage.inside, wide, 1)))
        parts += [
            _active(conv_norm(wide, wide, stage.kernel, stage.stride, wide)),
            SqueezeExcitation(wide, max(1, stage.inside // 4)),
            nn.Sequential(*conv_norm(wide, stage.out, 1)),
        ]
        self.block = nn.Sequential(*parts)
        self.adds = stage.stride == 1 and stage.inside == stage.out

    def forward(self, maps: Tensor) -> Tensor:
        """Return (n, out, h, w), given (n, inside, h, w)."""
        found: Tensor = self.block(maps)
        if self.adds:
            found += maps
        return found


def _active(parts: list[nn.Module]) -> nn.Sequential:
    return nn.Sequential(*parts, nn.SiLU(inplace=True))


class EfficientNet(nn.Module):
    """EfficientNet (Tan and Le 2019, arXiv 1905.11946).

    Args:
        stages: Its stages.
        features: The channels of its last map.
        classes: The number of its outputs.
        dropout: The share of features that are left out in training.
    """

    def __init__(
        self, stages: Sequence[Stage], features: int, classes: int, dropout: float
    ) -> None:
        super().__init__()
        parts = [_active(conv_norm(3, stages[0].inside, 3, 2))]
        for stage in stages:
            later = stage._replace(inside=stage.out, stride=1)
            kinds = [stage, *[later] * (stage.blocks - 1)]
            parts.append(nn.Sequential(*map(MBConv, kinds)))
        parts.append(_active(conv_norm(stages[-1].out, features, 1)))
        self.features = nn.Sequential(*parts)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout, inplace=True), nn.Linear(features, classes)
        )
        self._initialise()

    def _initialise(self) -> None:
        for each in self.modules():
            if isinstance(each, nn.Conv2d):
                nn.init.kaiming_normal_(each.weight, mode="fan_out")
            elif isinstance(each, nn.Linear):
                reach = each.out_features**-0.5
                nn.init.uniform_(each.weight, -reach, reach)
            if isinstance(each, nn.Conv2d | nn.Linear) and each.bias is not None:
                nn.init.zeros_(each.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores (n, classes) of images (n, 3, height, width)."""
        scores: Tensor = self.classifier(self.avgpool(self.features(images)).flatten(1))
        return scores
