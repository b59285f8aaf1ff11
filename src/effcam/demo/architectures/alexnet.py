"""AlexNet, of any width."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class AlexNet(nn.Module):
    """AlexNet (Krizhevsky et al. 2012), as in Krizhevsky 2014, arXiv 1404.5997.

    Args:
        widths: The channels of its five convolutions.
        hidden: The width of its two hidden layers.
        classes: The number of its outputs.
        stride: The stride of the first convolution.
    """

    def __init__(
        self, widths: Sequence[int], hidden: int, classes: int, *, stride: int = 4
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for place, (width, kernel) in enumerate(zip(widths, (11, 5, 3, 3, 3), strict=True)):
            first = place == 0
            step, padding = (stride, 2) if first else (1, kernel // 2)
            layers += [nn.Conv2d(channels, width, kernel, step, padding), nn.ReLU(inplace=True)]
            if place in (0, 1, 4):
                layers.append(nn.MaxPool2d(3, 2))
            channels = width
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(channels * 36, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores (n, classes) of images (n, 3, height, width)."""
        scores: Tensor = self.classifier(self.avgpool(self.features(images)).flatten(1))
        return scores
