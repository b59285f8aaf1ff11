"""Five small networks like the five of `DEFAULT_MODELS`, for the ten classes of scenes.

A sixth one is for scenes of several objects.

Each is the original with fewer channels and smaller strides, since the pictures are small: the
originals reduce a picture of 224 px by 32, these reduce one of half that size by 16 or 8.
"""

from __future__ import annotations

from effcam.demo.architectures.alexnet import AlexNet
from effcam.demo.architectures.densenet import DenseNet
from effcam.demo.architectures.efficientnet import EfficientNet, Stage, round_channels
from effcam.demo.architectures.resnet import ResNet
from effcam.demo.scenes import LABELS

CLASSES = len(LABELS)
B0_BLOCKS = (
    # expansion, kernel, stride, channels in and out, repeats: as EfficientNet-B0, but with fewer
    # channels, expansions of 4 instead of 6, and earlier strides, in total 16
    (1, 3, 2, 12, 12, 1),
    (4, 3, 2, 12, 12, 2),
    (4, 5, 2, 12, 24, 2),
    (4, 3, 1, 24, 32, 3),
    (4, 5, 1, 32, 32, 3),
    (4, 5, 1, 32, 32, 4),
    (4, 3, 1, 32, 48, 1),
)
FEATURES = 160


def alexnet() -> AlexNet:
    """Return an AlexNet (Krizhevsky et al. 2012), narrow."""
    return AlexNet((24, 48, 64, 48, 32), hidden=56, classes=CLASSES, stride=2)


def densenet() -> DenseNet:
    """Return a DenseNet (Huang et al. 2017, arXiv 1608.06993) of three blocks, narrow."""
    return DenseNet((4, 8, 10), growth=10, stem=24, classes=CLASSES)


def multilabel() -> DenseNet:
    """Return the DenseNet with fewer layers, for several labels in an image."""
    return DenseNet((4, 7, 1), growth=10, stem=24, classes=CLASSES)


def resnet(output_stride: int = 8, outputs: int = CLASSES) -> ResNet:
    """Return a ResNet (He et al. 2016, arXiv 1512.03385) of bottlenecks, narrow.

    Args:
        output_stride: The factor by which it reduces the picture. The weights were trained at 16,
            which is faster; at 8 dilated convolutions (Yu et al. 2017, arXiv 1705.09914) compute
            the same features at four times as many positions.
        outputs: The number of its outputs.
    """
    return ResNet((2, 3, 4, 2), (12, 20, 32, 40), outputs, output_stride)


def efficientnet_b0() -> EfficientNet:
    """Return an EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946), narrow."""
    return _efficientnet(1.0, 1.0)


def efficientnet_b3() -> EfficientNet:
    """Return it scaled as EfficientNet-B3: 1.2 times as wide, 1.4 times as deep."""
    return _efficientnet(1.2, 1.4)


def _efficientnet(wider: float, deeper: float) -> EfficientNet:
    stages = [Stage(*block).scaled(wider, deeper) for block in B0_BLOCKS]
    return EfficientNet(stages, round_channels(FEATURES * wider), CLASSES, dropout=0.1)
