"""Five families of networks that train within a minute, for pictures of 64 px, and a smaller one.

The study of figures trains many of them; a smaller one for each kind of scenes is part of the
package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import nn

from effcam.demo.architectures.alexnet import AlexNet
from effcam.demo.architectures.densenet import DenseNet
from effcam.demo.architectures.efficientnet import EfficientNet, Stage, round_channels
from effcam.demo.architectures.resnet import ResNet

SIZES: Mapping[str, int] = MappingProxyType(
    {
        "alexnet": 64,
        "densenet": 64,
        "resnet": 64,
        "efficientnet_b0": 64,
        "efficientnet_b3": 72,
        "small": 64,
    }
)
"""The input size of each family in px."""
B0_BLOCKS = (
    # expansion, kernel, stride, channels in and out, repeats
    (1, 3, 2, 16, 16, 1),
    (3, 3, 2, 16, 24, 1),
    (3, 5, 1, 24, 32, 2),
    (3, 3, 1, 32, 40, 1),
)
FEATURES = 96
DROPOUT = 0.1


def alexnet(outputs: int) -> AlexNet:
    """Return an AlexNet (Krizhevsky et al. 2012) whose last maps are 6 x 6.

    Its convolutions are normalised by batch: without that it learns nothing within a minute.
    """
    network = AlexNet((16, 32, 48, 48, 32), hidden=48, classes=outputs, stride=1)
    layers: list[nn.Module] = []
    for layer in network.features:
        layers.append(layer)
        if isinstance(layer, nn.Conv2d):
            layers.append(nn.BatchNorm2d(layer.out_channels))
    network.features = nn.Sequential(*layers)
    for each in network.classifier:
        if isinstance(each, nn.Dropout):
            each.p = DROPOUT
    return network


def densenet(outputs: int) -> DenseNet:
    """Return a DenseNet (Huang et al. 2017, arXiv 1608.06993) whose last maps are 8 x 8."""
    return DenseNet((4, 8), growth=12, stem=24, classes=outputs)


def resnet(outputs: int) -> ResNet:
    """Return a ResNet (He et al. 2016, arXiv 1512.03385) whose last maps are 8 x 8."""
    return ResNet((1, 2, 1), (10, 16, 20), outputs, output_stride=8)


def efficientnet_b0(outputs: int) -> EfficientNet:
    """Return an EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946) whose last maps are 8 x 8."""
    return _efficientnet(outputs, 1.0, 1.0)


def efficientnet_b3(outputs: int) -> EfficientNet:
    """Return it scaled as EfficientNet-B3 is; its last maps are 9 x 9."""
    return _efficientnet(outputs, 1.2, 1.4)


FAMILIES: Mapping[str, Callable[[int], nn.Module]] = MappingProxyType(
    {
        "alexnet": alexnet,
        "densenet": densenet,
        "resnet": resnet,
        "efficientnet_b0": efficientnet_b0,
        "efficientnet_b3": efficientnet_b3,
    }
)
"""The constructor of each family, which takes the number of outputs."""


def small(outputs: int) -> EfficientNet:
    """Return an EfficientNet-B0 of half as many channels, whose last maps are 8 x 8."""
    return _efficientnet(outputs, 0.5, 1.0)


def build(family: str, outputs: int) -> nn.Module:
    """Return a network of a family, or a ``"small"`` one, with a number of outputs."""
    return small(outputs) if family == "small" else FAMILIES[family](outputs)


def _efficientnet(outputs: int, wider: float, deeper: float) -> EfficientNet:
    stages = [Stage(*block).scaled(wider, deeper) for block in B0_BLOCKS]
    return EfficientNet(stages, round_channels(FEATURES * wider), outputs, dropout=DROPOUT)
